"""The probe of a larger job: a few items, drawn over the whole plan, that are tried before the fan-out.

Eight short ranges of the items file, evenly spread over the entries. The first is where the file begins; in the
others the place within an entry varies, so that a fault that comes back every so many lines is not hit each time.
The same plan gives the same probe.
"""

import io
import zlib
from collections.abc import Callable, Container, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise

import msgspec

from fanwise import limits
from fanwise.commits import work_key
from fanwise.errors import ItemsChanged
from fanwise.items.lines import Record, split_records
from fanwise.planning.suspects import suspects
from fanwise.records import Entry, Job, Probe
from fanwise.storage import Storage

_READERS = 4
_UNREADABLE = (ItemsChanged, FileNotFoundError, PermissionError)
_LOOKED_AT_BYTES = 1024 * 1024  # of an entry, to find some of its items
_LONGER_BYTES = 2 * limits.MAX_LINE_BYTES  # looked at where not one ends there
_entry_decoder = msgspec.json.Decoder(Entry)


def probe_of(storage: Storage, home: str, job: Job) -> Probe | None:
    """The items of a planned job to try first; None of a job that is too small to be probed.

    A job of few entries is probed where its items seem to lack an input (`suspects`).
    """
    if job.entries > limits.PROBE_ENTRIES:
        wanted = {number for numbers in wanted_entries(job.entries) for number in numbers}
        found = _entries(storage, home, wanted)
        return draw_probe(storage, job, found.__getitem__)
    if job.total < limits.PROBE_SUSPECTS:
        return None
    entries = list(_entries(storage, home, range(job.entries)).values())
    with suppress(*_UNREADABLE):
        return _probe_made_of(suspects(storage, job, entries))
    return None


def draw_probe(storage: Storage, job: Job, entry_of: Callable[[int], Entry]) -> Probe | None:
    """The probe of a job of many entries; `entry_of` gives those of the plan by their number.

    None where the items cannot be read now: whoever predicts them will say why.
    """
    first, *others = (_together([entry_of(n) for n in numbers]) for numbers in wanted_entries(job.entries))
    begins = [(first, 0), *((entry, drawn_offset(entry)) for entry in others)]
    with suppress(*_UNREADABLE), ThreadPoolExecutor(_READERS) as readers:
        found = list(readers.map(lambda one: _some_items(storage, job, *one), begins))
        return _probe_made_of([entry for entry in found if entry is not None])
    return None


def _probe_made_of(ranges: Sequence[Entry]) -> Probe | None:
    if not ranges:
        return None
    names = ["probe", *(f"probe-{number}" for number in range(1, len(ranges)))]
    named = [msgspec.structs.replace(entry, entry=name) for entry, name in zip(ranges, names, strict=True)]
    return Probe(**msgspec.structs.asdict(named[0]), others=named[1:])


def _entries(storage: Storage, home: str, wanted: Container[int]) -> dict[int, Entry]:
    """Entries of the plan by their number, from its work file."""
    lines = io.BytesIO(storage.read(home + work_key(0)))
    return {number: _entry_decoder.decode(line) for number, line in enumerate(lines) if number in wanted}


def wanted_entries(entries: int) -> list[range]:
    """The numbers of the entries that each range may take items from: the first, and as many as it needs."""
    borders = [entries * part // limits.PROBE_ITEMS for part in range(limits.PROBE_ITEMS + 1)]
    wide = [range(begin, min(end, begin + limits.PROBE_ITEMS)) for begin, end in pairwise(borders)]
    return [range(1), *wide[1:]]


def drawn_offset(entry: Entry) -> int:
    """The item of an entry that a range begins with."""
    return zlib.crc32(entry.entry.encode()) % (entry.count - min(entry.count, limits.PROBE_ITEMS) + 1)


def _together(some: Sequence[Entry]) -> Entry:
    """The first of these entries, with as many of the others as it takes to have eight items, as one."""
    taken, *rest = some
    for entry in rest:
        if taken.count >= limits.PROBE_ITEMS:
            break
        taken = msgspec.structs.replace(taken, end=entry.end, count=taken.count + entry.count)
    return taken


def _some_items(storage: Storage, job: Job, entry: Entry, begin: int) -> Entry | None:
    """Up to eight items of an entry, from its item `begin` on if that lies near its beginning.

    None where it begins with a record that is too long to be an item.
    """
    for looked_at in (_LOOKED_AT_BYTES, _LONGER_BYTES):
        end = min(entry.end, entry.start + looked_at)
        records = _records(storage, job, entry, end)
        whole = len(records) - (end < entry.end)  # the last one may have been cut short
        if whole > 0:
            break
    else:
        return None
    count = min(whole, limits.PROBE_ITEMS)
    begin = min(begin, whole - count)
    after = begin + count
    return msgspec.structs.replace(
        entry,
        start=records[begin].start,
        end=records[after].start if after < len(records) else entry.end,
        first=entry.first + begin,
        first_line=records[begin].line,
        count=count,
    )


def _records(storage: Storage, job: Job, entry: Entry, end: int) -> list[Record]:
    data = storage.read(job.items.uri, entry.start, end, job.items.pin())
    return list(split_records(data, job.items.kind, start=entry.start, first_line=entry.first_line))
