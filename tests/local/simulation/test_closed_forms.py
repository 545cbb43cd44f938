"""Without chance and throttling, a simulation comes to what the closed forms say."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanwise_local.simulation import Scenario, Simulation, simulate

from .scenarios import estimated, scenario


def assert_as_estimated(of: Scenario, *, children_wait: bool = False) -> Simulation:
    """Children that wait for an environment are billed for it, which the closed forms do not reckon."""
    played, reckoned = simulate(of), estimated(of)
    assert played.status == "SUCCEEDED"
    assert played.items.predicted == of.work.items
    assert played.duration_s == pytest.approx(reckoned.duration_s.total, rel=0.01)
    assert played.billed_gb_s == pytest.approx(reckoned.billed_gb_s, rel=0.01)
    if not children_wait:
        assert played.cost_usd["total"] == pytest.approx(reckoned.cost_usd["total"], rel=0.01)
    for part, usd in reckoned.cost_usd["parts"].items():
        if part == "children" and children_wait:
            assert played.cost_usd["parts"][part] >= usd
            continue
        assert played.cost_usd["parts"][part] == pytest.approx(usd, rel=0.01, abs=2e-6), part
    assert played.invocations == reckoned.invocations
    assert played.cold_starts == reckoned.environments
    return played


@pytest.mark.parametrize(
    ("entries", "more"),
    [
        (1, {}),
        (2, {"batch_size": 7}),
        (20, {}),  # the most that are not probed
        (21, {}),
        (21, {"max_concurrency": 1}),
        (30, {"max_concurrency": 2}),
        (300, {"size_bytes": 40_000_000}),
        (700, {"max_concurrency": 60}),
        (50, {"reads": 1, "max_concurrency": 20}),
    ],
)
def test_no_job_is_throttled_within_the_account(entries: int, more: dict[str, Any]) -> None:
    played = assert_as_estimated(scenario(entries, **more))
    assert (played.throttles, played.s3_slow_downs, len(played.rounds)) == (0, 0, 1)


@pytest.mark.parametrize(
    ("entries", "max_concurrency", "batch_size"),
    [(1200, 1200, 100), (1500, 10_000, 1000)],
)
def test_the_ramp_of_environments(entries: int, max_concurrency: int, batch_size: int) -> None:
    ramped = scenario(
        entries,
        max_concurrency=max_concurrency,
        batch_size=batch_size,
        account_concurrency=10_000,
        throttled=False,
    )
    assert_as_estimated(ramped, children_wait=True)


@pytest.mark.parametrize(
    ("entries", "more"),
    [
        (400, {"reads": 10, "max_concurrency": 50}),
        (2000, {"reads": 3, "max_concurrency": 1000, "batch_size": 10}),
        (1000, {"reads": 1, "max_concurrency": 1000}),  # each takes one
        (2000, {"reads": 1, "max_concurrency": 1500, "batch_size": 400}),  # a second wave joins the first
        (5000, {"reads": 1, "max_concurrency": 2000, "figures": {"compute_ms": {1: 200.0}}}),  # is too much
    ],
)
def test_s3_sets_the_pace(entries: int, more: dict[str, Any]) -> None:
    paced = scenario(
        entries,
        **{"account_concurrency": 10_000, "throttled": more["max_concurrency"] <= 1000, **more},
        timeout_s=900,
    )
    reckoned = estimated(paced)
    assert reckoned.duration_s.s3_wait > 0.2
    assert_as_estimated(paced, children_wait=more["max_concurrency"] > 1000)


def test_an_account_that_is_full_is_as_a_smaller_concurrency() -> None:
    bound = scenario(400, max_concurrency=300, account_concurrency=30, throttled=False)
    free = estimated(scenario(400, max_concurrency=30))
    played = simulate(bound)
    assert played.peak_concurrency == 30
    assert played.duration_s == pytest.approx(free.duration_s.total, rel=0.01)
    assert played.cold_starts == free.environments


def test_a_laptop_has_its_environments_and_everything_else_waits() -> None:
    played = simulate(scenario(12, environments=2))
    assert (played.cold_starts, played.peak_concurrency, played.throttles) == (2, 2, 0)
    # PlanJob, a cold start and six entries each, AggregateResults.
    assert played.duration_s == pytest.approx(1.0 + 2.0 + 6 * 1.1 + 1.0072, abs=0.01)


@settings(max_examples=20)
@given(
    entries=st.integers(1, 120),
    batch_size=st.integers(1, 40),
    max_concurrency=st.integers(1, 130),
    init_ms=st.integers(0, 3000),
    invocation_ms=st.integers(1, 4000),
)
def test_any_small_job(
    entries: int, batch_size: int, max_concurrency: int, init_ms: int, invocation_ms: int
) -> None:
    assert_as_estimated(
        scenario(
            entries,
            batch_size=batch_size,
            max_concurrency=max_concurrency,
            figures={"init_ms": init_ms, "invocation_ms": invocation_ms},
        )
    )
