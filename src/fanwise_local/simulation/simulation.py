"""Plays a scenario through, and tells what it came to."""

from typing import Any

import msgspec

from fanwise.pricing import Usage
from fanwise_local.simulation.curve import Point
from fanwise_local.simulation.scenario import Scenario


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
    predicted: int
    dead_lettered: int
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

    `invocations`, `cold_starts` and `environments` are PredictBatch's, the probe's with them; `throttles` are 429s,
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
    environments: int
    stragglers: int
    throttles: int
    s3_slow_downs: int
    peak_concurrency: int
    peak_waiting: int
    billed_gb_s: float
    cost_usd: dict[str, Any]
    usage: Usage
    curve: list[Point]


def simulate(scenario: Scenario) -> Simulation:
    """Play a scenario through, to the job's end or to the end of the state machine's time."""
    raise NotImplementedError
