"""What is fuzzed: a function for each kind of file that people give, from bytes to a result or an error of ours.

A target returns for whatever it is given, and raises where the parsers break a promise. It is ordinary code, so
that the ordinary tests run it over the seeds and over what has been found (`test_targets.py`).
"""

import json
from collections.abc import Callable, Mapping

import msgspec

from fanwise.errors import BundleError, ItemError, ItemsFileError, ManifestError
from fanwise.items.columns import check_columns, read_header
from fanwise.items.cutting import cut_entries
from fanwise.items.dead_letters import dead_letter_of_record
from fanwise.items.lines import LineKind, cut, split_records
from fanwise.items.manifest import read_manifest
from fanwise.items.parsing import Item, parse_record, read_fields
from fanwise.limits import MAX_CSV_HEADER_BYTES
from fanwise.model.binding import bind, mini_batch, read_labels
from fanwise.model.bundle import digest_of, needed, read_digest
from fanwise.model.contract import read_contract
from fanwise.model.signature import Signature, TensorSpec
from fanwise.records import Failure, ItemsSource, Kind
from fanwise_cli.verification.lines import read_dead_letter, wrong_with_dead_letter

BASE = "s3://bucket/folder/"
READABLE = ("s3://bucket/",)
KINDS: Mapping[str, Kind] = {"x": "number", "text": "text", "photo": "image"}
SIGNATURE = Signature(
    {
        "photo": TensorSpec("uint8", (None, 28, 28, 1)),
        "x": TensorSpec("float32", (None, 2)),
        "text": TensorSpec("string", (None,)),
    },
    {"y": TensorSpec("float32", (None, 2)), "z": TensorSpec("int8", None)},
)


def items_jsonl(data: bytes) -> None:
    """The first byte says how the stream is cut into chunks; the rest is an items file."""
    _items(data[1:], "jsonl", chunk_bytes=1 + int.from_bytes(data[:1], "big"), columns=None, begin=0, line=1)


def items_csv(data: bytes) -> None:
    """As `items_jsonl`, with a header."""
    chunk_bytes, text = 1 + int.from_bytes(data[:1], "big"), data[1:]
    try:
        beginning = text[: MAX_CSV_HEADER_BYTES + 16]
        columns, begin, line = read_header(beginning, "items.csv", is_whole_file=len(beginning) == len(text))
        check_columns(columns, "items.csv", KINDS)
    except ItemsFileError as error:
        _told(error)
        return
    _items(text, "csv", chunk_bytes=chunk_bytes, columns=columns, begin=begin, line=line)


def _items(
    data: bytes, kind: LineKind, *, chunk_bytes: int, columns: tuple[str, ...] | None, begin: int, line: int
) -> None:
    """Entries tile the file and hold the records that were counted; every record makes a line that explains it."""
    source = ItemsSource(
        uri=BASE + "items",
        kind=kind,
        size_bytes=len(data),
        etag="e",
        columns=columns,
        base=BASE,
        readable=READABLE,
    )
    chunks = (data[at : at + chunk_bytes] for at in range(begin, len(data), chunk_bytes))
    end, index = begin, 0
    for entry in cut_entries(chunks, kind, 3, start=begin, first_line=line):
        bom_bytes = 3 if entry.start == 3 and end == 0 else 0
        _hold(entry.start == end + bom_bytes and entry.first == index, "entries tile the file")
        text = data[entry.start : entry.end]
        records = list(
            split_records(text, kind, start=entry.start, first_line=entry.first_line, end=entry.end)
        )
        _hold(len(records) == entry.count, "an entry holds what was counted")
        _hold(sum(piece.count for piece in cut(text, kind, entry, 4)) == entry.count, "pieces hold the entry")
        for record in records:
            try:
                found: Item | None = parse_record(record, index, source, KINDS)
                failure = Failure(error="Died", message="", stage="invocation", attempts=1, line=record.line)
            except ItemError as error:
                found, failure = None, _failure(error, record.line)
            written = dead_letter_of_record(record, index, source, KINDS, failure)
            _hold(written.count(b"\n") == 1 and b"\r" not in written, "a line is one line")
            json.loads(written)
            letter = read_dead_letter(written.removesuffix(b"\n"))
            try:
                fields = read_fields(record, source, KINDS)
            except ItemError:
                fields = None
            _hold(found is None or fields is not None, "an item was read")
            wrong = wrong_with_dead_letter(letter, record, fields, source, KINDS)
            _hold(wrong is None, f"a dead letter explains its item, but {wrong}")
            index += 1
        end = entry.end
    _hold(index == 0 or end == len(data), "entries reach the end of the file")


def manifest(data: bytes) -> None:
    """A manifest in a file, and inline."""
    try:
        read = read_manifest(data, "job.json", BASE)
    except ManifestError as error:
        _told(error)
    else:
        again = read_manifest(msgspec.json.encode(read), "again", BASE)
        _hold(again == read and read.items.startswith("s3://"), "a manifest reads back the same")
    try:
        inline = json.loads(data)
    except (ValueError, RecursionError):
        return
    if isinstance(inline, dict):
        try:
            read_manifest(inline, "manifest", None)
        except ManifestError as error:
            _told(error)


def contract(data: bytes) -> None:
    """model.json, against a signature; what comes after a zero byte is its label file."""
    text, _, labels = data.partition(b"\0")
    try:
        declared = read_contract(text, "model.json")
        bound = bind(
            declared, SIGNATURE, {name: read_labels(labels, name) for name in declared.label_files()}
        )
        _hold(mini_batch(SIGNATURE, bound) >= 1 and bool(bound.outputs), "what is bound can predict")
    except BundleError as error:
        _told(error)


def digest(data: bytes) -> None:
    """digest.json, as it is and as if it agreed with itself."""
    _digest(data)
    try:
        found = json.loads(data)
        found["digest"] = digest_of({name: file["sha256"] for name, file in found["files"].items()})
        agreeing = json.dumps(found).encode()
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return
    _digest(agreeing)


def _digest(data: bytes) -> None:
    try:
        read = read_digest(data, "digest.json")
    except BundleError as error:
        _told(error)
        return
    for name in [*needed(read, "tensorflow"), *needed(read, "litert")]:
        _hold(
            bool(name) and not name.startswith("/") and ".." not in name.split("/"),
            "files stay in the bundle",
        )
    try:
        mini_batch(read.signature, bind(read_contract(b"{}", "model.json"), read.signature, {}))
    except BundleError as error:
        _told(error)


def _failure(error: ItemError, line: int) -> Failure:
    _told(error)
    return Failure(error=type(error).__name__, message=str(error), stage=error.stage, attempts=1, line=line)


def _told(error: Exception) -> None:
    """A message can be written down, and is not the whole of what was given."""
    _hold(0 < len(str(error).encode()) < 20_000, "a message is one that people can read")


def _hold(promise: bool, what: str) -> None:
    if not promise:
        raise AssertionError(f"broken: {what}")


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    target.__name__: target for target in (items_jsonl, items_csv, manifest, contract, digest)
}
