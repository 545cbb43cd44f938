"""What was measured → what the whole job would take and cost at each combination, and the best of them.

At a setting an invocation takes a part of its own and a part for each row (a line through its batch sizes); with
its cold start that is a profile, which `fanwise.reckoning` makes time and price of. A batch size that was measured
is reckoned with its own figure; the one that `auto` would take there is reckoned by the line.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from fanwise.limits import VCPU_MB
from fanwise.model.profile import MeasuredOn, RuntimeProfile
from fanwise.pricing import Prices
from fanwise.reckoning.batching import FunctionSize, auto_batch_size
from fanwise.reckoning.choices import ABOUT_AS_MUCH
from fanwise.reckoning.estimate import Work, estimate
from fanwise.records import Runtime
from fanwise_cli.tuning.trials import Measured, Searched

By = Literal["price", "time"]


class Combination(msgspec.Struct, frozen=True, kw_only=True):
    """A runtime, memory size and batch size; docs/contracts.md says it field by field."""

    runtime: Runtime
    memory_mb: int
    vcpus: float
    batch_size: int
    is_measured: bool
    is_deployed: bool
    item_ms: float | None = None
    cold_start_ms: float | None = None
    peak_memory_mb: int | None = None
    duration_s: float | None = None
    total_usd: float | None = None
    failed: str | None = None

    @property
    def time_s(self) -> float:
        """The job's time; 0 where it failed."""
        return self.duration_s or 0.0

    @property
    def price_usd(self) -> float:
        """The job's price; 0 where it failed."""
        return self.total_usd or 0.0

    @property
    def name(self) -> str:
        """What it is, in words."""
        return f"{self.runtime}, {self.memory_mb:,} MB, {self.batch_size:,} items a batch"


@dataclass(frozen=True)
class Reckoning:
    """What combinations are reckoned with. `assumed_ms` is what an invocation takes more than was measured."""

    work: Work  # its batch size is each combination's
    prices: Prices
    measured_on: MeasuredOn
    timeout_s: float
    deployed_mb: int
    mini_batch: dict[Runtime, int]
    assumed_ms: float = 0.0
    adds_auto: bool = True

    def of(self, searched: Searched) -> list[Combination]:
        """The combinations of a setting, the smallest batch first."""
        made = [self._combination(searched, one) for one in searched.measured]
        if self.adds_auto and searched.worked and len(searched.worked) == len(searched.measured):
            auto = self._auto(searched)
            if auto is not None and auto.batch_size not in [one.batch_size for one in made]:
                made = sorted([*made, auto], key=lambda one: one.batch_size)
        return made

    def _combination(self, searched: Searched, one: Measured) -> Combination:
        if one.failed is not None:
            return self._made(searched, one.batch_size, failed=one.failed)
        own_ms, _ = self._line(searched)
        row_ms = (one.duration_ms - own_ms) / self._rows(searched, one.batch_size)
        return self._reckoned(searched, one.batch_size, self._profile(searched, own_ms, row_ms), one)

    def _auto(self, searched: Searched) -> Combination | None:
        """The batch size that the planner would take here; None where memory may not do for it."""
        profile, runtime = self._profile(searched, *self._line(searched)), searched.setting.runtime
        size = FunctionSize(searched.setting.memory_mb, self.timeout_s)
        work = self.work
        batch = auto_batch_size(
            profile,
            items=work.items,
            size_bytes=work.size_bytes,
            max_concurrency=work.max_concurrency,
            size=size,
            reads=work.reads,
        ).items
        if work.items:
            batch = min(batch, max(self.mini_batch[runtime], work.items))
        if _peak_at(searched, batch) > searched.setting.memory_mb:
            return None
        return self._reckoned(searched, batch, profile, None)

    def _reckoned(
        self, searched: Searched, batch_size: int, profile: RuntimeProfile, one: Measured | None
    ) -> Combination:
        memory_mb = searched.setting.memory_mb
        found = estimate(
            msgspec.structs.replace(self.work, batch_size=batch_size),
            profile,
            runtime=searched.setting.runtime,
            size=FunctionSize(memory_mb, self.timeout_s),
            prices=self.prices,
        )
        item_ms = (
            one.item_ms if one else (profile.work_ms(batch_size, memory_mb) - self.assumed_ms) / batch_size
        )
        return self._made(
            searched,
            batch_size,
            is_measured=one is not None,
            item_ms=round(item_ms, 4),
            cold_start_ms=round(searched.start.init_ms + searched.start.load_ms, 1),
            peak_memory_mb=one.peak_memory_mb if one else None,
            duration_s=found.duration_s.total,
            total_usd=found.cost_usd["total"],
        )

    def _made(self, searched: Searched, batch_size: int, **figures: object) -> Combination:
        setting = searched.setting
        named = {
            "runtime": setting.runtime,
            "memory_mb": setting.memory_mb,
            "vcpus": round(setting.memory_mb / VCPU_MB, 2),
            "batch_size": batch_size,
            "is_measured": True,
            "is_deployed": setting.memory_mb == self.deployed_mb,
        }
        return msgspec.convert({**named, **figures}, Combination)

    def _rows(self, searched: Searched, items: int) -> int:
        mini_batch = self.mini_batch[searched.setting.runtime]
        return -(-items // mini_batch) * mini_batch

    def _line(self, searched: Searched) -> tuple[float, float]:
        """What an invocation takes beside its rows, and a row: by least squares, neither below nothing."""
        points = [(self._rows(searched, one.batch_size), one.duration_ms) for one in searched.worked]
        count = len(points)
        mean_rows, mean_ms = sum(rows for rows, _ in points) / count, sum(ms for _, ms in points) / count
        square = sum((rows - mean_rows) ** 2 for rows, _ in points)
        slope = sum((rows - mean_rows) * (ms - mean_ms) for rows, ms in points) / square if square else 0.0
        if slope <= 0:
            return 0.0, mean_ms / mean_rows
        own_ms = min(max(mean_ms - slope * mean_rows, 0.0), *(ms for _, ms in points))
        return own_ms, (mean_ms - own_ms) / mean_rows

    def _profile(self, searched: Searched, own_ms: float, row_ms: float) -> RuntimeProfile:
        """The setting's figures as a profile that gives them back at its memory size."""
        share = min(1.0, searched.setting.memory_mb / VCPU_MB)
        return RuntimeProfile(
            measured_on=self.measured_on,
            init_ms=searched.start.init_ms,
            load_ms=searched.start.load_ms * share,
            invocation_ms=own_ms + self.assumed_ms,
            mini_batch=self.mini_batch[searched.setting.runtime],
            compute_ms={1: row_ms * share},
            decode_ms=0.0,
            peak_memory_mb=searched.start.peak_memory_mb or 0,
        )


def _peak_at(searched: Searched, items: int) -> float:
    """The memory that so many items would take, by how it grew from the first batch size to the last."""
    first, last = searched.worked[0], searched.worked[-1]
    low, high = first.peak_memory_mb or 0, last.peak_memory_mb or 0
    if items <= last.batch_size or last.batch_size == first.batch_size:
        return high
    return high + (high - low) / (last.batch_size - first.batch_size) * (items - last.batch_size)


def best_of(made: Sequence[Combination], by: By) -> tuple[Combination, str] | None:
    """The best of those that work, and why: of those that are about as good, the one that is better otherwise."""
    able = [one for one in made if one.failed is None]
    if not able:
        return None

    def goal(one: Combination) -> float:
        return one.price_usd if by == "price" else one.time_s

    def other(one: Combination) -> float:
        return one.time_s if by == "price" else one.price_usd

    most = min(able, key=lambda one: (goal(one), other(one)))
    close = [one for one in able if goal(one) <= goal(most) * ABOUT_AS_MUCH]
    best = min(close, key=lambda one: (other(one), goal(one)))
    superlative, otherwise = ("cheapest", "fastest") if by == "price" else ("fastest", "cheapest")
    if best is most:
        return best, f"the {superlative}"
    more = 100 * (goal(best) / goal(most) - 1)
    what = "cost about as much" if by == "price" else "take about as long"
    return (
        best,
        f"the {otherwise} of those that {what} ({more:.1f} % more than the {superlative}: {most.name})",
    )


def front_of(made: Sequence[Combination]) -> list[Combination]:
    """Those that none beats in both time and price (the Pareto front), the fastest first."""
    front: list[Combination] = []
    able = [one for one in made if one.failed is None]
    for one in sorted(able, key=lambda one: (one.time_s, one.price_usd)):
        if not front or one.price_usd < front[-1].price_usd:
            front.append(one)
    return front
