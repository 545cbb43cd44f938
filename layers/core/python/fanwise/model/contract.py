"""model.json: what a bundle says about its inputs and outputs (docs/contracts.md, "Model bundle").

Read here, without the model; `binding` holds it against the signature. No numpy, no TensorFlow: PlanJob and the
command read it too.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any, Literal, NoReturn

import msgspec

from fanwise.errors import BundleError
from fanwise.json_text import Malformed, OtherFile, RepeatedKey, read_json
from fanwise.limits import MAX_COLUMNS
from fanwise.model.signature import TensorSpec
from fanwise.records import Kind

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
MAX_IMAGE_SIDE = 8192  # of the tensor: 8192 by 8192 by 4 as float32 is 1 GB
DEFAULT_SIGNATURE = "serving_default"
DEFAULT_TOP_K = 5
_BOM = b"\xef\xbb\xbf"


class _InputKeys(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    # The item's value is taken from this name; None: from the input's own.
    from_: str | None = msgspec.field(default=None, name="from")

    def names(self, own: str) -> tuple[str, ...]:
        """The names under which an item carries this input's values; `own` is the signature's name."""
        return (self.from_ or own,)


class ImageInput(_InputKeys, frozen=True, kw_only=True, tag="image", tag_field="kind"):
    """An image: decoded, converted to `channels`, resized, scaled from 0…255 to `scale`."""

    height: int
    width: int
    channels: Literal[1, 3, 4] = 3
    resize: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bilinear"
    scale: tuple[float, float] | None = None
    decode: Literal["exact", "scaled"] = "exact"


class NumberInput(_InputKeys, frozen=True, kw_only=True, tag="number", tag_field="kind"):
    """A number or nested array; with `columns`, named scalars stacked in that order."""

    columns: tuple[str, ...] | None = None

    def names(self, own: str) -> tuple[str, ...]:
        """The names under which an item carries this input's values; `own` is the signature's name."""
        return self.columns or (self.from_ or own,)


class TextInput(_InputKeys, frozen=True, kw_only=True, tag="text", tag_field="kind"):
    """One string."""


InputContract = ImageInput | NumberInput | TextInput
KINDS: Mapping[type, Kind] = {ImageInput: "image", NumberInput: "number", TextInput: "text"}


class OutputContract(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One output: under which name it is written (`as`), whether, and in what form."""

    as_: str | None = msgspec.field(default=None, name="as")
    drop: bool = False
    keep: Literal["raw", "top_k", "argmax"] = "raw"
    k: int | None = None
    labels: str | None = None


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """model.json, whole. Without the file: `Contract()`, in which every input and output goes by its dtype."""

    name: str | None = None
    signature: str = DEFAULT_SIGNATURE
    inputs: Mapping[str, InputContract] = {}
    outputs: Mapping[str, OutputContract] = {}

    def input_of(self, name: str, spec: TensorSpec) -> InputContract:
        """What is said of an input, or by its dtype where nothing is: text for string, else number."""
        return self.inputs.get(name) or (TextInput() if spec.dtype == "string" else NumberInput())

    def kinds(self, signature_inputs: Mapping[str, TensorSpec]) -> dict[str, Kind]:
        """The kind of each value, by the name under which items carry it (`from`, members of `columns`)."""
        kinds: dict[str, Kind] = {}
        for name, spec in signature_inputs.items():
            contract = self.input_of(name, spec)
            for carried in contract.names(name):
                kind = KINDS[type(contract)]
                if kinds.setdefault(carried, kind) != kind:
                    raise BundleError(
                        f"model.json: inputs take the item's {carried!r} both as {kinds[carried]} and as {kind};"
                        f' give one of them another name with "from"'
                    )
        return kinds

    def label_files(self) -> tuple[str, ...]:
        """The files of labels that it names, relative to the bundle."""
        return tuple(sorted({output.labels for output in self.outputs.values() if output.labels is not None}))


def read_contract(text: bytes, where: str) -> Contract:
    """Read model.json; `where` names the file in messages. Raises `BundleError` with the place and the remedy."""
    found = _json(text, where)
    whole = _object(found, where, "", ("name", "signature", "inputs", "outputs"))
    inputs = {
        name: _read_input(value, where, f"inputs.{name}")
        for name, value in _object(whole.get("inputs", {}), where, "inputs").items()
    }
    outputs = {
        name: _read_output(value, where, f"outputs.{name}")
        for name, value in _object(whole.get("outputs", {}), where, "outputs").items()
    }
    name = _convert(whole.get("name"), str | None, where, "name")
    if name is not None and not NAME.fullmatch(name):
        raise BundleError(
            f'{where}: name {name!r} cannot be a model\'s name; use up to 100 letters, digits, ".", "_" and "-",'
            f" the first a letter or digit"
        )
    signature = _convert(whole.get("signature", DEFAULT_SIGNATURE), str, where, "signature")
    return Contract(name=name, signature=signature, inputs=inputs, outputs=outputs)


def _json(text: bytes, where: str) -> Any:
    try:
        read_json(text, where)
        return msgspec.json.decode(text.removeprefix(_BOM))
    except OtherFile as error:
        raise BundleError(f"{where} {error.why}") from error
    except RepeatedKey as error:
        raise BundleError(f"{where}{error.place}: {error.why}") from error
    except Malformed as error:
        why = f"{error.place.removeprefix(', ')}: {error.why}"
        raise BundleError(f"{where}: not JSON ({why}); correct it, or leave the file out") from error
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{where}: not JSON ({error}); correct it, or leave the file out") from error


def _refuse(where: str, place: str, what: str) -> NoReturn:
    raise BundleError(f"{where}: {place}: {what}" if place else f"{where}: {what}")


def _object(found: Any, where: str, place: str, known: Iterable[str] | None = None) -> dict[str, Any]:
    """`found` as an object, and with no keys but the known ones."""
    if not isinstance(found, dict):
        _refuse(where, place, f"must be an object {{…}}, not {msgspec.json.encode(found).decode()[:80]}")
    for key in found:
        if known is not None and key not in known:
            near = difflib.get_close_matches(key, known, 1)
            remedy = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
            _refuse(where, place, f"unknown key {key!r}; {remedy}")
    return found


def _convert(value: Any, wanted: Any, where: str, place: str) -> Any:
    try:
        return msgspec.convert(value, wanted)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$")
        key = path.strip("`")
        _refuse(where, place + key, what[0].lower() + what[1:])


def _keys(struct: type[msgspec.Struct]) -> tuple[str, ...]:
    return tuple(field.encode_name for field in msgspec.structs.fields(struct))


def _choices(value: Mapping[str, Any], key: str, allowed: tuple[Any, ...], where: str, place: str) -> None:
    """Name the choices, where msgspec would only say that the value is not one of them."""
    if key in value and value[key] not in allowed:
        got = msgspec.json.encode(value[key]).decode()
        _refuse(where, place, f'"{key}" is {got[:80]}; one of {", ".join(map(str, allowed))}')


def _read_input(found: Any, where: str, place: str) -> InputContract:
    kinds = {kind: struct for struct, kind in KINDS.items()}
    value = _object(found, where, place)
    if "kind" not in value:
        _refuse(where, place, f'"kind" is missing; say one of {", ".join(kinds)}')
    _choices(value, "kind", tuple(kinds), where, place)
    _object(value, where, place, ("kind", *_keys(kinds[value["kind"]])))
    _choices(value, "channels", (1, 3, 4), where, place)
    _choices(value, "resize", ("nearest", "bilinear", "bicubic", "lanczos"), where, place)
    _choices(value, "decode", ("exact", "scaled"), where, place)
    contract: InputContract = _convert(value, InputContract, where, place)
    if isinstance(contract, ImageInput):
        for side in ("height", "width"):
            if not 1 <= getattr(contract, side) <= MAX_IMAGE_SIDE:
                _refuse(
                    where, place, f'"{side}" is {getattr(contract, side)}; 1 to {MAX_IMAGE_SIDE} are allowed'
                )
    if isinstance(contract, NumberInput) and contract.columns is not None:
        if not contract.columns or len(set(contract.columns)) < len(contract.columns):
            _refuse(where, place, '"columns" must name at least one column, and none of them twice')
        if len(contract.columns) > MAX_COLUMNS:
            _refuse(
                where,
                place,
                f'"columns" names {len(contract.columns):,}; at most {MAX_COLUMNS:,}: without "columns", an item'
                f" gives the input as one array",
            )
        if contract.from_ is not None:
            _refuse(
                where, place, '"from" and "columns" exclude each other; "columns" says where values are from'
            )
    return contract


def _read_output(found: Any, where: str, place: str) -> OutputContract:
    value = _object(found, where, place, _keys(OutputContract))
    _choices(value, "keep", ("raw", "top_k", "argmax"), where, place)
    contract: OutputContract = _convert(value, OutputContract, where, place)
    if contract.drop and len(value) > 1:
        _refuse(where, place, '"drop" leaves the output out, so it stands alone; remove it or the other keys')
    if contract.k is not None and contract.keep != "top_k":
        _refuse(where, place, f'"k" is for "keep": "top_k", and this output keeps {contract.keep}')
    if contract.k is not None and contract.k < 1:
        _refuse(where, place, f'"k" is {contract.k}; at least 1')
    if contract.labels is not None:
        if contract.keep == "raw":
            _refuse(where, place, '"labels" is for "keep": "top_k" or "argmax", and this output keeps raw')
        path = PurePosixPath(contract.labels)
        if path.is_absolute() or ".." in path.parts or str(path) != contract.labels or contract.labels == ".":
            _refuse(where, place, f'"labels" is {contract.labels!r}; name a file inside the bundle')
    return contract
