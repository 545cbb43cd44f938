"""Fetch, decode and compute, overlapped: threads make rows ahead while the model works on full mini-batches.

Rows that need no fetching or decoding, numbers and text of the line itself, are made in the caller's thread:
handing one to another thread takes longer than making it. Those of numbers are made many in one go: one of 20
numbers takes 11 µs by itself, and 2 so.

Items go in and outcomes come out in index order. The threads run native code (the store's client, Pillow) that
does without the interpreter's lock most of the time; the model is called from the caller's thread alone.
"""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from concurrent.futures import TimeoutError as NotInTime

from fanwise.errors import ItemError, MissingInput, StoreUnavailable
from fanwise.items.parsing import Item
from fanwise.model.missing import explained
from fanwise.model.model import Model, Result, Row
from fanwise.storage import Storage

MINI_BATCHES_AHEAD = 3
ROWS_AHEAD_A_THREAD = 2  # at least, where mini-batches are small: no thread is to wait for the model
FIRST_ROWS_S = 1.0  # waited for rows, at least, when time is up before they were asked for
SHORT_S = 0.01  # if rows in one go take less, twice as many are in the next one
LEAVE_S = 1.0  # waited, at most, for threads that are at work on rows nobody wants any more

Given = Item | ItemError  # an item, or why a record is none
Made = Row | ItemError
Outcome = tuple[Given, Result]  # what became of an item; of what was none, its error
Ahead = deque[tuple[Given, Future[Row] | ItemError]]


class OutOfTime(Exception):
    """The deadline is near: what was yielded so far is finished, the rest is not."""


class Pipeline:
    """Items in, outcomes out, for one model; the threads live as long as the execution environment."""

    def __init__(self, storage: Storage, *, threads: int) -> None:
        self._storage = storage
        self._threads = threads
        self._pool = self._new_pool()

    def run(
        self, items: Iterable[Given], model: Model, time_left_s: Callable[[], float]
    ) -> Generator[list[Outcome]]:
        """Yield an outcome for each item, in order, some at a time; `time_left_s` counts down to when to stop.

        The first mini-batch is always tried, so that an entry gets somewhere; another one only if there is time
        for one as slow as the slowest so far. Raises `OutOfTime` when time is up, `StoreUnavailable` when the
        store does not answer: what was yielded before stands in either case. Close it if it is not run to its end.
        """
        run = self._run_ahead if model.is_fetched else self._run_at_once
        return run(iter(items), model, time_left_s)

    def _run_ahead(
        self, waiting: Iterator[Given], model: Model, time_left_s: Callable[[], float]
    ) -> Generator[list[Outcome]]:
        """Threads fetch and decode while the model works on what came before."""
        ahead: Ahead = deque()
        rows_ahead = max(MINI_BATCHES_AHEAD * model.mini_batch, ROWS_AHEAD_A_THREAD * self._threads)
        slowest_s: float | None = None
        try:
            while self._fill(ahead, waiting, rows_ahead, model):
                if slowest_s is not None and time_left_s() <= slowest_s:
                    raise OutOfTime
                taken = _take(ahead, model.mini_batch, max(time_left_s() - (slowest_s or 0), FIRST_ROWS_S))
                self._fill(ahead, waiting, rows_ahead, model)
                before_s = time_left_s()
                outcomes = _predicted(model, taken)
                slowest_s = max(slowest_s or 0, before_s - time_left_s())
                yield outcomes
        finally:
            self._leave(ahead)

    def _run_at_once(
        self, items: Iterator[Given], model: Model, time_left_s: Callable[[], float]
    ) -> Generator[list[Outcome]]:
        """Many rows in one go where that can be: twice as many as before, as long as it takes no time.

        The model sees the same mini-batches, full but for the last, however many of them there are in one go.
        """
        waiting, rows = _Waiting(items), model.mini_batch
        slowest_s: float | None = None
        while taken := waiting.take(rows):
            if slowest_s is not None and time_left_s() <= slowest_s:
                raise OutOfTime
            before_s, began = time_left_s(), time.monotonic()
            good = [item.inputs for item in taken if isinstance(item, Item)]
            stack = model.stack(good) if good else None
            if stack is not None:
                outcomes = _among(taken, model.predict_stack(stack))
                if time.monotonic() - began < SHORT_S and 2 * rows <= model.most_at_once:
                    rows *= 2
            elif rows > model.mini_batch:  # so that an item that is not plain keeps few others from it
                waiting.put_back(taken)
                rows = model.mini_batch
                continue
            else:
                outcomes = _predicted(model, self._rows(taken, waiting, model))
            slowest_s = max(slowest_s or 0, before_s - time_left_s())
            yield outcomes

    def _rows(self, taken: list[Given], waiting: "_Waiting", model: Model) -> list[tuple[Given, Made]]:
        """The rows of these items, each made by itself, and of more of them until they fill a mini-batch."""
        made: list[tuple[Given, Made]] = []
        missing = model.mini_batch
        while taken:
            for item in taken:
                row = self._row_or_error(item, model)
                made.append((item, row))
                missing -= not isinstance(row, ItemError)
            taken = waiting.take(missing)
        return made

    def _row_or_error(self, item: Given, model: Model) -> Made:
        if isinstance(item, ItemError):
            return item
        try:
            return self._row(item, model)
        except ItemError as error:
            return error.with_traceback(None)

    def _fill(self, ahead: Ahead, waiting: Iterator[Given], rows_ahead: int, model: Model) -> int:
        """Have so many items under way, if there are, and say how many are."""
        while len(ahead) < rows_ahead and (item := next(waiting, None)) is not None:
            begun = item if isinstance(item, ItemError) else self._pool.submit(self._row, item, model)
            ahead.append((item, begun))
        return len(ahead)

    def _row(self, item: Item, model: Model) -> Row:
        try:
            return model.encode(item.inputs, item.uri, self._storage.read, item.resolve)
        except MissingInput as error:
            has_uri = item.uri is not None
            missing = explained(error, item.inputs, item.carried, model.kinds, has_uri=has_uri)
        raise missing  # here, so that it does not keep the first one, with the item's values

    def _leave(self, ahead: Ahead) -> None:
        """Let go of the rows that were not taken. A thread that hangs in one is left to itself, and replaced."""
        at_work = [future for _, future in ahead if isinstance(future, Future) and not future.cancel()]
        if wait(at_work, LEAVE_S).not_done:
            self._pool.shutdown(wait=False)
            self._pool = self._new_pool()

    def _new_pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._threads, thread_name_prefix="decode")


class _Waiting:
    """Items that wait for their turn."""

    def __init__(self, items: Iterator[Given]) -> None:
        self._items = items
        self._before: deque[Given] = deque()

    def take(self, rows: int) -> list[Given]:
        """The next ones, until so many of them are items, if there are."""
        taken: list[Given] = []
        while rows:
            given = self._before.popleft() if self._before else next(self._items, None)
            if given is None:
                break
            taken.append(given)
            rows -= isinstance(given, Item)
        return taken

    def put_back(self, taken: Sequence[Given]) -> None:
        """Have them be the next ones again."""
        self._before.extendleft(reversed(taken))


def _take(ahead: Ahead, rows: int, within_s: float) -> list[tuple[Given, Made]]:
    """The next items, until `rows` of them are rows for the model or none is left that was read ahead.

    Fewer, if the store fails on a row or it is not there in time: that is raised when nothing comes before it.
    """
    taken: list[tuple[Given, Made]] = []
    good, until = 0, time.monotonic() + within_s
    while ahead and good < rows:
        item, begun = ahead[0]
        if isinstance(begun, ItemError):
            taken.append((item, begun))
        else:
            try:
                taken.append((item, begun.result(timeout=max(until - time.monotonic(), 0))))
                good += 1
            except ItemError as error:
                taken.append((item, error))
            except (StoreUnavailable, NotInTime) as error:
                if taken:
                    break
                if isinstance(error, NotInTime):
                    raise OutOfTime from error
                raise
        ahead.popleft()
    return taken


def _predicted(model: Model, taken: Sequence[tuple[Given, Made]]) -> list[Outcome]:
    """Put the model's answers back among the items that never reached it."""
    rows = [row for _, row in taken if not isinstance(row, ItemError)]
    answers = iter(model.predict(rows) if rows else ())
    return [(item, row if isinstance(row, ItemError) else next(answers)) for item, row in taken]


def _among(taken: Sequence[Given], answers: Sequence[Result]) -> list[Outcome]:
    """The same for items that all reached it."""
    if len(answers) == len(taken):
        return list(zip(taken, answers, strict=True))
    answer = iter(answers)
    return [(given, given if isinstance(given, ItemError) else next(answer)) for given in taken]
