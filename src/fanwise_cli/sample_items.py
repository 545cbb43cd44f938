"""A person's own items (`--samples`) → mini-batches for `comparing`, and the time that `measuring` tells: rows as
PredictBatch would make them.

Items are files of this machine, and what they point at lies in the folder of theirs. Read in the process that
prepares the bundle, which has the model.
"""

import time
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from statistics import median

import msgspec

from fanwise.errors import BundleError, InputError, ItemError
from fanwise.items.columns import check_columns
from fanwise.items.folder import files_of_folder
from fanwise.items.lines import Record, split_records
from fanwise.items.parsing import parse_record
from fanwise.limits import MAX_ENTRY_BYTES
from fanwise.model.model import Model, Row
from fanwise.planning.source import pin_items
from fanwise.records import ItemsSource, Kind
from fanwise.storage import FolderBackend, Storage
from fanwise_cli.comparing import Samples, mini_batches

MINI_BATCHES = 8  # of items, at most: more tell little more, and each is computed in every form of the model

_BASE = "s3://samples/"


def sample_items(given: Path, model: Model) -> tuple[Samples, list[str]]:
    """The first items of a file or folder, and what to say where some of them are no use.

    Raises `BundleError` where none is.
    """
    folder = _folder_of(given)
    rows: list[Row] = []
    wrong: list[str] = []
    try:
        for record, made, _ in _made(given, model):
            if isinstance(made, ItemError):
                place = f"line {record.line}: " if given.is_file() else ""
                wrong.append(place + _named(made, folder))
            else:
                rows.append(made)
    except InputError as error:
        raise BundleError(_named(error, folder)) from error
    if not rows:
        raise BundleError(f"no item of {given} can be a sample: {wrong[0] if wrong else 'it has none'}")
    samples = Samples(len(rows), list(mini_batches(rows, model)), given=len(rows))
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    return samples, [f"Left out of {given}: {wrong[0]}{more}."] if wrong else []


def making_ms(given: Path, model: Model) -> float:
    """What it takes to make a row out of one of the first items, in milliseconds: the median.

    Raises `InputError`, and `BundleError` where nothing can be made of any.
    """
    times_s = [seconds for _, made, seconds in _made(given, model) if not isinstance(made, ItemError)]
    if not times_s:
        raise BundleError(f"no item of {given} can be a sample")
    return median(times_s) * 1000


def _folder_of(given: Path) -> Path:
    whole = given.resolve()  # what a symlink names lies in its own folder
    return whole if whole.is_dir() else whole.parent


def _made(given: Path, model: Model) -> Iterator[tuple[Record, Row | ItemError, float]]:
    """The first records of a file or folder, the row that each makes or why it makes none, and the seconds."""
    storage = Storage({"samples": FolderBackend(_folder_of(given), writable=False)}, s3=False)
    source, records = _opened(storage, given.resolve(), model.kinds)
    for index, record in enumerate(islice(records, MINI_BATCHES * model.mini_batch)):
        began = time.perf_counter()
        made: Row | ItemError
        try:
            item = parse_record(record, index, source, model.kinds)
            made = model.encode(item.inputs, item.uri, storage.read, item.resolve)
        except ItemError as error:
            made = error
        yield record, made, time.perf_counter() - began


def _opened(storage: Storage, items: Path, kinds: Mapping[str, Kind]) -> tuple[ItemsSource, Iterator[Record]]:
    """The source of the items and its first records, as many as an entry may hold."""
    if items.is_dir():
        source = ItemsSource(uri=_BASE, kind="jsonl", size_bytes=0, etag="", base=_BASE, readable=(_BASE,))
        return source, _records_of_folder(storage)
    pinned = pin_items(storage, _BASE + items.name, by_content=False)
    assert pinned.source is not None  # noqa: S101 - of a file there is one
    source = msgspec.structs.replace(pinned.source, readable=(_BASE,))
    if source.columns is not None:
        check_columns(source.columns, source.uri, dict(kinds))
    end = min(source.size_bytes, pinned.begin + MAX_ENTRY_BYTES)
    data = storage.read(source.uri, pinned.begin, end, source.pin())
    records = split_records(data, source.kind, start=pinned.begin, first_line=pinned.first_line)
    # The last one may have been cut off.
    return source, (record for record in records if record.end < end or end == source.size_bytes)


def _records_of_folder(storage: Storage) -> Iterator[Record]:
    for path, _ in files_of_folder(storage, _BASE):
        text = msgspec.json.encode({"id": path, "uri": _BASE + path})
        yield Record(0, len(text), 1, text)


def _named(error: Exception, folder: Path) -> str:
    """What is wrong, with the names that the files have on this machine."""
    return str(error).replace(_BASE, f"{folder}/").rstrip(".")
