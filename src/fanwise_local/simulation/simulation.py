"""Plays a scenario through, and tells what it came to."""

import asyncio
import gc
import random as randoms
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import msgspec

from fanwise.pricing import STORAGE_MB, Usage, price
from fanwise_local.clock import Clock, run_virtual
from fanwise_local.simulation.counts import Counts
from fanwise_local.simulation.curve import Point
from fanwise_local.simulation.durations import Chance
from fanwise_local.simulation.handlers import Handlers
from fanwise_local.simulation.plan import write_plan
from fanwise_local.simulation.pool import Pool, PoolLimits
from fanwise_local.simulation.scenario import Scenario
from fanwise_local.simulation.services import FunctionBill, SimulatedServices
from fanwise_local.simulation.slow_downs import S3
from fanwise_local.simulation.store import RESULTS, ItemsFile, Objects, storage_of
from fanwise_local.states.definition import StateMachineDefinition, parse_definition
from fanwise_local.states.executions import StateMachine
from fanwise_local.template import Function, Stack, read_stack, stack_root


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of a job, by what they go into; the parts are the whole.

    `start` is PlanJob and the probe; `rounds` the Map Runs; `waits` between rounds, after entries that throttling
    kept from being tried; `account` AggregateResults.
    """

    start: float
    rounds: float
    waits: float
    account: float


class Items(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the items."""

    total: int
    predicted: int = 0
    dead_lettered: int = 0
    missing: int


class SimulatedRound(msgspec.Struct, frozen=True, kw_only=True):
    """One Map Run. `unfinished` children ended without a commit, after all their retries; `died` are invocations
    that took longer than their timeout, `rest` those that left items over near it."""

    entries: int
    began_s: float
    ended_s: float
    unfinished: int
    died: int
    rest: int
    throttles: int


class Simulation(msgspec.Struct, frozen=True, kw_only=True):
    """What `fanwise simulate` tells; docs/contracts.md says it field by field. Seconds are the job's own.

    `invocations` and `cold_starts` are PredictBatch's, the probe's with them; `throttles` are 429s,
    `s3_slow_downs` 503s. `peak_concurrency` is of all functions. `curve` has at most 600 points.
    """

    status: str
    reason: str | None
    duration_s: float
    parts_s: Parts
    items: Items
    entries: int
    rounds: list[SimulatedRound]
    invocations: int
    cold_starts: int
    stragglers: int
    throttles: int
    s3_slow_downs: int
    peak_concurrency: int
    peak_waiting: int
    billed_gb_s: float
    cost_usd: dict[str, Any]
    usage: Usage
    curve: list[Point]


def simulate(scenario: Scenario, counts: Counts | None = None) -> Simulation:
    """Play a scenario through, to the end of the job; `counts` are the caller's, to be looked at meanwhile."""
    with _collecting_rarely():
        return run_virtual(_Played(scenario, counts or Counts()).run())


@contextmanager
def _collecting_rarely() -> Iterator[None]:
    """Ten thousand children are a lot to look through for garbage, and leave little: a quarter of the time."""
    before = gc.get_threshold()
    gc.set_threshold(50_000, 20, 1000)
    try:
        yield
    finally:
        gc.set_threshold(*before)


@cache
def _stack() -> Stack:
    return read_stack(stack_root())


@cache
def _definition() -> StateMachineDefinition:
    """As it is deployed, but for the bucket."""
    return parse_definition(_stack().definition, {**_stack().substitutions, "ResultsBucket": RESULTS})


class _Played:
    """One simulation: everything that it is made of, seeded."""

    def __init__(self, scenario: Scenario, counts: Counts) -> None:
        self._scenario = scenario
        randoms_of = randoms.Random(scenario.seed)
        self._chance = Chance(scenario, randoms.Random(randoms_of.random()))
        self._machine_random = randoms.Random(randoms_of.random())
        self._counts = counts
        self._pool = Pool(
            PoolLimits(
                account_concurrency=scenario.account_concurrency,
                environments=scenario.environments,
                throttled=scenario.throttled,
            ),
            lambda: self._counts.running_changed(self._pool.running),
        )
        results, items = Objects(), ItemsFile(scenario.work.items, scenario.work.size_bytes)
        storage = storage_of(results, items)
        job = write_plan(storage, scenario, items)
        s3 = S3(randoms.Random(randoms_of.random()), self._slowed, limited=scenario.environments is None)
        stack = _stack()
        self._handlers = Handlers(scenario, job, storage, results, items, self._chance, s3, self._counts)
        self._services = SimulatedServices(
            {function.arn: self._bill(function) for function in stack.functions.values()},
            self._handlers,
            self._pool,
            results,
            self._counts,
        )

    async def run(self) -> Simulation:
        """Play it, on a virtual loop."""
        machine = StateMachine(
            _definition(),
            arn=_stack().state_machine_arn,
            services=self._services,
            clock=Clock(),
            observer=self._counts,
            random=self._machine_random,
            child_starts_per_s=self._scenario.child_starts_per_s,
        )
        execution = await machine.start_execution({"manifest": "s3://items/job.json"}).wait()
        duration_s = asyncio.get_running_loop().time()
        summary = self._handlers.summary or {
            "status": "FAILED",
            "reason": f"{execution.error}: {execution.cause}",
            "items": Items(total=self._scenario.work.items, missing=self._scenario.work.items),
        }
        counts, prices = self._counts, self._scenario.prices
        usage = counts.usage
        return Simulation(
            status=summary["status"],
            reason=summary["reason"],
            duration_s=round(duration_s, 3),
            parts_s=Parts(**{name: round(part_s, 3) for name, part_s in counts.parts_s.items()}),
            items=msgspec.convert(summary["items"], Items, from_attributes=True),
            entries=self._scenario.work.entries,
            rounds=[
                SimulatedRound(
                    entries=round_.entries,
                    began_s=round(round_.began_s, 3),
                    ended_s=round(round_.ended_s, 3),
                    unfinished=round_.unfinished,
                    died=round_.died,
                    rest=round_.rest,
                    throttles=round_.throttles,
                )
                for round_ in counts.rounds
            ],
            invocations=counts.invocations,
            cold_starts=counts.cold_starts,
            stragglers=self._chance.stragglers,
            throttles=counts.throttles,
            s3_slow_downs=counts.slow_downs,
            peak_concurrency=counts.peak_running,
            peak_waiting=counts.peak_waiting,
            billed_gb_s=round(usage.gb_s, 3),
            cost_usd=price(usage, prices).described(prices),
            usage=usage,
            curve=counts.curve.points(),
        )

    def _slowed(self, requests: int) -> None:
        self._counts.slow_downs += requests

    def _bill(self, function: Function) -> FunctionBill:
        if function.logical_id.startswith("PredictBatch"):
            return FunctionBill(
                function.logical_id, self._scenario.size.memory_mb, STORAGE_MB[self._scenario.runtime]
            )
        return FunctionBill(function.logical_id, function.memory_mb)
