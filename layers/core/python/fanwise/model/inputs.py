"""One item → its row of each input of the model. Runs in several decode threads at once.

Where a value is taken from (`inputs` by name, the item's `uri`, `data:`) is decided here; `arrays` and `images`
turn it into a tensor. Pillow is imported only for a model that takes images.
"""

import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from fanwise.errors import (
    BadUri,
    Forbidden,
    ImageTooLarge,
    LocationError,
    MissingInput,
    NotFound,
    NotText,
    UndecodableImage,
)
from fanwise.limits import MAX_IMAGE_BYTES
from fanwise.model.arrays import columns_reader, missing, number_reader, rows_reader
from fanwise.model.contract import ImageInput, InputContract, NumberInput
from fanwise.model.signature import TensorSpec

MAX_STACKED_BYTES = (
    1024 * 1024
)  # of JSON read in one go: each number in it is an object of 32 bytes meanwhile


class Item(NamedTuple):
    """What an item brings: its `inputs` by name, its `uri`, and how to read one."""

    inputs: Mapping[str, msgspec.Raw]
    uri: str | None
    read: Callable[[str], bytes]
    resolve_uri: Callable[[str], str]


Encoder = Callable[[Item], NDArray[Any]]
Values = Mapping[str, msgspec.Raw]  # an item's `inputs`, by name
Stacker = Callable[[Sequence[Values]], NDArray[Any] | None]


def encoder(name: str, contract: InputContract, spec: TensorSpec) -> Encoder:
    """The function that makes the row of input `name`, (without batch dimension), from an item."""
    if isinstance(contract, ImageInput):
        return _image_encoder(contract.names(name)[0], contract, spec)
    if isinstance(contract, NumberInput):
        if contract.columns is not None:
            return _columns_encoder(name, contract.columns, spec)
        return _number_encoder(contract.names(name)[0], spec)
    return _text_encoder(contract.names(name)[0], spec)


def stacker(name: str, contract: InputContract, spec: TensorSpec) -> Stacker | None:
    """The function that makes the rows of input `name` from many items at once, the same as `encoder` makes.

    It answers None where one of them is to be encoded by itself, which says what is wrong with it. None in its
    place for an input that is not of numbers.
    """
    if not isinstance(contract, NumberInput):
        return None
    read, columns, carried = rows_reader(name, spec), contract.columns, contract.names(name)[0]

    def stack(items: Sequence[Values]) -> NDArray[Any] | None:
        try:
            if columns is None:
                raws: list[bytes | msgspec.Raw] = [item[carried] for item in items]
            else:
                raws = [b"[" + b",".join([item[column] for column in columns]) + b"]" for item in items]
        except KeyError:
            return None
        return read(raws) if sum(map(len, raws)) <= MAX_STACKED_BYTES else None

    return stack


def check_uri_is_for_one(images: tuple[str, ...], item: Item) -> None:
    """An item's `uri` stands for one image; which of several is not to be guessed."""
    if item.uri is not None and len(images) > 1:
        unnamed = [name for name in images if name not in item.inputs]
        if len(unnamed) > 1:
            raise MissingInput(
                f'"uri" stands for one image, and the item names none of {", ".join(unnamed)};'
                f' put their URIs under "inputs"'
            )


def _number_encoder(carried: str, spec: TensorSpec) -> Encoder:
    read = number_reader(carried, spec)

    def encode(item: Item) -> NDArray[Any]:
        raw = item.inputs.get(carried)
        if raw is None:
            raise missing(carried)
        return read(bytes(raw))

    return encode


def _columns_encoder(name: str, columns: tuple[str, ...], spec: TensorSpec) -> Encoder:
    read = columns_reader(name, columns, spec)

    def encode(item: Item) -> NDArray[Any]:
        try:
            return read([bytes(item.inputs[column]) for column in columns])
        except KeyError as error:
            raise missing(error.args[0]) from None

    return encode


def _text_encoder(carried: str, spec: TensorSpec) -> Encoder:
    shape = () if spec.row_shape is None else (1,) * len(spec.row_shape)

    def encode(item: Item) -> NDArray[Any]:
        raw = item.inputs.get(carried)
        if raw is None:
            raise missing(carried)
        row = np.empty(shape, object)
        row[...] = _text(raw, carried).encode()
        return row

    return encode


def _image_encoder(carried: str, contract: ImageInput, spec: TensorSpec) -> Encoder:
    from fanwise.model.images import image_reader  # noqa: PLC0415

    read = image_reader(contract, spec)
    return lambda item: read(_image_bytes(carried, item))


def _text(raw: msgspec.Raw, carried: str) -> str:
    try:
        return msgspec.json.decode(raw, type=str)
    except (msgspec.DecodeError, UnicodeError) as error:
        shown = bytes(raw)[:60].decode("utf-8", "replace")
        raise NotText(f"input {carried!r} is {shown}, not text") from error


def _image_bytes(carried: str, item: Item) -> bytes:
    raw = item.inputs.get(carried)
    if raw is None:
        if item.uri is None:
            raise MissingInput(
                f'the item has neither "uri" nor {carried!r} under "inputs", and the model takes an image'
            )
        uri = item.uri
    else:
        try:
            uri = _text(raw, carried)
        except NotText as error:
            raise BadUri(f"{error}; an image is given as a URI or as data: in base64") from error
    if uri[:5].lower() == "data:":
        return _data_bytes(uri)
    try:
        return item.read(item.resolve_uri(uri))
    except FileNotFoundError as error:
        raise NotFound(str(error)) from error
    except PermissionError as error:
        raise Forbidden(str(error)) from error
    except LocationError as error:
        raise BadUri(str(error)) from error


def _data_bytes(uri: str) -> bytes:
    """The bytes of a `data:` URI (RFC 2397) in base64."""
    head, comma, body = uri.partition(",")
    if not comma or not head.lower().endswith(";base64"):
        raise UndecodableImage('a data: URI of an image must be in base64: "data:image/png;base64,…"')
    if len(body) > (MAX_IMAGE_BYTES + 2) // 3 * 4 + 4:
        raise ImageTooLarge(f"the image has more than the {MAX_IMAGE_BYTES:,} bytes allowed")
    try:
        return binascii.a2b_base64(body, strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise UndecodableImage(f"the data: URI is not base64: {error}") from error
