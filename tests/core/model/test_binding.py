"""A contract against a signature: what fits, and both sides named where it does not."""

import json
from typing import Any

import pytest

from fanwise.errors import BundleError
from fanwise.limits import MAX_RESULT_VALUES
from fanwise.model.binding import Bound, bind, mini_batch, most_at_once, read_labels, row_shape
from fanwise.model.contract import Contract, ImageInput, NumberInput, TextInput, read_contract
from fanwise.model.signature import Signature, TensorSpec

Shape = tuple[int | None, ...] | None
IMAGE = {"kind": "image", "height": 28, "width": 20, "channels": 3}


def spec(dtype: str, *shape: int | None) -> TensorSpec:
    return TensorSpec(dtype, shape)


def bound(
    inputs: dict[str, TensorSpec],
    outputs: dict[str, TensorSpec] | None = None,
    contract: Any = None,
    labels: dict[str, tuple[str, ...]] | None = None,
) -> Bound:
    read = read_contract(json.dumps(contract).encode(), "model.json") if contract else Contract()
    outputs = {"y": spec("float32", None, 2)} if outputs is None else outputs
    return bind(read, Signature(inputs, outputs), labels or {})


def test_without_a_contract_inputs_go_by_dtype_and_outputs_are_raw() -> None:
    found = bound({"a": spec("int64", None, 2), "b": spec("string", None)})
    assert found.inputs == {"a": NumberInput(), "b": TextInput()}
    assert found.outputs["y"].written_as == "y"
    assert found.outputs["y"].contract.keep == "raw"


@pytest.mark.parametrize(
    "tensor",
    [
        spec("float32", None, 28, 20, 3),
        spec("float32", None, None, None, 3),
        spec("uint8", 4, 28, 20, None),
        TensorSpec("float16", None),
    ],
)
def test_images_that_fit(tensor: TensorSpec) -> None:
    assert isinstance(bound({"x": tensor}, contract={"inputs": {"x": IMAGE}}).inputs["x"], ImageInput)


def test_a_grey_image_may_go_without_its_channel() -> None:
    contract = {"inputs": {"x": IMAGE | {"channels": 1}}}
    assert bound({"x": spec("float32", None, 28, 20)}, contract=contract).inputs["x"] == ImageInput(
        height=28, width=20, channels=1
    )


@pytest.mark.parametrize(
    ("inputs", "contract", "message"),
    [
        (
            {"x": spec("float32", None, 28, 28, 3)},
            IMAGE,
            "[28, 20, 3], and the signature takes float32 [?, 28, 28, 3]",
        ),
        ({"x": spec("float32", None, 28, 20, 1)}, IMAGE, "and the signature takes float32 [?, 28, 20, 1]"),
        ({"x": spec("float32", None, 28, 20)}, IMAGE, "make them the same"),
        ({"x": spec("int32", None, 28, 20, 3)}, IMAGE, "images become uint8 (without scale) or floats"),
        ({"x": spec("uint8", None, 28, 20, 3)}, IMAGE | {"scale": [0, 1]}, "images become uint8"),
        (
            {"x": spec("int8", None, 28, 20, 3)},
            IMAGE,
            "convert the model with inference_input_type = tf.uint8",
        ),
        (
            {"x": spec("float32", None)},
            {"kind": "text"},
            "inputs.x says text, and the signature takes float32 [?]",
        ),
        ({"x": spec("string", None, 2)}, {"kind": "text"}, "text is one string an item"),
        (
            {"x": spec("string", None)},
            {"kind": "number", "from": "z"},
            "says numbers, and the signature takes string",
        ),
        (
            {"x": spec("float32", None, 3)},
            {"kind": "number", "columns": ["a", "b"]},
            "says 2 columns, and the signature takes float32 [?, 3]; name as many as it takes",
        ),
    ],
)
def test_inputs_that_do_not_fit(inputs: dict[str, TensorSpec], contract: Any, message: str) -> None:
    with pytest.raises(BundleError) as refused:
        bound(inputs, contract={"inputs": {"x": contract}})
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (spec("complex64", None), "input 'x' takes complex64 [?], and items cannot carry complex64"),
        (spec("float32"), "input 'x' takes float32 [], which has no batch dimension"),
        (spec("string", None, 4), "inputs.x says text, and the signature takes string [?, 4]"),
    ],
)
def test_inputs_that_no_contract_helps(tensor: TensorSpec, message: str) -> None:
    with pytest.raises(BundleError) as refused:
        bound({"x": tensor})
    assert message in str(refused.value)


def test_names_that_the_signature_does_not_have() -> None:
    inputs = {"x": spec("float32", None, 2)}
    with pytest.raises(
        BundleError, match=r"inputs.z: the signature has no such input; it has x \(float32 \[\?, 2\]\)"
    ):
        bound(inputs, contract={"inputs": {"z": {"kind": "number"}}})
    with pytest.raises(BundleError, match=r"outputs.z: the signature has no such output"):
        bound(inputs, contract={"outputs": {"z": {}}})


@pytest.mark.parametrize(
    ("outputs", "contract", "message"),
    [
        (
            {"y": spec("float32", None, 3)},
            {"y": {"keep": "top_k", "labels": "l"}},
            "l has 2 labels, and output 'y' gives",
        ),
        ({"y": spec("float32", None, 3, 3)}, {"y": {"keep": "top_k"}}, "scores are one vector an item"),
        ({"y": spec("float32", None)}, {"y": {"keep": "argmax"}}, "scores are one vector an item"),
        ({"y": spec("string", None, 3)}, {"y": {"keep": "argmax"}}, "scores are numbers"),
        (
            {"y": spec("float32", None, 1)},
            {"y": {"keep": "argmax"}},
            'outputs.y says "keep": "argmax", and the output has one score an item, which is the best for every'
            ' item; say "keep": "raw" and compare the number with a threshold of your own (0.5 for a sigmoid)',
        ),
        (
            {"y": spec("uint8", 8, 1)},
            {"y": {"keep": "top_k", "k": 1}},
            'outputs.y says "keep": "top_k", and the',
        ),
        ({"y": spec("complex64", None)}, {}, 'which JSON cannot hold; model.json can "drop" it'),
        ({"y": spec("float32")}, {}, "output 'y' has no batch dimension"),
        (
            {"y": spec("float32", None), "z": spec("float32", None)},
            {"y": {"as": "z"}},
            "outputs 'y' and 'z' would both be written as 'z'",
        ),
        ({"y": spec("float32", None)}, {"y": {"drop": True}}, "every output is dropped"),
        ({}, {}, "the model has no outputs"),
    ],
)
def test_outputs_that_do_not_fit(outputs: dict[str, TensorSpec], contract: Any, message: str) -> None:
    with pytest.raises(BundleError) as refused:
        bound({"x": spec("float32", None)}, outputs, {"outputs": contract}, {"l": ("a", "b")})
    assert message in str(refused.value)


def test_a_prediction_holds_at_most_so_many_values() -> None:
    """Over all outputs, as far as the signature says how many they are."""
    x = {"x": spec("float32", None)}
    outputs = {"y": spec("float32", None, 2, MAX_RESULT_VALUES // 2 - 1), "z": spec("int8", None, 2)}
    more = outputs | {"one": spec("bool", None, None, 1)}
    bound(x, outputs)
    bound(x, more, {"outputs": {"z": {"drop": True}}})
    with pytest.raises(BundleError) as refused:
        bound(x, more)
    assert str(refused.value) == (
        'a prediction would hold 300,001 values; at most 300,000: in model.json "keep" top_k or argmax of scores,'
        ' "drop" an output, or export a model with smaller ones'
    )


def test_of_scores_only_those_that_are_kept_count() -> None:
    x, outputs = {"x": spec("float32", None)}, {"y": spec("float32", None, 10 * MAX_RESULT_VALUES)}
    for keep in ({"keep": "argmax"}, {"keep": "top_k"}, {"keep": "top_k", "k": MAX_RESULT_VALUES // 2}):
        bound(x, outputs, {"outputs": {"y": keep}})
    with pytest.raises(BundleError, match="would hold 300,002 values"):
        bound(x, outputs, {"outputs": {"y": {"keep": "top_k", "k": MAX_RESULT_VALUES // 2 + 1}}})


def test_a_dropped_output_may_be_anything() -> None:
    outputs = {"y": spec("float32", None), "count": spec("int32"), "z": spec("complex64", None)}
    contract = {"outputs": {"count": {"drop": True}, "z": {"drop": True}}}
    assert list(bound({"x": spec("float32", None)}, outputs, contract).outputs) == ["y"]


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        (b"a\nb\n", ("a", "b")),
        (b"a\r\nb", ("a", "b")),
        (b"\xef\xbb\xbfa\n b \n\n\n", ("a", " b ")),
        ("ä\u2028ö".encode(), ("ä\u2028ö",)),
    ],
)
def test_labels_are_lines(text: bytes, labels: tuple[str, ...]) -> None:
    assert read_labels(text, "l") == labels


def test_labels_that_are_none() -> None:
    with pytest.raises(BundleError, match=r"l: line 2 is blank"):
        read_labels(b"a\n\nb", "l")
    with pytest.raises(BundleError, match=r"l: not UTF-8 at byte 1"):
        read_labels(b"a\xff", "l")


@pytest.mark.parametrize(
    ("inputs", "contract", "rows"),
    [
        ({"x": spec("float32", None, 224, 224, 3)}, None, 8),
        ({"x": spec("float32", None, 1024, 1024, 3)}, None, 1),
        ({"x": spec("float32", None, 8, 8, 1)}, None, 32),
        ({"x": spec("float32", None), "y": spec("float32", None, 160, 160, 3)}, None, 8),
        ({"x": spec("string", None)}, None, 16),
        ({"x": spec("float32", None, None)}, None, 16),
        ({"x": spec("float32", 4, 2), "y": spec("float32", None, 2)}, None, 4),
        (
            {"x": spec("float32", None, None, None, 3)},
            {"inputs": {"x": {"kind": "image", "height": 224, "width": 224}}},
            8,
        ),
    ],
)
def test_the_mini_batch_goes_by_the_size_of_an_item(
    inputs: dict[str, TensorSpec], contract: Any, rows: int
) -> None:
    found = bound(inputs, contract=contract)
    assert mini_batch(Signature(inputs, {}), found) == rows


@pytest.mark.parametrize(
    ("inputs", "outputs", "rows"),
    [
        ({"x": spec("float32", None, 20)}, {"y": spec("float32", None, 4)}, 1024),
        ({"x": spec("float32", 3, 20)}, {"y": spec("float32", 3, 4)}, 1023),
        ({"x": spec("float32", None, 20)}, {"y": spec("float32", None, 10_000)}, 96),
        ({"x": spec("float32", None, 20)}, {"y": spec("float32", None, 100_000)}, 32),
        ({"x": spec("float32", None, 3000), "z": spec("int64", None)}, {"y": spec("float32", None)}, 384),
        ({"x": spec("float32", None, 20)}, {"y": spec("float32", None, None)}, 32),
        ({"x": spec("float32", None, None)}, {"y": spec("float32", None, 4)}, 16),
        ({"x": spec("string", None)}, {"y": spec("float32", None, 4)}, 16),
    ],
)
def test_as_many_rows_go_together_as_stay_small(
    inputs: dict[str, TensorSpec], outputs: dict[str, TensorSpec], rows: int
) -> None:
    signature, found = Signature(inputs, outputs), bound(inputs, outputs)
    assert most_at_once(signature, found, mini_batch(signature, found)) == rows


def test_a_mini_batch_is_one_size() -> None:
    inputs = {"x": spec("float32", 4, 2), "y": spec("float32", 8, 2)}
    with pytest.raises(BundleError, match=r"batch sizes \[4, 8\]"):
        mini_batch(Signature(inputs, {}), bound(inputs))


@pytest.mark.parametrize("size", [0, -1])
def test_a_mini_batch_has_items(size: int) -> None:
    inputs = {"x": spec("float32", size, 2)}
    with pytest.raises(BundleError, match=f"batch size {size}; export it with none"):
        mini_batch(Signature(inputs, {}), bound(inputs))


@pytest.mark.parametrize(
    ("contract", "tensor", "shape"),
    [
        (NumberInput(), spec("float32", None, None, 3), (1, 3)),
        (NumberInput(), TensorSpec("float32", None), ()),
        (TextInput(), spec("string", None, 1), (1,)),
        (ImageInput(height=5, width=6, channels=4), spec("float32", None, None, None, None), (5, 6, 4)),
        (ImageInput(height=5, width=6, channels=1), spec("float32", None, 5, 6), (5, 6)),
        (ImageInput(height=5, width=6), TensorSpec("float32", None), (5, 6, 3)),
    ],
)
def test_a_row_where_none_is_at_hand(contract: Any, tensor: TensorSpec, shape: tuple[int, ...]) -> None:
    assert row_shape(contract, tensor) == shape
