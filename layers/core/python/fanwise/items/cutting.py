"""A stream of an items file → the entries of the plan, in constant memory.

It looks at 8 MB at a time and keeps none of a record that is not finished there, but the shortest text that leaves
the reader in the same state: a line of 10 GB costs no more memory than any other.
"""

from bisect import bisect_right
from collections.abc import Generator, Iterable, Iterator
from itertools import chain

import msgspec

from fanwise.items.lines import BOM, LineKind, ends_of_records, run_of_records, shortest_in_same_state
from fanwise.limits import MAX_ENTRY_BYTES
from fanwise.records import Entry


def cut_entries(
    chunks: Iterable[bytes], kind: LineKind, batch_size: int, *, start: int = 0, first_line: int = 1
) -> Iterator[Entry]:
    """Cut a stream into entries of `batch_size` records, in constant memory.

    `chunks` begin at byte `start` of the file, in line `first_line`. The entries' byte ranges tile [start, end of
    file). An entry that would exceed `limits.MAX_ENTRY_BYTES` gets fewer records; one longer record has an entry
    of its own. A file without records has no entries.
    """
    cutter = _Cutter(batch_size, start, first_line)
    held: Entry | None = None
    for entry in _filled(cutter, chunks, kind, start):
        if held:
            yield held
        held = entry
    if held:
        yield msgspec.structs.replace(held, end=cutter.position)  # with the blank lines at the file's end


def count_about(beginning: bytes, kind: LineKind, size_bytes: int) -> int:
    """How many records a file of `size_bytes` has, if all are like those it begins with; exact, if that is all.

    `beginning` starts where the first record may, and `size_bytes` counts from there.
    """
    is_whole = len(beginning) >= size_bytes
    text = beginning.removeprefix(BOM)
    count, seen = 0, 0
    for ends in ends_of_records(kind, text):
        count, seen = count + len(ends), ends[-1]
    has_more = bool(shortest_in_same_state(kind, text[seen:]).strip())
    if is_whole or count == 0:  # or one record is longer than what was looked at
        return count + has_more
    return max(count, round(count * size_bytes / seen))


def _filled(cutter: "_Cutter", chunks: Iterable[bytes], kind: LineKind, start: int) -> Iterator[Entry]:
    if start == 0:
        cutter.position, chunks = _after_bom(chunks)
    carried = b""
    for chunk in chunks:
        data = carried + chunk
        base = cutter.position - len(carried)
        finished = yield from cutter.take_runs(kind, data, base)
        for ends in ends_of_records(kind, data, finished):
            yield from cutter.take(data, base, ends)
            finished = ends[-1]
        cutter.leave(data, len(chunk))
        carried = shortest_in_same_state(kind, data[finished:])
    if carried.strip():  # the last record has no line end
        yield from cutter.take(b"", cutter.position, [0])
    if cutter.count:
        yield cutter.close()


class _Cutter:
    """The entry that is being filled: records [first, first + count) in bytes [start, end)."""

    def __init__(self, batch_size: int, start: int, first_line: int) -> None:
        self._batch_size = batch_size
        self.position = start  # of the file: all before it has been looked at
        self._number = self._first = self.count = 0
        self._start = self._end = start
        self._first_line = self._line = first_line  # of `start`, of `end`
        self._pending_lines = 0  # line ends after `end`, in data that has been left
        self._counted = 0  # bytes of the present data whose line ends are in `line`

    def take_runs(self, kind: LineKind, data: bytes, base: int) -> Generator[Entry, None, int]:
        """Take the records that `data`, at `base` of the file, begins with, as far as they come in runs.

        Yields full entries, and returns where the records taken end: what is left, `take` takes.
        """
        taken_end = 0
        while True:
            taken, end = run_of_records(kind, data, taken_end, self._batch_size - self.count)
            if not taken or base + end > self._start + MAX_ENTRY_BYTES:
                return taken_end
            self.count += taken
            self._move_end(data, base, end)
            taken_end = end
            if self.count < self._batch_size:
                return taken_end
            yield self.close()

    def take(self, data: bytes, base: int, ends: list[int]) -> Iterator[Entry]:
        """Take the records that end at `ends` of `data`, which lies at `base` of the file; yield full entries."""
        taken = 0
        while taken < len(ends):
            upto = min(taken + self._batch_size - self.count, len(ends))
            largest_end = self._start + MAX_ENTRY_BYTES - base
            too_large = ends[upto - 1] > largest_end
            if too_large:
                upto = bisect_right(ends, largest_end, taken, upto)
                if upto == taken and self.count == 0:
                    upto += 1
            if upto > taken:
                self.count += upto - taken
                self._move_end(data, base, ends[upto - 1])
                taken = upto
            if too_large or self.count == self._batch_size:
                yield self.close()

    def _move_end(self, data: bytes, base: int, end: int) -> None:
        self._line += self._pending_lines + data.count(b"\n", self._counted, end)
        self._end, self._counted, self._pending_lines = base + end, end, 0

    def leave(self, data: bytes, new_bytes: int) -> None:
        """The present data, the last `new_bytes` of it not seen before, has been gone through."""
        self.position += new_bytes
        self._pending_lines += data.count(b"\n", self._counted)
        self._counted = 0

    def close(self) -> Entry:
        """The entry as it is; the next one begins where it ends."""
        entry = Entry(
            entry=f"{self._number:06d}",
            start=self._start,
            end=self._end,
            first=self._first,
            first_line=self._first_line,
            count=self.count,
        )
        self._number += 1
        self._start, self._first_line = self._end, self._line
        self._first += self.count
        self.count = 0
        return entry


def _after_bom(chunks: Iterable[bytes]) -> tuple[int, Iterable[bytes]]:
    """How many bytes of BOM the stream begins with, and the stream after it."""
    rest = iter(chunks)
    head = b""
    for chunk in rest:
        head += chunk
        if len(head) >= len(BOM):
            break
    bom_bytes = len(BOM) if head.startswith(BOM) else 0
    return bom_bytes, chain([head[bom_bytes:]], rest)
