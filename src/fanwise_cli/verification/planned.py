"""The items of a job, read again: how many there are, and what each of them said.

Counted and found by the rule that PlanJob cuts by (`fanwise.items.lines`), never by the plan that it wrote. Where
each block of items lies is kept, so that a line that is out of order costs one block.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from typing import Self

from fanwise.errors import ItemError
from fanwise.items.columns import read_header
from fanwise.items.cutting import cut_entries
from fanwise.items.lines import Record, bytes_to_read, split_records
from fanwise.items.parsing import Fields, read_fields
from fanwise.limits import MAX_CSV_HEADER_BYTES
from fanwise.records import Entry, Job
from fanwise.storage import Storage

BLOCK_ITEMS = 1024

_HEADER_BYTES = MAX_CSV_HEADER_BYTES + 16  # with a BOM and the line end


class PlannedItems:
    """The items of a job, by index."""

    def __init__(self, storage: Storage, job: Job) -> None:
        self._storage = storage
        self._source = job.items
        self._kinds = job.model.kinds
        self._first, self._start, self._end, self._line = (array("q") for _ in range(4))
        self._count = 0
        self._block_first = 0
        self._block: list[Record] = []

    @classmethod
    def of(cls, storage: Storage, job: Job) -> Self:
        """Read all items of a job once.

        Raises what `Storage` does, `ItemsChanged` where they are no longer what was planned.
        """
        planned = cls(storage, job)
        source = job.items
        begin, line = 0, 1
        if source.kind == "csv":
            read_bytes = min(source.size_bytes, _HEADER_BYTES)
            beginning = storage.read(source.uri, 0, read_bytes, source.pin())
            whole = read_bytes == source.size_bytes
            _, begin, line = read_header(beginning, source.uri, is_whole_file=whole)
        chunks = storage.stream(source.uri, source.pin(), start=begin)
        for block in cut_entries(chunks, source.kind, BLOCK_ITEMS, start=begin, first_line=line):
            planned._first.append(block.first)
            planned._start.append(block.start)
            planned._end.append(block.end)
            planned._line.append(block.first_line)
            planned._count += block.count
        return planned

    def __len__(self) -> int:
        return self._count

    def record(self, index: int) -> Record:
        """The record of an item."""
        if not 0 <= index - self._block_first < len(self._block):
            self._read_block(bisect_right(self._first, index) - 1)
        return self._block[index - self._block_first]

    def fields(self, record: Record) -> Fields | None:
        """What a record says; None where it cannot be read."""
        try:
            return read_fields(record, self._source, self._kinds)
        except ItemError:
            return None

    def records(self) -> Iterator[tuple[int, Record]]:
        """Every item, by index."""
        for index in range(self._count):
            yield index, self.record(index)

    def _read_block(self, number: int) -> None:
        self._block = []  # before the next one is read: one of long lines may be large
        stop = self._first[number + 1] if number + 1 < len(self._first) else self._count
        self._block_first = self._first[number]
        block = Entry(
            entry="",
            start=self._start[number],
            end=self._end[number],
            first=self._block_first,
            first_line=self._line[number],
            count=stop - self._block_first,
        )
        data = self._storage.read(self._source.uri, *bytes_to_read(block), self._source.pin())
        self._block = list(
            split_records(
                data, self._source.kind, start=block.start, first_line=block.first_line, end=block.end
            )
        )
