"""What the rows are: a model's input and outputs, and the parts of a file of lines."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

FEATURES = 20
CLASSES = 4
INPUT = "features"  # the name of the model's input, and of the value in a line
ITEMS_FILE = "items.jsonl"


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def shares(count: int, of: int) -> list[range]:
    """The items 0 … `count` in so many ranges of as equal sizes as possible."""
    return [range(count * i // of, count * (i + 1) // of) for i in range(of)]


def mini_batches(path: Path, rows: range, size: int) -> Iterator[list[bytes]]:
    """The lines of these rows, so many at a time."""
    with path.open("rb") as lines:
        wanted = islice(lines, rows.start, rows.stop)
        while taken := list(islice(wanted, size)):
            yield taken
