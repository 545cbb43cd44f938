"""A record of the items file → an item: what an invocation predicts, and what goes back into its line.

Values stay as the JSON that came in (`msgspec.Raw`), so that a large whole number or 1.10 comes back byte for
byte, and only what the model reads is ever decoded.
"""

import re
from collections.abc import Mapping
from typing import Literal

import msgspec

from fanwise.errors import (
    BadId,
    BadInputs,
    BadUri,
    LineTooLong,
    NotAnObject,
    NotJson,
    NotUtf8,
    TooDeep,
    TooManyKeys,
)
from fanwise.items.bare_base64 import why_no_uri
from fanwise.items.columns import fields_of_row, refuse_long_row
from fanwise.items.lines import Record
from fanwise.items.nesting import is_deeper_than
from fanwise.items.own_keys import without_ours
from fanwise.items.readable import Readable, why_not_readable
from fanwise.items.repeated_keys import may_repeat, refuse_repeated_inputs, refuse_repeated_keys
from fanwise.items.uris import absolute_uri
from fanwise.json_text import hint_at, lone_surrogate
from fanwise.limits import MAX_COLUMNS, MAX_LINE_BYTES, MAX_NESTING
from fanwise.records import ItemsSource

Kinds = Mapping[str, Literal["image", "number", "text"]]

_RAW = frozenset(("raw", "raw_encoding"))  # of a dead letter whose line could not be read

_object_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_text_decoder = msgspec.json.Decoder(str)
_any_decoder = msgspec.json.Decoder(msgspec.Raw)

_NAMED = 5  # names that a message lists
_TOO_DEEP = f"the line is nested deeper than {MAX_NESTING}; flatten it"
_WHOLE_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)")


class Fields(msgspec.Struct, frozen=True):
    """A record that could be read, not yet looked at: its top-level values as they came in."""

    id: msgspec.Raw | None
    uri: msgspec.Raw | None
    inputs: msgspec.Raw | None
    carried: dict[str, msgspec.Raw]
    is_dead_letter: bool = False
    keys: int = 0  # that the line has

    def values(self) -> tuple[msgspec.Raw | None, ...]:
        """All of them."""
        return (self.id, self.uri, self.inputs, *self.carried.values())


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to predict. `id`, `uri_given` and `carried` are as they came in; `uri` is absolute.

    `inputs` are the values by name; images among them that are URIs are absolute too. `base` is the folder that
    the item's relative names stand in, `readable` what it may point at.
    """

    index: int
    line: int
    id: msgspec.Raw | None
    uri_given: msgspec.Raw | None
    uri: str | None
    inputs: dict[str, msgspec.Raw]
    carried: dict[str, msgspec.Raw]
    base: str
    readable: Readable

    def resolve(self, uri: str) -> str:
        """A URI that the item gives as the absolute one it stands for; raises `BadUri`."""
        return _resolved(uri, self.base, self.readable)


def parse_record(record: Record, index: int, source: ItemsSource, kinds: Kinds) -> Item:
    """The item that a record holds; `kinds` are the names under which the model reads values.

    Raises the `ItemError`s of the stages read and parse.
    """
    fields = _fields(record, source, kinds)
    item = _item(fields, record, index, source, kinds)
    if source.kind == "jsonl" and may_repeat(record.text, fields.keys + len(item.inputs)):
        refuse_repeated_keys(record.text, fields.keys, fields.values())
        if fields.inputs is not None:
            refuse_repeated_inputs(fields.inputs)
    return item


def read_fields(record: Record, source: ItemsSource, kinds: Kinds) -> Fields:
    """The values of a record, by the file's kind. Raises the `ItemError`s of the stage read."""
    fields = _fields(record, source, kinds)
    if source.kind == "jsonl":
        refuse_repeated_keys(record.text, fields.keys, fields.values())
    return fields


def _fields(record: Record, source: ItemsSource, kinds: Kinds) -> Fields:
    is_csv = source.kind == "csv"
    if record.is_too_long:
        if is_csv:
            refuse_long_row(record)
        raise LineTooLong(
            f"the line has {record.end - record.start:,} bytes ({record.start} to {record.end} of {source.uri});"
            f" at most {MAX_LINE_BYTES:,}"
        )
    try:
        text = record.text.decode()
    except UnicodeDecodeError as error:
        raise NotUtf8(f"the line is not UTF-8 at its byte {error.start}; save the file as UTF-8") from error
    values = fields_of_row(record, text, source.columns or (), kinds) if is_csv else _object(record.text)
    keys = len(values)
    id_, uri, inputs = values.pop("id", None), values.pop("uri", None), values.pop("inputs", None)
    is_letter = not is_csv and ("failure" in values or "index" in values) and without_ours(values, source)
    return Fields(id_, uri, inputs, values, is_letter, keys)


def _object(text: bytes) -> dict[str, msgspec.Raw]:
    try:
        values = _object_decoder.decode(text)
        if is_deeper_than(MAX_NESTING, text):
            raise TooDeep(_TOO_DEEP)
        # White space, since it could be decoded; but in a line that we write, some would take it for the end.
        if b"\r" in text:
            values = _object_decoder.decode(text.replace(b"\r", b" "))
    except RecursionError as error:
        raise TooDeep(_TOO_DEEP) from error
    except msgspec.DecodeError as error:
        raise _why_no_object(text, error) from error
    return values


def _why_no_object(text: bytes, error: Exception) -> NotAnObject | NotJson | TooDeep:
    if isinstance(error, msgspec.ValidationError):
        try:
            _any_decoder.decode(text)
        except RecursionError:
            return TooDeep(_TOO_DEEP)
        except msgspec.DecodeError as malformed:
            error = malformed
        else:
            return NotAnObject(
                f'the line is JSON, but no object ({error}); write {{"uri": …}} or {{"inputs": …}}'
            )
    surrogate = lone_surrogate(text)
    if surrogate is not None:
        return NotJson(
            f"the line is not JSON that UTF-8 can hold: a lone surrogate, {surrogate};"
            f" write both halves of the pair, or leave it out"
        )
    hint = hint_at(text)
    why = str(error).removeprefix("JSON is malformed: ")
    return NotJson(f"the line is not JSON: {why}{f'; {hint}' if hint else ''}")


def item_of(fields: Fields, record: Record, index: int, source: ItemsSource, kinds: Kinds) -> Item:
    """The item that a record's values make. Raises the `ItemError`s of the stage parse."""
    item = _item(fields, record, index, source, kinds)
    if source.kind == "jsonl" and fields.inputs is not None:
        refuse_repeated_inputs(fields.inputs)
    return item


def _item(fields: Fields, record: Record, index: int, source: ItemsSource, kinds: Kinds) -> Item:
    _check_keys(fields.carried, "the item")
    if fields.id is not None:
        _check_id(fields.id)
    if fields.uri is None and fields.inputs is None:
        if fields.is_dead_letter and "raw" in fields.carried and fields.carried.keys() <= _RAW:
            raise BadInputs(
                'the item is a line that could not be read ("raw"); mend it, and run it as an item'
            )
        raise _nothing_given(fields.carried, kinds)
    return Item(
        index=index,
        line=record.line,
        id=fields.id,
        uri_given=fields.uri,
        uri=None if fields.uri is None else _uri(fields.uri, source),
        inputs={} if fields.inputs is None else _inputs(fields.inputs, source, kinds),
        carried=fields.carried,
        base=source.base,
        readable=source.readable,
    )


def _nothing_given(carried: Mapping[str, msgspec.Raw], kinds: Kinds) -> BadInputs:
    own = [name for name in kinds if name in carried]
    meant = own or list(kinds)
    names = ", ".join(map(repr, meant[:_NAMED])) + (", …" if len(meant) > _NAMED else "")
    remedy = f'; put {names} under "inputs"' if own else f"; the model takes {names}" if names else ""
    error = BadInputs(f'the item has neither "uri" nor "inputs", so there is nothing to predict from{remedy}')
    error.lacks = tuple(kinds)
    return error


def _check_keys(values: Mapping[str, msgspec.Raw], what: str) -> None:
    if len(values) > MAX_COLUMNS:
        raise TooManyKeys(
            f"{what} has {len(values):,} keys; at most {MAX_COLUMNS:,}: put what belongs together into one array"
        )


def _check_id(raw: msgspec.Raw) -> None:
    if _WHOLE_NUMBER.fullmatch(raw) or _text(raw) is not None:
        return
    raise BadId(f'"id" is {_shown(raw)}; text or a whole number, or leave it out')


def _uri(raw: msgspec.Raw, source: ItemsSource) -> str:
    given = _text(raw)
    if given is None:
        raise BadUri(f'"uri" is {_shown(raw)}; text, or leave it out')
    if is_data(given):
        raise BadUri('"uri" is a data: URI; put it under "inputs", by the name of the input')
    payload = why_no_uri(given)
    if payload is not None:
        raise BadUri(f'"uri" is no URI: {payload} under "inputs", by the name of the input')
    return _resolved(given, source.base, source.readable)


def is_data(uri: str) -> bool:
    """Whether it is a `data:` URI (RFC 2397), which carries its bytes and points at nothing."""
    return uri[:5].lower() == "data:"


def _resolved(given: str, base: str, readable: Readable) -> str:
    uri = absolute_uri(given, base)
    why = why_not_readable(uri, readable)
    if why is not None:
        raise BadUri(why)
    return uri


def _inputs(raw: msgspec.Raw, source: ItemsSource, kinds: Kinds) -> dict[str, msgspec.Raw]:
    try:
        inputs = _object_decoder.decode(raw)
    except msgspec.ValidationError as error:
        message = f'"inputs" is {_shown(raw)}; an object of values by the name of the input'
        raise BadInputs(message) from error
    _check_keys(inputs, '"inputs"')
    if "image" not in kinds.values():
        return inputs
    for name, value in inputs.items():
        if kinds.get(name) == "image":
            given = _text(value)
            if given is not None and not is_data(given):
                payload = why_no_uri(given)
                if payload is not None:
                    raise BadUri(f"input {name!r} is no URI: {payload}")
                uri = _resolved(given, source.base, source.readable)
                inputs[name] = msgspec.Raw(msgspec.json.encode(uri))
    return inputs


def _text(raw: msgspec.Raw) -> str | None:
    """The text that a JSON value is; None for any other value."""
    try:
        return _text_decoder.decode(raw)
    except msgspec.DecodeError:
        return None


def _shown(raw: msgspec.Raw) -> str:
    """A value as a message shows it."""
    text = bytes(raw)[:80].decode("utf-8", "replace")
    return text if len(raw) <= 60 else text[:60] + "…"
