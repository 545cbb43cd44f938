"""Fetch, decode and compute, overlapped: threads make rows ahead while the model works on full mini-batches.

Items go in and outcomes come out in index order. The threads run native code (the store's client, Pillow) that
does without the interpreter's lock most of the time; the model is called from the caller's thread alone.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotInTime
from dataclasses import dataclass
from typing import Any

from fanwise.errors import ItemError
from fanwise.items.parsing import Item
from fanwise.model.model import Model
from fanwise.storage import Storage

MINI_BATCHES_AHEAD = 3
VCPU_MB = 1769

Row = dict[str, Any]  # signature input → ndarray, without the batch dimension


class OutOfTime(Exception):
    """The deadline is near: what was yielded so far is finished, the rest is not."""


@dataclass(frozen=True)
class Outcome:
    """What became of one item, by its position in the entry: a prediction, or why there is none."""

    position: int
    result: dict[str, object] | ItemError


def decode_threads(memory_mb: int) -> int:
    """Threads that fetch and decode: enough to wait for the store in, few enough not to starve the model."""
    return 4 + 2 * max(1, round(memory_mb / VCPU_MB))


class Pipeline:
    """Items in, outcomes out, for one model; the threads live as long as the execution environment."""

    def __init__(self, storage: Storage, *, threads: int) -> None:
        self._storage = storage
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")

    def run(
        self, items: Sequence[Item | ItemError], model: Model, time_left_s: Callable[[], float]
    ) -> Iterator[Outcome]:
        """Yield an outcome for each item, in order; `time_left_s` counts down to when to stop.

        The first mini-batch is always tried, so that an entry gets somewhere. Raises `OutOfTime` when time is up,
        `StoreUnavailable` when the store does not answer: what was yielded before stands in either case.
        """
        ahead: deque[Future[Row] | ItemError] = deque()
        waiting = iter(items)
        position = 0
        try:
            while position < len(items):
                for item in waiting:
                    ahead.append(
                        item if isinstance(item, ItemError) else self._pool.submit(self._row, item, model)
                    )
                    if len(ahead) >= MINI_BATCHES_AHEAD * model.mini_batch:
                        break
                if position and time_left_s() <= 0:
                    raise OutOfTime
                taken = self._take(ahead, model.mini_batch, time_left_s)
                yield from _predict(model, position, taken)
                position += len(taken)
        finally:
            for future in ahead:
                if isinstance(future, Future):
                    future.cancel()

    def _row(self, item: Item, model: Model) -> Row:
        return model.encode(item.inputs, item.uri, self._storage.read, item.resolve)

    @staticmethod
    def _take(
        ahead: deque[Future[Row] | ItemError], rows: int, time_left_s: Callable[[], float]
    ) -> list[Row | ItemError]:
        """The next items, until `rows` of them are rows for the model or none is left that was read ahead."""
        taken: list[Row | ItemError] = []
        good = 0
        while ahead and good < rows:
            first = ahead[0]
            if isinstance(first, ItemError):
                taken.append(first)
            else:
                try:
                    taken.append(first.result(timeout=max(time_left_s(), 1.0)))
                    good += 1
                except ItemError as error:
                    taken.append(error)
                except NotInTime as error:
                    raise OutOfTime from error
            ahead.popleft()
        return taken


def _predict(model: Model, position: int, taken: Sequence[Row | ItemError]) -> Iterator[Outcome]:
    """Put the model's answers back among the items that never reached it."""
    rows = [row for row in taken if not isinstance(row, ItemError)]
    answers = iter(model.predict(rows) if rows else ())
    for offset, row in enumerate(taken):
        yield Outcome(position + offset, row if isinstance(row, ItemError) else next(answers))
