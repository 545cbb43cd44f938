"""The model bundle, and the way of one item through it: values → tensors → runtime → prediction.

`bundle` finds and fetches what was published; `contract` and `signature` say what goes in and out, and `binding`
holds the one against the other; `inputs` (`arrays`, `images`) makes an item's tensors; `runtime` computes;
`outputs` (`decimals`) makes the prediction; `model` puts them together. PlanJob uses the first four, which import
neither numpy nor Pillow nor TensorFlow.
"""
