"""The items of an entry, read from the items file: to predict them, to probe, and to predict some again."""

from collections.abc import Iterator, Sequence

from fanwise.errors import ItemError, ItemsChanged
from fanwise.items.lines import Record, bytes_to_read, split_records
from fanwise.items.parsing import Item, parse_record
from fanwise.records import Entry, Job
from fanwise.storage import Storage


def read_records(storage: Storage, job: Job, entry: Entry) -> tuple[bytes, list[Record]]:
    """An entry's bytes and its records. Raises `ItemsChanged` where they are not those that were planned."""
    data = storage.read(job.items.uri, *bytes_to_read(entry), job.items.pin())
    records = list(
        split_records(data, job.items.kind, start=entry.start, first_line=entry.first_line, end=entry.end)
    )
    if len(records) != entry.count:
        raise ItemsChanged(
            f"entry {entry.entry} was planned with {entry.count} items and its bytes hold {len(records)};"
            f" {job.items.uri} is no longer the version that was planned: start the job again"
        )
    return data, records


def items_of(records: Sequence[Record], first: int, job: Job) -> Iterator[Item | ItemError]:
    """The items of records, from index `first` on, each made when its turn comes, or why a record is none."""
    return (item_of_record(record, index, job) for index, record in enumerate(records, first))


def item_of_record(record: Record, index: int, job: Job) -> Item | ItemError:
    """The item that a record holds, or why it is none."""
    try:
        return parse_record(record, index, job.items, job.model.kinds)
    except ItemError as error:
        return error.with_traceback(None)  # which would keep the item's values, however large
