"""A job of few entries and many items that all seem to lack the same input: worth a probe, though it is not large.

Rows of numbers are predicted 100,000 in an entry, so a misspelt name would be found out in a hundred thousand dead
letters. What is looked at here are names alone; whether the model asks for all of them, the probe says.
"""

from collections.abc import Iterator, Sequence
from itertools import islice

from fanwise import limits
from fanwise.errors import ItemError
from fanwise.items.lines import Record, split_records
from fanwise.items.parsing import parse_record
from fanwise.model.missing import lacking
from fanwise.records import Entry, Job
from fanwise.storage import Storage

_LOOKED_AT_BYTES = (64 * 1024, 1024 * 1024)  # at each place, and where not one line ends there


def suspects(storage: Storage, job: Job, entries: Sequence[Entry]) -> list[Entry]:
    """Ranges of items, drawn over the items file, that all lack the same input; none where one has it.

    In the middle of a file a range begins at a line, and its item's number is not known: that is for the probe,
    which keeps nothing. Of a CSV file the header is looked at instead, and the first rows stand for all.
    """
    if job.items.columns is not None:
        has_uri = "uri" in job.items.columns
        lacks = lacking(job.items.columns, job.model.kinds, has_uri=has_uri)
        return _first_rows(storage, job, entries[0]) if lacks else []
    ranges: list[Entry] = []
    common = set(job.model.kinds)
    for entry, records in _drawn(storage, job, entries[0].start, entries[-1].end):
        for record in records:
            common &= _lacks(record, job)
        if not common:
            return []
        ranges.append(entry)
    return ranges


def _lacks(record: Record, job: Job) -> set[str]:
    kinds = job.model.kinds
    try:
        item = parse_record(record, 0, job.items, kinds)
    except ItemError as error:
        return (
            set(error.lacks) if error.stage != "read" else set(kinds)
        )  # a line that is no item says nothing
    return set(lacking(item.inputs, kinds, has_uri=item.uri is not None))


def _first_rows(storage: Storage, job: Job, first: Entry) -> list[Entry]:
    end = min(first.end, first.start + _LOOKED_AT_BYTES[-1])
    data = storage.read(job.items.uri, first.start, end, job.items.pin())
    records = list(split_records(data, job.items.kind, start=first.start, first_line=first.first_line))
    count = min(len(records) - 1, limits.PROBE_ITEMS)  # the last one may have been cut short
    return [_range(0, first.start, records[count].start, count)] if count > 0 else []


def _drawn(storage: Storage, job: Job, begin: int, end: int) -> Iterator[tuple[Entry, Sequence[Record]]]:
    """In each eighth of a JSONL file the first whole lines, up to eight of them."""
    for part in range(limits.PROBE_ITEMS):
        at = begin + (end - begin) * part // limits.PROBE_ITEMS
        for looked_at in _LOOKED_AT_BYTES:
            records = _whole_lines(storage, job, at, min(end, at + looked_at), is_border=part == 0)
            if records:
                last = records[-1]
                yield _range(part, records[0].start, last.end, len(records)), records
                break


def _whole_lines(storage: Storage, job: Job, at: int, end: int, *, is_border: bool) -> list[Record]:
    data = storage.read(job.items.uri, at, end, job.items.pin())
    start = 0 if is_border else data.find(b"\n") + 1
    stop = data.rfind(b"\n") + 1
    if (start == 0 and not is_border) or stop <= start:
        return []
    records = split_records(data[start:stop], "jsonl", start=at + start, first_line=1)
    return list(islice(records, limits.PROBE_ITEMS))


def _range(part: int, start: int, end: int, count: int) -> Entry:
    return Entry(entry=f"probe-{part}", start=start, end=end, first=0, first_line=1, count=count)
