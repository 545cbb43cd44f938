"""What a fault plan does to a job, worked out without running it: the fate of each item.

A second telling of docs/design.md (Rounds, Exactly once) in a hundred lines that know neither storage nor commits.
It covers the plans that `chaos` draws, over jobs of items that `FakeModel` takes; what runs is held against it.
"""

import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from fake_model import item_error
from fanwise import limits
from fanwise_local.faults.plan import FaultPlan
from fanwise_local.faults.rules import (
    DropResponse,
    Error,
    ExceedMemory,
    ExceedTime,
    Fault,
    Kill,
    OnlyOne,
    StoreError,
    Throttle,
    Truncate,
    UncertainCreate,
    WriteLate,
)

MISSING, PREDICTED = "missing", "predicted"
TRIES = {"PredictBatch": 7, "HandleFailure": 5}  # by the definition: its retries, and the first
RETRIED = {
    "Lambda.TooManyRequestsException",
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
}
_DEATHS = {ExceedMemory: "Runtime.OutOfMemory", ExceedTime: "Sandbox.Timedout", WriteLate: "Sandbox.Timedout"}

Outcome = Literal["decided", "died", "retry", "fails"]


@dataclass(frozen=True)
class _Entry:
    name: str
    first: int
    count: int
    attempt: int

    def cut(self) -> "list[_Entry]":
        pieces = min(limits.CUT_INTO, self.count)
        borders = [self.count * piece // pieces for piece in range(pieces + 1)]
        return [
            _Entry(f"{self.name}.{i}", self.first + borders[i], borders[i + 1] - borders[i], self.attempt + 1)
            for i in range(pieces)
        ]


def probed_items(entries: Sequence[_Entry]) -> list[int]:
    """The items that are drawn over a plan: the first ones, and in seven further places up to eight in a row."""
    most, borders = limits.PROBE_ITEMS, [len(entries) * part // 8 for part in range(9)]
    drawn = list(range(min(most, entries[0].count)))
    for begin, end in pairwise(borders[1:]):
        entry, count = entries[begin], 0
        for other in entries[begin : min(end, begin + most)]:
            count += other.count
            if count >= most:
                break
        offset = zlib.crc32(entry.name.encode()) % (count - min(count, most) + 1)
        drawn += range(entry.first + offset, entry.first + offset + min(count, most))
    return drawn


class Oracle:
    """One job: `orders` are what its items ask of the model, `fates` what becomes of them, by index."""

    def __init__(self, orders: Sequence[str], batch_size: int, plan: FaultPlan) -> None:
        self._orders = orders
        self._plan = plan
        self._numbers: Counter[tuple[str, str, int]] = Counter()
        self._committed: set[str] = set()
        self._cut: set[str] = set()  # those of them that HandleFailure decided
        self._death = ""
        self.fates = [MISSING] * len(orders)
        entries = [
            _Entry(f"{number:06d}", first, min(batch_size, len(orders) - first), 1)
            for number, first in enumerate(range(0, len(orders), batch_size))
        ]
        if len(entries) <= limits.PROBE_ENTRIES or not self._all_rejected(entries):
            self._run(entries)

    def _all_rejected(self, entries: Sequence[_Entry]) -> bool:
        """Whether the probe finds that the model rejects whatever it is given."""
        orders = [self._orders[index] for index in probed_items(entries)]
        errors = [item_error(order) for order in orders]
        return "die" not in orders and all(e is not None and e.stage in ("predict", "result") for e in errors)

    def _run(self, left: list[_Entry]) -> None:
        stalled = rounds = 0
        while left and stalled < limits.MAX_STALLED_ROUNDS and rounds < limits.MAX_ROUNDS:
            died, decided, following = 0, False, list[_Entry]()
            for entry in left:
                outcome = self._child(entry)
                died += outcome == "died"
                if outcome == "fails":
                    following.append(replace(entry, attempt=entry.attempt + 1))
                elif outcome == "died" and entry.count > 1:
                    following += entry.cut()
                else:
                    decided = True
            rounds += 1
            stalled = 0 if died or decided else stalled + 1
            if following and _most_died(len(left), died):
                return
            left = following

    def _child(self, entry: _Entry) -> Outcome:
        """One child of a round: what became of its entry, as the ledger has it afterwards."""
        for _ in range(TRIES["PredictBatch"]):
            outcome = self._predict(entry, self._faults("PredictBatch", entry))
            if outcome == "died":
                outcome = self._handle(entry)
            if outcome != "retry":
                break
        if entry.name in self._cut:
            return "died"
        return "decided" if entry.name in self._committed else "fails"

    def _faults(self, function: str, entry: _Entry) -> tuple[Fault, ...]:
        coordinates = (function, entry.name, entry.attempt)
        number = self._numbers[coordinates]
        self._numbers[coordinates] += 1
        return self._plan.faults_of(*coordinates, number)

    def _predict(self, entry: _Entry, faults: Sequence[Fault]) -> Outcome:
        """One invocation of PredictBatch."""
        fate = next((fault for fault in faults if isinstance(fault, OnlyOne)), None)
        before = _before_work(fate)
        if before is not None:
            self._death = _death_of(fate)
            return before
        orders = self._orders[entry.first : entry.first + entry.count]
        if entry.name not in self._committed:
            stops = self._stops(orders, fate, faults)
            if stops is not None:
                return "retry" if isinstance(fate, DropResponse) else stops  # nobody hears what became of it
            self._decide(entry)
            if isinstance(fate, Kill):
                return "died"
        return "retry" if isinstance(fate, DropResponse) else "decided"

    def _stops(self, orders: Sequence[str], fate: Fault | None, faults: Sequence[Fault]) -> Outcome | None:
        """What keeps an invocation from its commit."""
        written = {"predictions": any(not order for order in orders), "failures": any(orders)}
        store = [fault for fault in faults if isinstance(fault, StoreError | Truncate)]
        if any(fault.key.endswith("items.jsonl") for fault in store):
            return "retry"
        if "die" in orders:
            self._death = "Runtime.ExitError"
            return "died"
        if any(
            is_written and f"/{name}/" in fault.key for fault in store for name, is_written in written.items()
        ):
            return "retry"
        if isinstance(fate, WriteLate) or (isinstance(fate, Kill) and fate.when == "between part and commit"):
            self._death = _death_of(fate)
            return "died"
        refused = any(isinstance(fault, UncertainCreate) and not fault.done for fault in faults)
        return "retry" if refused else None

    def _decide(self, entry: _Entry) -> None:
        self._committed.add(entry.name)
        for index in range(entry.first, entry.first + entry.count):
            self.fates[index] = self._orders[index] or PREDICTED

    def _handle(self, entry: _Entry) -> Outcome:
        """HandleFailure, which cuts what has no commit, or makes it a dead letter."""
        for _ in range(TRIES["HandleFailure"]):
            faults = self._faults("HandleFailure", entry)
            before = _before_work(next((fault for fault in faults if isinstance(fault, OnlyOne)), None))
            if before == "retry":
                continue
            if before is not None:
                break
            if entry.name not in self._committed:
                self._committed.add(entry.name)
                self._cut.add(entry.name)
                if entry.count == 1:
                    self.fates[entry.first] = self._death
            if not any(isinstance(fault, DropResponse) for fault in faults):
                break
        return "fails"


def _before_work(fate: Fault | None) -> Outcome | None:
    """What a fault that keeps the function from running at all makes of its invocation."""
    match fate:
        case Throttle():
            return "retry"
        case Error(error=error):
            return "retry" if error in RETRIED else "fails"
        case ExceedMemory() | ExceedTime() | Kill(when="before work"):
            return "died"
    return None


def _death_of(fate: Fault | None) -> str:
    return _DEATHS.get(type(fate), "Runtime.ExitError")  # type: ignore[arg-type]


def _most_died(entries: int, died: int) -> bool:
    if entries >= 8:
        return died * 2 > entries
    return entries >= limits.CUT_INTO and died == entries
