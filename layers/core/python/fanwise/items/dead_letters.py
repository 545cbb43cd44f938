"""The lines that a job leaves behind: predictions, and dead letters, which can be used as items again.

Their keys and the order of them are CONTRACTS'; the same item gives the same bytes.
"""

import base64
from collections.abc import Iterable, Mapping

import msgspec

from fanwise.errors import BadUri, ItemError
from fanwise.items.lines import Record
from fanwise.items.own_keys import beside_ours
from fanwise.items.parsing import Fields, Item, Kinds, is_data, item_of, read_fields
from fanwise.items.uris import absolute_uri
from fanwise.limits import RAW_KEPT_BYTES
from fanwise.records import Failure, ItemsSource

_encoder = msgspec.json.Encoder()


def prediction_lines(predicted: Iterable[tuple[Item, Mapping[str, object]]]) -> bytes:
    """The lines of items that were predicted. The `id` of an item is its index where it has none."""
    return _encoder.encode_lines([_prediction(item, prediction) for item, prediction in predicted])


def _prediction(item: Item, prediction: Mapping[str, object]) -> dict[str, object]:
    line: dict[str, object] = {
        "index": item.index,
        "id": item.index if item.id is None else item.id,
        "prediction": prediction,
    }
    if item.uri_given is not None:
        line["item"] = {"uri": item.uri_given, **item.carried}
    elif item.carried:
        line["item"] = item.carried
    return line


def dead_letter_of_item(item: Item, failure: Failure) -> bytes:
    """The dead letter of an item: the item with its URIs made absolute, and why."""
    line: dict[str, object] = {"index": item.index, "id": item.index if item.id is None else item.id}
    if item.uri is not None:
        line["uri"] = item.uri
    if item.inputs or item.uri is None:
        line["inputs"] = item.inputs
    return _encoder.encode(line | beside_ours(item.carried) | {"failure": failure}) + b"\n"


def dead_letter_of_record(
    record: Record, index: int, source: ItemsSource, kinds: Kinds, failure: Failure
) -> bytes:
    """The dead letter of a record that no item was made of: as much of an item as it is, else `raw`."""
    try:
        fields = read_fields(record, source, kinds)
    except ItemError:
        return _encoder.encode({"index": index, "id": index, **_raw(record), "failure": failure}) + b"\n"
    try:
        return dead_letter_of_item(item_of(fields, record, index, source, kinds), failure)
    except ItemError:
        return _encoder.encode(_as_it_came(fields, index, source.base) | {"failure": failure}) + b"\n"


def _as_it_came(fields: Fields, index: int, base: str) -> dict[str, object]:
    line: dict[str, object] = {"index": index, "id": index if fields.id is None else fields.id}
    if fields.uri is not None:
        try:
            given = msgspec.json.decode(fields.uri, type=str)
            line["uri"] = given if is_data(given) else absolute_uri(given, base)
        except (BadUri, msgspec.DecodeError):
            line["uri"] = fields.uri
    if fields.inputs is not None:
        line["inputs"] = fields.inputs
    return line | beside_ours(fields.carried)


def _raw(record: Record) -> dict[str, str]:
    """The first `limits.RAW_KEPT_BYTES` of a record: as text, or in base64 where they are not UTF-8."""
    kept = record.text[:RAW_KEPT_BYTES]
    if len(record.text) > RAW_KEPT_BYTES or record.is_too_long:
        kept = _without_cut_character(kept)
    try:
        return {"raw": kept.decode()}
    except UnicodeDecodeError:
        return {"raw": base64.b64encode(kept).decode(), "raw_encoding": "base64"}


def _without_cut_character(text: bytes) -> bytes:
    """Without the last character, where only its first bytes were kept (at most three: RFC 3629)."""
    for length in range(1, 4):
        byte = text[-length]
        if byte >= 0xC0:  # the first byte of a character, which has more bytes than are there
            wanted = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return text[:-length] if wanted > length else text
        if byte < 0x80:
            break
    return text
