"""What the operations of a model mean for the promise that an item's answer is right, or refused.

`saved_model` and `lite` read which operations a served signature reaches; `tables` says which of them reach
outside, keep something from call to call, draw at random, or have faults that LiteRT does not report.
"""
