"""The lines of one entry, on their way into its two parts."""

import io
from collections import Counter
from collections.abc import Mapping, Sequence

from fanwise.digests import sha256_of_bytes
from fanwise.errors import ItemError
from fanwise.items.dead_letters import dead_letter_of_item, dead_letter_of_record, prediction_lines
from fanwise.items.lines import Record
from fanwise.items.parsing import Item
from fanwise.limits import MAX_PART_BYTES
from fanwise.prediction.pipeline import Outcome
from fanwise.records import Entry, Failure, Job, Part
from fanwise.storage import Storage

LINES_AT_ONCE = 16  # encoded together; each may have 7.5 MB (`limits.MAX_RESULT_VALUES`)


class PartWriter:
    """Gathers lines in index order and writes them as one object, under a name unique to the attempt."""

    def __init__(self, folder: str, entry: str, request_id: str) -> None:
        self._key = f"{folder}/{entry}-{request_id}.jsonl"
        self._text = io.BytesIO()  # which gives away what it holds without a copy
        self._lines = 0
        self._first = 0

    def __len__(self) -> int:
        return self._lines

    @property
    def size_bytes(self) -> int:
        """Bytes of the lines so far."""
        return self._text.tell()

    def add(self, first: int, count: int, lines: bytes) -> None:
        """Take so many lines, each with its line end, of which the first is that of item `first`."""
        if not self._lines:
            self._first = first
        self._text.write(lines)
        self._lines += count

    def write(self, storage: Storage, home: str) -> Part | None:
        """Write the part; None where it would be empty."""
        if not self._lines:
            return None
        body = self._text.getvalue()
        storage.write(home + self._key, body)
        return Part(
            key=self._key,
            first=self._first,
            count=self._lines,
            size_bytes=self.size_bytes,
            sha256=sha256_of_bytes(body),
        )


class EntryParts:
    """What became of the items of an entry so far, from its first one on."""

    def __init__(self, entry: Entry, records: Sequence[Record], job: Job, request_id: str) -> None:
        self._entry = entry
        self._records = records
        self._job = job
        self.predictions = PartWriter("predictions", entry.entry, request_id)
        self.failures = PartWriter("failures", entry.entry, request_id)
        self.failures_by_error: Counter[str] = Counter()

    @property
    def items(self) -> int:
        """How many."""
        return len(self.predictions) + len(self.failures)

    @property
    def is_full(self) -> bool:
        """Whether the parts are as large as one invocation's may be."""
        return self.predictions.size_bytes + self.failures.size_bytes > MAX_PART_BYTES

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """Take what became of the next items, as far as there is room."""
        for begin in range(0, len(outcomes), LINES_AT_ONCE):
            if self.is_full:
                return
            self._add_some(outcomes[begin : begin + LINES_AT_ONCE])

    def _add_some(self, outcomes: Sequence[Outcome]) -> None:
        predicted: list[tuple[Item, Mapping[str, object]]] = []
        for position, (item, result) in enumerate(outcomes, self.items):
            if isinstance(result, ItemError):
                self._add_failure(position, item, result)
            elif isinstance(item, Item):
                predicted.append((item, result))
        if predicted:
            self.predictions.add(predicted[0][0].index, len(predicted), prediction_lines(predicted))

    def _add_failure(self, position: int, item: Item | ItemError, error: ItemError) -> None:
        record, index = self._records[position], self._entry.first + position
        failure = Failure(
            error=type(error).__name__,
            message=str(error),
            stage=error.stage,
            attempts=self._entry.attempt,
            line=record.line,
        )
        if isinstance(item, ItemError):
            line = dead_letter_of_record(record, index, self._job.items, self._job.model.kinds, failure)
        else:
            line = dead_letter_of_item(item, failure)
        self.failures.add(index, 1, line)
        self.failures_by_error[failure.error] += 1
