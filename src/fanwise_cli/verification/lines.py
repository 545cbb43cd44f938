"""A line of a part, held against the item that it is about.

Each check answers with what is wrong, in words, or None. `line` is without its line end.
"""

import base64
import binascii
from collections.abc import Mapping

import msgspec

from fanwise.errors import ItemError
from fanwise.items.lines import Record
from fanwise.items.own_keys import restore
from fanwise.items.parsing import Fields, item_of
from fanwise.limits import RAW_KEPT_BYTES
from fanwise.records import Failure, ItemsSource, Kind

_CUT_CHARACTER_BYTES = 3  # that may be missing of a raw line's end, where a character would have been cut
_SHOWN_CHARACTERS = 60
_UNREADABLE = (UnicodeDecodeError, msgspec.DecodeError, RecursionError)


class PredictionLine(msgspec.Struct, forbid_unknown_fields=True):
    """A prediction, as far as it is looked at."""

    index: int
    id: msgspec.Raw
    prediction: dict[str, msgspec.Raw]
    item: dict[str, msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET


class DeadLetter(msgspec.Struct):
    """A dead letter: what its item has is looked at in `fields`."""

    index: int
    failure: Failure
    fields: dict[str, msgspec.Raw]


_prediction_decoder = msgspec.json.Decoder(PredictionLine)
_fields_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_failure_decoder = msgspec.json.Decoder(Failure)
_index_decoder = msgspec.json.Decoder(int)
_text_decoder = msgspec.json.Decoder(str)


def read_prediction(line: bytes) -> PredictionLine:
    """Read a prediction; raises `ValueError` where the line is none."""
    try:
        line.decode()
        return _prediction_decoder.decode(line)
    except _UNREADABLE as error:
        raise ValueError(f"is no prediction: {error}") from error


def read_dead_letter(line: bytes) -> DeadLetter:
    """Read a dead letter; raises `ValueError` where the line is none."""
    try:
        line.decode()
        fields = _fields_decoder.decode(line)
        index = _index_decoder.decode(fields.pop("index"))
        return DeadLetter(index, _failure_decoder.decode(fields.pop("failure")), fields)
    except KeyError as error:
        raise ValueError(f"is no dead letter: it has no {error.args[0]!r}") from error
    except _UNREADABLE as error:
        raise ValueError(f"is no dead letter: {error}") from error


def wrong_with_prediction(line: PredictionLine, fields: Fields | None) -> str | None:
    """What a prediction has that its item does not explain."""
    if fields is None:
        return "is a prediction of an item whose line cannot be read"
    given = {} if fields.uri is None else {"uri": fields.uri}
    carried = {} if line.item is msgspec.UNSET else line.item
    return _other_id(line.id, line.index, fields) or _other_values("item", carried, given | fields.carried)


def wrong_with_dead_letter(
    letter: DeadLetter,
    record: Record,
    fields: Fields | None,
    source: ItemsSource,
    kinds: Mapping[str, Kind],
) -> str | None:
    """What a dead letter has that its item does not explain, or has lost of it."""
    if letter.failure.line != record.line:
        return f"says line {letter.failure.line} of the items, and the item stands in line {record.line}"
    if fields is None:
        return _other_raw(letter, record)
    found = dict(letter.fields)
    own_id, uri, inputs = (found.pop(key, None) for key in ("id", "uri", "inputs"))
    restore(found)
    return (
        _other_id(own_id, letter.index, fields)
        or _other_values("carried keys", found, fields.carried)
        or _other_sources(uri, inputs, letter.index, record, fields, source, kinds)
    )


def _other_id(found: msgspec.Raw | None, index: int, fields: Fields) -> str | None:
    """The id is as it came in, and the index where there was none."""
    wanted = str(index).encode() if fields.id is None else bytes(fields.id)
    if found is not None and bytes(found) == wanted:
        return None
    return f'has "id" {_shown(found)}, and the item\'s is {_shown(wanted)}'


def _other_values(
    what: str, found: Mapping[str, msgspec.Raw], given: Mapping[str, msgspec.Raw]
) -> str | None:
    if found == given:
        return None
    names = sorted(name for name in found.keys() | given.keys() if found.get(name) != given.get(name))
    return f"has other {what} than the item: {', '.join(map(repr, names[:5]))}"


def _other_sources(
    uri: msgspec.Raw | None,
    inputs: msgspec.Raw | None,
    index: int,
    record: Record,
    fields: Fields,
    source: ItemsSource,
    kinds: Mapping[str, Kind],
) -> str | None:
    """`uri` and `inputs` are the item's with URIs made absolute; of an item that is none, as they came in."""
    if (uri is None) != (fields.uri is None):
        return 'has a "uri" and the item none, or the other way round'
    try:
        item = item_of(fields, record, index, source, kinds)
    except ItemError:
        return None if inputs == fields.inputs else 'has other "inputs" than the item'
    try:
        named = None if uri is None else _text_decoder.decode(uri)
        values = {} if inputs is None else _fields_decoder.decode(inputs)
    except msgspec.DecodeError as error:
        return f"is no dead letter: {error}"
    if named != item.uri:
        return f'has "uri" {_shown(uri)}, and the item\'s is {item.uri!r}'
    return _other_values("inputs", values, item.inputs)


def _other_raw(letter: DeadLetter, record: Record) -> str | None:
    """A line that could not be read is kept as it is, up to `limits.RAW_KEPT_BYTES`."""
    found = letter.fields
    if found.keys() - {"raw_encoding"} != {"id", "raw"} or bytes(found["id"]) != str(letter.index).encode():
        return "keeps more or less than the item's line, which could not be read"
    try:
        text = _text_decoder.decode(found["raw"])
        kept = base64.b64decode(text, validate=True) if "raw_encoding" in found else text.encode()
    except (msgspec.DecodeError, binascii.Error, UnicodeEncodeError):
        return 'has a "raw" that cannot be read'
    longest = min(len(record.text), RAW_KEPT_BYTES)
    is_cut = record.is_too_long or longest < len(record.text)
    shortest = longest - _CUT_CHARACTER_BYTES if is_cut else longest
    if not shortest <= len(kept) <= longest or not record.text.startswith(kept):
        return 'has another "raw" than the item\'s line'
    return None


def _shown(value: bytes | msgspec.Raw | None) -> str:
    if value is None:
        return "none"
    text = bytes(value).decode("utf-8", "replace")
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
