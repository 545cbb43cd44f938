"""model.json: what it may say, and what each mistake is answered with."""

import json
from typing import Any

import pytest

from fanwise.errors import BundleError
from fanwise.limits import MAX_COLUMNS
from fanwise.model.contract import Contract, ImageInput, NumberInput, OutputContract, TextInput, read_contract
from fanwise.model.signature import TensorSpec

IMAGE = {"kind": "image", "height": 28, "width": 20}


def read(contract: Any) -> Contract:
    return read_contract(json.dumps(contract).encode(), "m/model.json")


def test_the_example_of_the_contracts_page() -> None:
    contract = read(
        {
            "name": "digits",
            "signature": "serving_default",
            "inputs": {
                "pixels": IMAGE | {"channels": 1, "resize": "nearest", "scale": [0, 1], "decode": "exact"},
                "history": {"kind": "number", "from": "past"},
                "table": {"kind": "number", "columns": ["age", "income"]},
                "text": {"kind": "text"},
            },
            "outputs": {
                "output_0": {"as": "scores", "keep": "top_k", "k": 3, "labels": "labels.txt"},
                "output_1": {"keep": "raw"},
                "output_2": {"drop": True},
            },
        }
    )
    assert contract.inputs == {
        "pixels": ImageInput(height=28, width=20, channels=1, resize="nearest", scale=(0.0, 1.0)),
        "history": NumberInput(from_="past"),
        "table": NumberInput(columns=("age", "income")),
        "text": TextInput(),
    }
    assert contract.outputs["output_0"] == OutputContract(
        as_="scores", keep="top_k", k=3, labels="labels.txt"
    )
    assert contract.outputs["output_2"].drop
    assert contract.label_files() == ("labels.txt",)


def test_what_is_left_out_has_a_default() -> None:
    assert read({}) == Contract(name=None, signature="serving_default", inputs={}, outputs={})
    image = read({"inputs": {"x": IMAGE}}).inputs["x"]
    assert image == ImageInput(height=28, width=20, channels=3, resize="bilinear", scale=None, decode="exact")


@pytest.mark.parametrize(
    "text", [b"", b"{", b'{"name": "\xff"}', b"\xff", b"[" * 9999, b'{"inputs": ' * 9999]
)
def test_what_is_no_json_is_said(text: bytes) -> None:
    with pytest.raises(BundleError, match=r"^model.json: not JSON \("):
        read_contract(text, "model.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            b'{"inputs": {},\n "inputs": {"x": {"kind": "text"}}}',
            'm.json, line 2, column 2: "inputs" stands there twice; keep one',
        ),
        (
            b'{"inputs": {"x": {"kind": "text", "kind": "number"}}}',
            'm.json, line 1, column 35: "kind" stands there twice; keep one',
        ),
        (
            b'{"inputs": {"x": {"kind": "image", "scale": [0, NaN]}}}',
            "m.json: not JSON (line 1, column 49: NaN is not JSON; write a number); correct it",
        ),
        (b'{"a": -Infinity}', "m.json: not JSON (line 1, column 7: -Infinity is not JSON; write a number)"),
        (b'{"a": 1e400}', "m.json: not JSON (line 1, column 7: 1e400 is beyond float64)"),
        (b'{"name": "a",}', "m.json: not JSON (line 1, column 13: a comma before the closing }; remove it)"),
        (
            "{}".encode("utf-16"),
            "m.json: not JSON (line 1, column 1: not UTF-8; save it as UTF-8 (it is UTF-16LE",
        ),
    ],
)
def test_what_readers_differ_in_is_refused(text: bytes, message: str) -> None:
    with pytest.raises(BundleError) as refused:
        read_contract(text, "m.json")
    assert str(refused.value).startswith(message)


def test_a_byte_order_mark_is_fine() -> None:
    assert read_contract(b'\xef\xbb\xbf{"name": "a"}', "m.json").name == "a"


@pytest.mark.parametrize(
    ("contract", "message"),
    [
        ({"input": {}}, "unknown key 'input'; did you mean 'inputs'?"),
        ({"zebra": 1}, "unknown key 'zebra'; known: name, signature, inputs, outputs"),
        ([], "must be an object {…}, not []"),
        ({"inputs": []}, "inputs: must be an object {…}, not []"),
        ({"inputs": {"x": 3}}, "inputs.x: must be an object {…}, not 3"),
        ({"inputs": {"x": {}}}, 'inputs.x: "kind" is missing; say one of image, number, text'),
        ({"inputs": {"x": {"kind": "picture"}}}, 'inputs.x: "kind" is "picture"; one of image, number, text'),
        (
            {"inputs": {"x": {"kind": "number", "colums": []}}},
            "inputs.x: unknown key 'colums'; did you mean 'columns'?",
        ),
        (
            {"inputs": {"x": {"kind": "text", "height": 3}}},
            "inputs.x: unknown key 'height'; known: kind, from",
        ),
        (
            {"inputs": {"x": {"kind": "image", "height": 3}}},
            "inputs.x: object missing required field `width`",
        ),
        ({"inputs": {"x": IMAGE | {"height": "28"}}}, "inputs.x.height: expected `int`, got `str`"),
        ({"inputs": {"x": IMAGE | {"height": 0}}}, 'inputs.x: "height" is 0; 1 to 8192 are allowed'),
        ({"inputs": {"x": IMAGE | {"channels": 2}}}, 'inputs.x: "channels" is 2; one of 1, 3, 4'),
        (
            {"inputs": {"x": IMAGE | {"resize": "area"}}},
            '"resize" is "area"; one of nearest, bilinear, bicubic, lanczos',
        ),
        ({"inputs": {"x": IMAGE | {"decode": "fast"}}}, '"decode" is "fast"; one of exact, scaled'),
        ({"inputs": {"x": IMAGE | {"scale": [0]}}}, "inputs.x.scale: expected `array` of length 2, got 1"),
        ({"inputs": {"x": {"kind": "number", "columns": []}}}, "must name at least one column"),
        ({"inputs": {"x": {"kind": "number", "columns": ["a", "a"]}}}, "none of them twice"),
        (
            {"inputs": {"x": {"kind": "number", "columns": [f"c{n}" for n in range(MAX_COLUMNS + 1)]}}},
            '"columns" names 2,001; at most 2,000: without "columns", an item gives the input as one array',
        ),
        (
            {"inputs": {"x": {"kind": "number", "columns": ["a"], "from": "b"}}},
            '"from" and "columns" exclude each other',
        ),
        ({"outputs": {"y": {"keep": "best"}}}, 'outputs.y: "keep" is "best"; one of raw, top_k, argmax'),
        ({"outputs": {"y": {"lables": "l"}}}, "outputs.y: unknown key 'lables'; did you mean 'labels'?"),
        ({"outputs": {"y": {"k": 3}}}, 'outputs.y: "k" is for "keep": "top_k", and this output keeps raw'),
        ({"outputs": {"y": {"keep": "top_k", "k": 0}}}, 'outputs.y: "k" is 0; at least 1'),
        ({"outputs": {"y": {"labels": "l.txt"}}}, '"labels" is for "keep": "top_k" or "argmax"'),
        (
            {"outputs": {"y": {"keep": "argmax", "labels": "../l"}}},
            "\"labels\" is '../l'; name a file inside the bundle",
        ),
        ({"outputs": {"y": {"keep": "argmax", "labels": "/etc/l"}}}, "name a file inside the bundle"),
        ({"outputs": {"y": {"drop": True, "as": "z"}}}, '"drop" leaves the output out, so it stands alone'),
        ({"name": "my model"}, "name 'my model' cannot be a model's name"),
        ({"name": 3}, "name: expected `str | null`, got `int`"),
        ({"signature": None}, "signature: expected `str`, got `null`"),
    ],
)
def test_each_mistake_names_the_file_the_place_and_the_remedy(contract: Any, message: str) -> None:
    with pytest.raises(BundleError) as refused:
        read(contract)
    assert str(refused.value).startswith("m/model.json: ")
    assert message in str(refused.value)


def test_what_is_not_json() -> None:
    with pytest.raises(BundleError, match=r"model.json: not JSON \(.*\); correct it, or leave the file out"):
        read_contract(b"{", "model.json")


def test_kinds_go_by_the_names_under_which_items_carry_values() -> None:
    signature = {
        "pixels": TensorSpec("float32", (None, 28, 20, 3)),
        "table": TensorSpec("float32", (None, 2)),
        "unlisted": TensorSpec("int64", (None,)),
        "unlisted_text": TensorSpec("string", (None, 1)),
    }
    inputs = {
        "pixels": IMAGE | {"from": "photo"},
        "table": {"kind": "number", "columns": ["age", "income"]},
    }
    assert read({"inputs": inputs}).kinds(signature) == {
        "photo": "image",
        "age": "number",
        "income": "number",
        "unlisted": "number",
        "unlisted_text": "text",
    }


def test_one_name_cannot_be_two_kinds() -> None:
    signature = {"a": TensorSpec("string", (None,)), "b": TensorSpec("float32", (None,))}
    contract = read({"inputs": {"a": {"kind": "text", "from": "x"}, "b": {"kind": "number", "from": "x"}}})
    with pytest.raises(BundleError, match="take the item's 'x' both as text and as number"):
        contract.kinds(signature)


def test_as_many_columns_as_there_may_be() -> None:
    columns = [f"c{n}" for n in range(MAX_COLUMNS)]
    text = json.dumps({"inputs": {"x": {"kind": "number", "columns": columns}}}).encode()
    assert read_contract(text, "model.json").inputs["x"].names("x") == tuple(columns)
