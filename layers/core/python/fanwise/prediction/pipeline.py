"""Fetch, decode and compute, overlapped: threads make rows ahead while the model works on full mini-batches.

Rows that need no fetching or decoding, numbers and text of the line itself, are made in the caller's thread:
handing one to another thread takes longer than making it.

Items go in and outcomes come out in index order. The threads run native code (the store's client, Pillow) that
does without the interpreter's lock most of the time; the model is called from the caller's thread alone.
"""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from concurrent.futures import TimeoutError as NotInTime
from dataclasses import dataclass
from typing import Any

from fanwise.errors import ItemError, StoreUnavailable
from fanwise.items.parsing import Item
from fanwise.model.model import Model
from fanwise.storage import Storage

MINI_BATCHES_AHEAD = 3
ROWS_AHEAD_A_THREAD = 2  # at least, where mini-batches are small: no thread is to wait for the model
FIRST_ROWS_S = 1.0  # waited for rows, at least, when time is up before they were asked for
LEAVE_S = 1.0  # waited, at most, for threads that are at work on rows nobody wants any more

Row = dict[str, Any]  # signature input → ndarray, without the batch dimension
Ahead = deque[Future[Row] | Row | ItemError]


class OutOfTime(Exception):
    """The deadline is near: what was yielded so far is finished, the rest is not."""


@dataclass(frozen=True)
class Outcome:
    """What became of one item, by its position in the entry: a prediction, or why there is none."""

    position: int
    result: dict[str, object] | ItemError


class Pipeline:
    """Items in, outcomes out, for one model; the threads live as long as the execution environment."""

    def __init__(self, storage: Storage, *, threads: int) -> None:
        self._storage = storage
        self._threads = threads
        self._pool = self._new_pool()

    def run(
        self, items: Sequence[Item | ItemError], model: Model, time_left_s: Callable[[], float]
    ) -> Generator[Outcome]:
        """Yield an outcome for each item, in order; `time_left_s` counts down to when to stop.

        The first mini-batch is always tried, so that an entry gets somewhere; another one only if there is time
        for one as slow as the slowest so far. Raises `OutOfTime` when time is up, `StoreUnavailable` when the
        store does not answer: what was yielded before stands in either case. Close it if it is not run to its end.
        """
        ahead: Ahead = deque()
        rows_ahead = max(MINI_BATCHES_AHEAD * model.mini_batch, ROWS_AHEAD_A_THREAD * self._threads)
        waiting = iter(items)
        position, slowest_s = 0, 0.0
        try:
            while position < len(items):
                self._fill(ahead, waiting, rows_ahead, model)
                if position and time_left_s() <= slowest_s:
                    raise OutOfTime
                taken = _take(ahead, model.mini_batch, max(time_left_s() - slowest_s, FIRST_ROWS_S))
                self._fill(ahead, waiting, rows_ahead, model)
                before_s = time_left_s()
                outcomes = _predict(model, position, taken)
                slowest_s = max(slowest_s, before_s - time_left_s())
                yield from outcomes
                position += len(taken)
        finally:
            self._leave(ahead)

    def _fill(self, ahead: Ahead, waiting: Iterator[Item | ItemError], rows_ahead: int, model: Model) -> None:
        while len(ahead) < rows_ahead and (item := next(waiting, None)) is not None:
            ahead.append(item if isinstance(item, ItemError) else self._begun(item, model))

    def _begun(self, item: Item, model: Model) -> Future[Row] | Row | ItemError:
        """The item's row, in a thread where it is fetched; what is in the line already is made at once."""
        if model.is_fetched:
            return self._pool.submit(self._row, item, model)
        try:
            return self._row(item, model)
        except ItemError as error:
            return error.with_traceback(None)

    def _row(self, item: Item, model: Model) -> Row:
        return model.encode(item.inputs, item.uri, self._storage.read, item.resolve)

    def _leave(self, ahead: Ahead) -> None:
        """Let go of the rows that were not taken. A thread that hangs in one is left to itself, and replaced."""
        at_work = [future for future in ahead if isinstance(future, Future) and not future.cancel()]
        if wait(at_work, LEAVE_S).not_done:
            self._pool.shutdown(wait=False)
            self._pool = self._new_pool()

    def _new_pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._threads, thread_name_prefix="decode")


def _take(ahead: Ahead, rows: int, within_s: float) -> list[Row | ItemError]:
    """The next items, until `rows` of them are rows for the model or none is left that was read ahead.

    Fewer, if the store fails on a row or it is not there in time: that is raised when nothing comes before it.
    """
    taken: list[Row | ItemError] = []
    good, until = 0, time.monotonic() + within_s
    while ahead and good < rows:
        first = ahead[0]
        if isinstance(first, ItemError):
            taken.append(first)
        elif isinstance(first, dict):
            taken.append(first)
            good += 1
        else:
            try:
                taken.append(first.result(timeout=max(until - time.monotonic(), 0)))
                good += 1
            except ItemError as error:
                taken.append(error)
            except (StoreUnavailable, NotInTime) as error:
                if taken:
                    break
                if isinstance(error, NotInTime):
                    raise OutOfTime from error
                raise
        ahead.popleft()
    return taken


def _predict(model: Model, position: int, taken: Sequence[Row | ItemError]) -> list[Outcome]:
    """Put the model's answers back among the items that never reached it."""
    rows = [row for row in taken if not isinstance(row, ItemError)]
    answers = iter(model.predict(rows) if rows else ())
    return [
        Outcome(position + offset, row if isinstance(row, ItemError) else next(answers))
        for offset, row in enumerate(taken)
    ]
