"""Estimates against numbers reckoned by hand, and the closed forms against a queue that is played through."""

import heapq
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanwise.limits import VCPU_MB
from fanwise.pricing import prices_of
from fanwise.reckoning.batching import FunctionSize
from fanwise.reckoning.estimate import Estimate, Work, estimate
from fanwise.reckoning.queueing import RAMP_ENVIRONMENTS, RAMP_S, S3_BURST_S, Queue
from fanwise_local.template import read_stack, stack_root
from profiles import ON_LAMBDA, runtime_profile


def of(items: int, batch_size: int, *, max_concurrency: int = 1000, **figures: Any) -> Estimate:
    work = Work(items=items, batch_size=batch_size, max_concurrency=max_concurrency)
    profile = runtime_profile(**figures)
    return estimate(work, profile, runtime="litert", size=FunctionSize(VCPU_MB), prices=prices_of())


def played(entries: int, max_concurrency: int, start_s: float, work_s: float) -> tuple[int, float]:
    """Environments used, and when the last entry ends: one event after the other."""
    free: list[float] = []
    environments, left, end_s = 0, entries, 0.0
    wave = 0
    while left:
        room = min(RAMP_ENVIRONMENTS, max_concurrency - environments)
        now = wave * RAMP_S
        while left and free and free[0] <= now + 1e-9:
            at = heapq.heappop(free)
            heapq.heappush(free, at + work_s)
            end_s, left = max(end_s, at + work_s), left - 1
        for _ in range(min(room, left)):
            heapq.heappush(free, now + start_s + work_s)
            end_s, left, environments = max(end_s, now + start_s + work_s), left - 1, environments + 1
        wave += 1
    return environments, end_s


@settings(max_examples=60)
@given(
    st.integers(1, 20_000),
    st.sampled_from([1, 10, 999, 1000, 1001, 2500, 10_000]),
    st.sampled_from([0.25, 2.0, 9.5, 12.0]),
    st.sampled_from([0.5, 3.0, 7.25, 20.0, 33.0]),
)
def test_the_closed_form_is_what_a_queue_comes_to(
    entries: int, max_concurrency: int, start_s: float, work_s: float
) -> None:
    queue = Queue(entries, max_concurrency, start_s=start_s, work_s=work_s)
    environments, end_s = played(entries, max_concurrency, start_s, work_s)
    assert queue.environments == environments
    assert queue.end_s == pytest.approx(end_s, rel=1e-6)
    assert queue.waiting_s == 0


@settings(max_examples=60)
@given(
    st.integers(1, 5000),
    st.sampled_from([1, 10, 999, 1000]),
    st.sampled_from([0.25, 2.0]),
    st.sampled_from([0.5, 3.0, 20.0]),
    st.sampled_from([0.001, 0.01, 0.1]),
)
def test_the_closed_form_is_what_a_queue_for_s3_comes_to(
    entries: int, max_concurrency: int, start_s: float, work_s: float, reading_s: float
) -> None:
    """Everyone asks when they begin, and what is asked for first is given first."""
    queue = Queue(entries, max_concurrency, start_s=start_s, work_s=work_s, reading_s=reading_s)
    free = [start_s] * min(max_concurrency, entries)
    given_s, end_s, waited_s = start_s - S3_BURST_S, 0.0, 0.0
    for _ in range(entries):
        at = heapq.heappop(free)
        given_s = max(given_s, at - S3_BURST_S) + reading_s
        waited_s += max(0.0, given_s - at - work_s)
        end_s = max(at + work_s, given_s)
        heapq.heappush(free, end_s)
    assert queue.end_s == pytest.approx(max(free), abs=max(work_s, S3_BURST_S) if waited_s else 1e-6)
    assert queue.waiting_s == pytest.approx(waited_s, rel=0.02, abs=len(free) * max(work_s, S3_BURST_S))


def test_a_thousand_batches_at_once() -> None:
    """100 ms and 256 mini-batched items of 10 ms: 2.7 s each, after a start of 2 s."""
    reckoned = of(256_000, 256)
    duration = reckoned.duration_s
    assert (reckoned.batches, reckoned.environments, reckoned.invocations) == (1000, 1000, 1001)
    assert (duration.ramp_up, duration.cold_starts, duration.compute, duration.tail) == pytest.approx(
        (0, 1.998, 2.7, 0.002)  # one is the probe's, and warm
    )
    assert duration.start == pytest.approx(1.0 + 2.0 + 0.2)  # PlanJob; the probe's one mini-batch
    assert duration.total == pytest.approx(3.2 + 4.7 + 1.15)
    work_gb_s = (1000 * 2.7 + 999 * 2.0 + 2.2) * VCPU_MB / 1024
    assert reckoned.billed_gb_s == pytest.approx(work_gb_s + (1.0 + 1.15) * 1769 / 1024, abs=0.01)
    cost = reckoned.cost_usd
    assert cost["parts"]["lambda_compute"] == pytest.approx(reckoned.billed_gb_s * 0.0000166667, abs=2e-6)
    assert cost["parts"]["lambda_requests"] == pytest.approx(1003 * 0.0000002, abs=1e-6)
    assert cost["parts"]["transitions"] == pytest.approx(14 * 0.000025, abs=1e-6)
    assert cost["parts"]["children"] == pytest.approx(1000 * 1e-6 + 4698 * 0.0625 * 0.00001667, abs=1e-6)
    assert cost["parts"]["s3_puts"] == pytest.approx((2000 + 13 + 5) * 0.000005, abs=1e-6)
    assert cost["parts"]["s3_gets"] == pytest.approx((2000 + 6000 + 12 + 1) * 0.0000004, abs=1e-6)


def test_two_waves_of_environments() -> None:
    """4,000 batches of 20.1 s at 2,000: the second thousand comes 10 s later, and each takes two."""
    reckoned = of(8_000_000, 2000, max_concurrency=2000)
    duration = reckoned.duration_s
    assert reckoned.environments == 2000
    assert (duration.ramp_up, duration.compute) == pytest.approx((5.0, 40.2))
    assert duration.tail == pytest.approx(5.001)  # of the second thousand, while the first is done
    assert duration.total - duration.start - duration.account == pytest.approx(10 + 2 + 40.2)


@pytest.mark.parametrize(("items", "batches"), [(0, 0), (1, 1), (256, 1), (257, 2)])
def test_small_jobs(items: int, batches: int) -> None:
    reckoned = of(items, 256)
    assert (reckoned.batches, reckoned.environments, reckoned.invocations) == (batches,) * 3
    assert reckoned.duration_s.total > 0
    assert reckoned.cost_usd["total"] > 0


def test_what_an_item_points_at_is_fetched_and_paid_for() -> None:
    work = Work(items=25_600, batch_size=256, max_concurrency=1000)
    size, profile = FunctionSize(VCPU_MB), runtime_profile(compute_ms={1: 0.1})
    without, with_reads = (
        estimate(
            Work(items=work.items, batch_size=256, max_concurrency=1000, reads=reads),
            profile,
            runtime="litert",
            size=size,
            prices=prices_of(),
        )
        for reads in (0, 1)
    )
    more = with_reads.cost_usd["parts"]["s3_gets"] - without.cost_usd["parts"]["s3_gets"]
    assert more == pytest.approx(25_600 * 0.0000004, abs=1e-6)
    # 20 ms by six threads are 3.3 ms an item, where the model takes 0.1
    assert with_reads.duration_s.compute == pytest.approx(0.1 + 256 * 20 / 6 / 1000, abs=0.001)


def test_executions_for_a_dollar() -> None:
    """At 2,048 MB and 1,493 ms, 20,000 executions of Lambda are just under a dollar."""
    work = Work(items=20_000, batch_size=1, max_concurrency=1)
    profile = runtime_profile(mini_batch=1, compute_ms={1: 0.0}, invocation_ms=1493, init_ms=0, load_ms=0)
    reckoned = estimate(work, profile, runtime="litert", size=FunctionSize(2048), prices=prices_of())
    assert 19_900 < reckoned.executions_per_usd["lambda"] < 20_100
    assert reckoned.executions_per_usd["all"] < reckoned.executions_per_usd["lambda"]


@pytest.mark.parametrize(
    ("figures", "items"),
    [
        # At 1,769 MB 2.988 GB-s are 1,729 ms: 0.1 s, and 162 of 10 ms, in whole mini-batches of 10.
        ({}, 160),
        ({"mini_batch": 1}, 162),
        ({"invocation_ms": 1800}, 0),
    ],
)
def test_the_largest_batch_of_which_a_dollar_buys_20000(figures: dict[str, Any], items: int) -> None:
    assert of(1000, 10, **figures).executions_per_usd["items_at_20000"] == items


def test_it_says_whether_a_laptop_stands_in_for_lambda() -> None:
    assert of(1, 1).stands_in
    assert of(1, 1).measured_on == "Test CPU, 2 cores"
    measured = of(1, 1, measured_on=ON_LAMBDA)
    assert not measured.stands_in
    assert measured.measured_on == "Lambda in us-east-1 at 1,769 MB, by job digits-1"


def test_the_other_functions_have_the_memory_that_is_reckoned_with() -> None:
    from fanwise.reckoning.estimate import OTHERS_MEMORY_MB

    functions = read_stack(stack_root()).functions
    assert functions["PlanJobFunction"].memory_mb == OTHERS_MEMORY_MB
    assert functions["AggregateResultsFunction"].memory_mb == OTHERS_MEMORY_MB


@given(st.integers(0, 10**7), st.integers(1, 100_000), st.integers(1, 10_000), st.floats(0.001, 1000))
def test_parts_are_the_total_and_nothing_is_negative(
    items: int, batch_size: int, max_concurrency: int, compute_ms: float
) -> None:
    reckoned = of(items, batch_size, max_concurrency=max_concurrency, compute_ms={1: compute_ms})
    duration = reckoned.duration_s
    parts = [
        duration.start,
        duration.ramp_up,
        duration.cold_starts,
        duration.compute,
        duration.s3_wait,
        duration.tail,
        duration.account,
    ]
    assert min(parts) >= 0
    assert sum(parts) == pytest.approx(duration.total, abs=0.005)
    assert reckoned.environments <= min(max_concurrency, reckoned.batches)
