"""Prices against numbers reckoned by hand from the pricing pages."""

import re
from collections.abc import Sequence

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from fanwise.pricing import (
    ARCHITECTURES,
    FREE_STORAGE_MB,
    STORAGE_MB,
    Cost,
    RegionPrices,
    Usage,
    billed_ms,
    price,
    price_list,
    prices_of,
    transitions_of,
    usage_of,
)
from fanwise.records import Invocation
from fanwise_local.template import read_stack, stack_root


def invocation(duration_ms: float, **more: object) -> Invocation:
    return Invocation(request_id="r", duration_ms=duration_ms, **more)  # type: ignore[arg-type]


def cost_of(
    invocations: Sequence[Invocation], *, memory_mb: int, rounds: int, storage_mb: int = FREE_STORAGE_MB
) -> Cost:
    """What a job of these invocations costs, in us-east-1 on x86_64."""
    usage = usage_of(invocations, memory_mb=memory_mb, storage_mb=storage_mb)
    return price(usage + Usage(transitions=transitions_of(rounds)), prices_of())


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
    assert cost_of([], memory_mb=1769, rounds=0) == Cost(transitions=10 * 0.000025)


def test_one_invocation_of_a_second_at_one_gigabyte() -> None:
    cost = cost_of([invocation(1000, gets=10, puts=2)], memory_mb=1024, rounds=1)
    assert usage_of([invocation(1000)], memory_mb=1024).gb_s == 1
    assert cost.lambda_usd == pytest.approx(0.0000166667 + 0.0000002)
    # 13 transitions; one Express request, and 1 s of 64 MB
    assert cost.step_functions_usd == pytest.approx(13 * 0.000025 + 0.000001 + 0.0625 * 0.00001667)
    assert cost.s3_usd == pytest.approx(10 * 0.0000004 + 2 * 0.000005)
    assert cost.total_usd == pytest.approx(0.0000168667 + 0.000327041875 + 0.000014)


def test_ten_thousand_invocations_of_ten_seconds_at_one_vcpu() -> None:
    """10,000 times 10 s at 1,769 MB = 172,754 GB-s: $2.879 of Lambda, and two rounds."""
    ten_thousand = [invocation(10_000)] * 10_000
    assert usage_of(ten_thousand, memory_mb=1769).gb_s == pytest.approx(172_753.90625)
    cost = cost_of(ten_thousand, memory_mb=1769, rounds=2)
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


def test_storage_is_billed_beyond_its_first_512_megabytes() -> None:
    free, more = (
        cost_of([invocation(1000)] * 100, memory_mb=1024, rounds=0, storage_mb=mb) for mb in (512, 2048)
    )
    assert free.lambda_storage == 0
    assert more.lambda_storage == pytest.approx(100 * 1.5 * 0.0000000309)
    assert more.lambda_usd - free.lambda_usd == pytest.approx(more.lambda_storage)


def test_arm_is_a_fifth_cheaper() -> None:
    usage = usage_of([invocation(1000)], memory_mb=1024)
    x86, arm = price(usage, prices_of("us-east-1")), price(usage, prices_of("us-east-1", "arm64"))
    assert (x86.lambda_compute, arm.lambda_compute) == pytest.approx((0.0000166667, 0.0000133334))
    assert arm.lambda_requests == x86.lambda_requests


def test_prices_name_region_architecture_and_date() -> None:
    assert prices_of().label == prices_of("us-east-1").label == "us-east-1 x86_64 2026-08"
    assert prices_of("us-east-1", "arm64").label == "us-east-1 arm64 2026-08"


def test_a_region_without_prices_says_whose_stand_in() -> None:
    prices = prices_of("mars-north-1")
    assert prices.usd == prices_of("us-east-1").usd
    assert prices.label == "us-east-1 x86_64 2026-08 (for mars-north-1, which has no prices here)"


def test_children_that_stand_in_are_told_of() -> None:
    assert prices_of("eu-central-1").label == "eu-central-1 x86_64 2025-10 (children at us-east-1's prices)"
    assert prices_of("sa-east-1").usd.lambda_storage_usd_per_gb_s == 0.0000000586


FIGURES = [name for name in RegionPrices.__struct_fields__ if "usd" in name]


def figures(prices: RegionPrices) -> dict[str, float]:
    """Every price of a Region, one for each architecture."""
    found: dict[str, float] = {}
    for name in FIGURES:
        value = getattr(prices, name)
        found |= {f"{name} {k}": v for k, v in value.items()} if isinstance(value, dict) else {name: value}
    return found


@pytest.mark.parametrize("region", sorted(price_list().regions))
def test_the_prices_of_a_region_are_whole_sourced_and_plausible(region: str) -> None:
    known = price_list()
    prices, reference = known.regions[region], known.regions["us-east-1"]
    assert set(prices.lambda_usd_per_gb_s) == set(ARCHITECTURES)
    assert re.fullmatch(r"20\d\d-(0[1-9]|1[0-2])", prices.checked)
    assert prices.sources
    assert set(prices.sources) <= set(known.sources)
    assert set(prices.stand_in) <= set(FIGURES)
    for name in prices.stand_in:
        assert getattr(prices, name) == getattr(reference, name)
    for name, usd in figures(prices).items():
        assert 0.5 <= usd / figures(reference)[name] <= 2, name


def test_sources_say_where_and_are_used() -> None:
    known = price_list()
    used = {name for prices in known.regions.values() for name in prices.sources}
    assert used == set(known.sources)
    assert all("https://" in source for source in known.sources.values())
    assert known.regions["us-east-1"].stand_in == ()


def test_storage_is_that_of_the_template() -> None:
    functions = read_stack(stack_root()).functions
    assert {
        "litert": functions["PredictBatchLiteRTFunction"].ephemeral_storage_mb,
        "tensorflow": functions["PredictBatchTensorFlowFunction"].ephemeral_storage_mb,
    } == STORAGE_MB


_counts = st.integers(0, 10**9)
_usages = st.builds(
    Usage,
    invocations=_counts,
    gb_s=st.floats(0, 1e9),
    storage_gb_s=st.floats(0, 1e9),
    transitions=_counts,
    children=_counts,
    child_gb_s=st.floats(0, 1e9),
    gets=_counts,
    puts=_counts,
)


@drawn(_usages, _usages)
def test_two_usages_together_cost_what_they_cost_apart(one: Usage, other: Usage) -> None:
    prices = prices_of()
    together = price(one + other, prices).total_usd
    assert together == pytest.approx(price(one, prices).total_usd + price(other, prices).total_usd)


@drawn(_usages)
def test_the_parts_are_the_total(usage: Usage) -> None:
    described = price(usage, prices_of()).described(prices_of())
    assert described["total"] == pytest.approx(sum(described["parts"].values()), abs=1e-5)
    assert described["total"] == pytest.approx(
        described["lambda"] + described["step_functions"] + described["s3"], abs=1e-5
    )
