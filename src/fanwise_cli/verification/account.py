"""What became of each item: one byte an item, so that 10 million of them take 10 MB."""

import re
from collections.abc import Iterator
from itertools import islice

from fanwise_cli.verification.result import MAX_NAMED, ItemRun

PREDICTED, DEAD_LETTERED, AGAIN, RECOVERED = 1, 2, 4, 8

_MARKS = range(16)


class Account:
    """The marks of items 0 … `total` - 1."""

    def __init__(self, total: int) -> None:
        self._marks = bytearray(total)

    def __len__(self) -> int:
        return len(self._marks)

    def note(self, index: int, mark: int) -> None:
        """A line of an item: PREDICTED or DEAD_LETTERED. Any further line of it makes it a duplicate."""
        seen = self._marks[index]
        self._marks[index] = seen | mark | (AGAIN if seen else 0)

    def recover(self, index: int) -> None:
        """A replay has predicted the item."""
        self._marks[index] |= RECOVERED

    def is_predicted(self, index: int) -> bool:
        """Whether the item has a prediction."""
        return bool(self._marks[index] & PREDICTED)

    def is_dead_lettered(self, index: int) -> bool:
        """Whether it is an item with a dead letter and no prediction, not even of a replay."""
        if not 0 <= index < len(self._marks):
            return False
        return self._marks[index] & (PREDICTED | DEAD_LETTERED | RECOVERED) == DEAD_LETTERED

    def counts(self) -> tuple[int, int, int, int]:
        """Items with a prediction; recovered ones; those with nothing but a dead letter; those with no line."""
        predicted = self._having(PREDICTED)
        recovered = self._having(RECOVERED, without=PREDICTED)
        return predicted, recovered, self._having(DEAD_LETTERED, without=PREDICTED | RECOVERED), self._lost()

    def duplicated(self) -> int:
        """Items with more than one line."""
        return self._having(AGAIN)

    def lost_items(self) -> tuple[ItemRun, ...]:
        """The first items with no line."""
        return self._runs([0])

    def duplicated_items(self) -> tuple[ItemRun, ...]:
        """The first items with more than one line."""
        return self._runs([mark for mark in _MARKS if mark & AGAIN])

    def _lost(self) -> int:
        return self._marks.count(0)

    def _having(self, mark: int, *, without: int = 0) -> int:
        return sum(self._marks.count(marks) for marks in _MARKS if marks & mark and not marks & without)

    def _runs(self, marks: list[int]) -> tuple[ItemRun, ...]:
        run = re.compile(b"[" + re.escape(bytes(marks)) + b"]+")
        found: Iterator[re.Match[bytes]] = run.finditer(self._marks)
        return tuple(ItemRun(match.start(), match.end() - 1) for match in islice(found, MAX_NAMED))
