"""Where an item's values are taken from, and what each that is missing or unreadable is answered with."""

import base64
import io
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image

from fanwise.errors import (
    BadUri,
    Forbidden,
    ImageTooLarge,
    ItemError,
    LocationError,
    MissingInput,
    NotFound,
    NotText,
    StoreUnavailable,
    UndecodableImage,
)
from fanwise.limits import MAX_IMAGE_BYTES
from fanwise.model.contract import ImageInput, InputContract, NumberInput, TextInput
from fanwise.model.inputs import Item, check_uri_is_for_one, encoder
from fanwise.model.signature import TensorSpec

IMAGE = ImageInput(height=2, width=2)
PIXELS = TensorSpec("uint8", (None, 2, 2, 3))


def png(colour: tuple[int, int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (2, 2), colour).save(file, "PNG")
    return file.getvalue()


RED, BLUE = png((255, 0, 0)), png((0, 0, 255))
OBJECTS: Mapping[str, bytes | Exception] = {
    "s3://b/red.png": RED,
    "s3://b/blue.png": BLUE,
    "s3://b/closed": PermissionError("s3://b/closed: access denied"),
    "s3://b/busy": StoreUnavailable("s3://b/busy: slow down"),
}


def read(uri: str) -> bytes:
    found = OBJECTS.get(uri) or FileNotFoundError(f"{uri}: no such object")
    if isinstance(found, Exception):
        raise found
    return found


def resolve(uri: str) -> str:
    if ".." in uri:
        raise LocationError(f"{uri}: leaves the bucket")
    return uri if uri.startswith("s3://") else f"s3://b/{uri}"


def item(uri: str | None = None, **inputs: Any) -> Item:
    return Item({n: msgspec.Raw(msgspec.json.encode(v)) for n, v in inputs.items()}, uri, read, resolve)


def encode(contract: InputContract, spec: TensorSpec, given: Item) -> np.ndarray[Any, Any]:
    return encoder("x", contract, spec)(given)


@pytest.mark.parametrize(
    ("given", "colour"),
    [
        (item("red.png"), "red"),
        (item("s3://b/blue.png"), "blue"),
        (item(x="red.png"), "red"),
        (item("red.png", x="blue.png"), "blue"),
        (item(x="data:image/png;base64," + base64.b64encode(BLUE).decode()), "blue"),
        (item("DATA:;BASE64," + base64.b64encode(RED).decode()), "red"),
    ],
)
def test_an_image_comes_from_uri_or_by_name(given: Item, colour: str) -> None:
    expected = [255, 0, 0] if colour == "red" else [0, 0, 255]
    assert encode(IMAGE, PIXELS, given)[0, 0].tolist() == expected


def test_from_takes_the_value_of_another_name() -> None:
    photo = ImageInput(height=2, width=2, from_="photo")
    assert encode(photo, PIXELS, item("red.png", photo="blue.png", x="red.png"))[0, 0].tolist() == [0, 0, 255]
    assert encode(NumberInput(from_="n"), TensorSpec("int8", (None,)), item(n=3, x=4)) == 3
    assert encode(TextInput(from_="t"), TensorSpec("string", (None,)), item(t="a", x="b")).item() == b"a"


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (item(), MissingInput, 'neither "uri" nor \'x\' under "inputs"'),
        (item("none.png"), NotFound, "s3://b/none.png: no such object"),
        (item("closed"), Forbidden, "access denied"),
        (item("../x"), BadUri, "leaves the bucket"),
        (item(x=3), BadUri, "input 'x' is 3, not text; an image is given as a URI or as data: in base64"),
        (item(x="data:image/png,%89PNG"), UndecodableImage, "must be in base64"),
        (item(x="data:image/png;base64"), UndecodableImage, "must be in base64"),
        (item(x="data:;base64,@@@@"), UndecodableImage, "is not base64"),
        (item(x="data:;base64,QUJ"), UndecodableImage, "is not base64"),
        (item(x="data:;base64,ä"), UndecodableImage, "is not base64"),
        (item(x="data:;base64," + "A" * (MAX_IMAGE_BYTES * 4 // 3 + 16)), ImageTooLarge, "67,108,864 bytes"),
    ],
)
def test_images_that_cannot_be_had(given: Item, error: type[ItemError], message: str) -> None:
    with pytest.raises(error) as refused:
        encode(IMAGE, PIXELS, given)
    assert message in str(refused.value)


def test_a_store_that_does_not_answer_is_not_the_items_fault() -> None:
    with pytest.raises(StoreUnavailable):
        encode(IMAGE, PIXELS, item("busy"))


def test_uri_stands_for_one_image() -> None:
    check_uri_is_for_one(("left", "right"), item("red.png", right="blue.png"))
    check_uri_is_for_one(("left",), item("red.png"))
    check_uri_is_for_one(("left", "right"), item(left="red.png", right="blue.png"))
    with pytest.raises(
        MissingInput, match='"uri" stands for one image, and the item names none of left, right'
    ):
        check_uri_is_for_one(("left", "right"), item("red.png"))


@pytest.mark.parametrize("shape", [(None,), (None, 1), (None, None), None])
def test_text_is_one_string(shape: tuple[int | None, ...] | None) -> None:
    row = encode(TextInput(), TensorSpec("string", shape), item(x="größe"))
    assert row.item() == "größe".encode()
    assert row.shape == (() if shape in ((None,), None) else (1,))


@pytest.mark.parametrize("value", [3, None, ["a"], {"a": "b"}, True])
def test_what_is_not_text(value: Any) -> None:
    with pytest.raises(NotText, match=r"input 'x' is .*, not text"):
        encode(TextInput(), TensorSpec("string", (None,)), item(x=value))


@pytest.mark.parametrize("raw", [b'"\\ud800"', b'"\\ud800x"', b'"\xff"', b'"a'])
def test_text_that_is_no_unicode(raw: bytes) -> None:
    given = Item({"x": msgspec.Raw(raw)}, None, read, resolve)
    with pytest.raises(NotText):
        encode(TextInput(), TensorSpec("string", (None,)), given)


@pytest.mark.parametrize("contract", [NumberInput(), TextInput(), NumberInput(columns=("x", "y"))])
def test_a_value_that_is_missing_is_named(contract: InputContract) -> None:
    spec = TensorSpec("string" if isinstance(contract, TextInput) else "float32", (None, 2))
    with pytest.raises(MissingInput, match=r"the item has no value 'x'; put it under \"inputs\""):
        encode(contract, spec, item(y=1))


def test_columns_come_from_their_own_names() -> None:
    row = encode(
        NumberInput(columns=("age", "income")), TensorSpec("float32", (None, 2)), item(income=2, age=1)
    )
    assert row.tolist() == [1.0, 2.0]
