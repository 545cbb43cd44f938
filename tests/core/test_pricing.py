"""Prices against numbers reckoned by hand from the pricing pages."""

import pytest

from fanwise.pricing import Cost, billed_ms, cost_of
from fanwise.records import Invocation


def invocation(duration_ms: float, **more: object) -> Invocation:
    return Invocation(request_id="r", duration_ms=duration_ms, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "billed"),
    [
        (invocation(0), 0),
        (invocation(0.1), 1),
        (invocation(1000), 1000),
        (invocation(1000.1), 1001),
        (invocation(1000.1, init_ms=2500.2, cold=True), 3501),
        (invocation(1000.1, init_ms=2500.2, cold=False), 1001),
        (invocation(120_000), 120_000),  # a death is billed to its timeout
    ],
)
def test_lambda_bills_whole_milliseconds_and_cold_starts(given: Invocation, billed: int) -> None:
    assert billed_ms(given) == billed


def test_a_job_without_invocations_costs_its_transitions() -> None:
    assert cost_of([], memory_mb=1769, rounds=0) == Cost(0, 0, 10 * 0.000025, 0)


def test_one_invocation_of_a_second_at_one_gigabyte() -> None:
    cost = cost_of([invocation(1000, gets=10, puts=2)], memory_mb=1024, rounds=1)
    assert cost.billed_gb_s == 1
    assert cost.lambda_usd == pytest.approx(0.0000166667 + 0.0000002)
    # 13 transitions; one Express request, and 1 s of 64 MB
    assert cost.step_functions_usd == pytest.approx(13 * 0.000025 + 0.000001 + 0.0625 * 0.00001667)
    assert cost.s3_usd == pytest.approx(10 * 0.0000004 + 2 * 0.000005)
    assert cost.total_usd == pytest.approx(0.0000168667 + 0.000327041875 + 0.000014)


def test_ten_thousand_invocations_of_ten_seconds_at_one_vcpu() -> None:
    """10,000 times 10 s at 1,769 MB = 172,754 GB-s: $2.879 of Lambda, and two rounds."""
    cost = cost_of([invocation(10_000)] * 10_000, memory_mb=1769, rounds=2)
    assert cost.billed_gb_s == pytest.approx(172_753.90625)
    assert cost.lambda_usd == pytest.approx(2.87923753 + 0.002)
    assert cost.step_functions_usd == pytest.approx(16 * 0.000025 + 0.01 + 100_000 * 0.0625 * 0.00001667)


def test_twenty_thousand_executions_under_a_dollar_is_where_awss_arithmetic_puts_it() -> None:
    """At 2,048 MB, 1,493 ms an invocation are just under a dollar of Lambda, and 1,495 ms just over."""
    under, over = (
        cost_of([invocation(ms)] * 20_000, memory_mb=2048, rounds=1).lambda_usd for ms in (1493, 1495)
    )
    assert under < 1 < over


@pytest.mark.parametrize(
    ("duration_ms", "steps"),
    [(0.5, 1), (100, 1), (100.1, 2), (300, 3), (700, 7), (1100, 11), (1101, 12), (60_000, 600)],
)
def test_a_child_is_billed_in_whole_steps_of_100_ms(duration_ms: float, steps: int) -> None:
    nothing, one = (
        cost_of(invocations, memory_mb=128, rounds=0) for invocations in ([], [invocation(duration_ms)])
    )
    child_usd = one.step_functions_usd - nothing.step_functions_usd - 0.000001
    assert child_usd / (0.1 * 0.0625 * 0.00001667) == pytest.approx(steps)
