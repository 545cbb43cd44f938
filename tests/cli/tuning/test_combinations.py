"""What was measured → time and price of the job, and the best: figures that can be reckoned in one's head."""

from typing import Any

import pytest

from cli.tuning.benches import START, Formula, linear, searched
from fanwise.pricing import prices_of
from fanwise.reckoning.estimate import Work
from fanwise_cli.tuning.combinations import Combination, Reckoning, best_of, front_of
from fanwise_cli.tuning.trials import Setting, Trial
from profiles import MEASURED_ON

ONE = Setting("litert", 1769)


def reckoned(formula: Formula, setting: Setting = ONE, items: int = 1000, **how: Any) -> list[Combination]:
    what: dict[str, Any] = {
        "work": Work(items=items, batch_size=1, max_concurrency=how.pop("max_concurrency", 1)),
        "prices": prices_of(),
        "measured_on": MEASURED_ON,
        "timeout_s": 120.0,
        "deployed_mb": 1769,
        "mini_batch": {"litert": 10, "tensorflow": 10},
        "adds_auto": False,
    }
    sizes = how.pop("batch_sizes", (100, 500))
    found, _, _ = searched(formula, [setting], batch_sizes=sizes)
    return Reckoning(**{**what, **how}).of(found[0])


def test_a_job_takes_what_its_invocations_were_measured_to_take() -> None:
    small, large = reckoned(linear(own_ms=50, item_ms=2))
    assert (small.item_ms, large.item_ms) == (2.5, 2.1)
    # One environment: ten batches of 250 ms, or two of 1,050 ms; its cold start is 500 ms; all else is the same.
    assert small.time_s - large.time_s == pytest.approx(10 * 0.25 - 2 * 1.05, abs=0.01)
    gb_s = (10 * 0.25 - 2 * 1.05) * 1769 / 1024
    more_requests = 8 * (0.20e-6 + 1e-6 + 2 * 0.4e-6 + 2 * 5e-6)  # invocation, child, and requests to S3
    assert small.price_usd - large.price_usd == pytest.approx(gb_s * 0.0000166667 + more_requests, rel=0.05)
    assert (small.cold_start_ms, small.peak_memory_mb, small.vcpus) == (500, 100, 1.0)


def test_each_batch_size_has_its_own_figure_where_they_lie_on_no_line() -> None:
    by_size = {100: 300.0, 500: 1000.0, 900: 4000.0}
    made = reckoned(lambda _, items: Trial(duration_ms=by_size[items]), batch_sizes=tuple(by_size))
    assert [one.item_ms for one in made] == [3.0, 2.0, round(4000 / 900, 4)]
    assert made[1].time_s < made[0].time_s < made[2].time_s


@pytest.mark.parametrize("memory_mb", [1024, 1769, 3538, 5000])
def test_figures_are_those_of_the_memory_size_that_was_measured(memory_mb: int) -> None:
    (one,) = reckoned(lambda *_: Trial(duration_ms=1000), Setting("litert", memory_mb), batch_sizes=(1000,))
    (same,) = reckoned(lambda *_: Trial(duration_ms=1000), batch_sizes=(1000,))
    assert one.time_s == pytest.approx(same.time_s, abs=0.002)  # 1 s of work, 0.5 s of start
    assert (one.is_deployed, one.cold_start_ms) == (memory_mb == 1769, START.init_ms + START.load_ms)


def test_what_an_invocation_takes_on_lambda_alone_is_added() -> None:
    (without,) = reckoned(linear(0, 1), batch_sizes=(100,))
    (with_it,) = reckoned(linear(0, 1), batch_sizes=(100,), assumed_ms=100)
    assert with_it.time_s - without.time_s == pytest.approx(
        1.0, abs=0.002
    )  # ten invocations, one after the other
    assert with_it.item_ms == without.item_ms == 1.0  # what was measured


def test_the_batch_size_of_auto_is_reckoned_beside_what_was_tried() -> None:
    made = reckoned(linear(50, 2), items=100_000, adds_auto=True)
    assert [(one.batch_size, one.is_measured) for one in made] == [(100, True), (500, True), (10_000, False)]
    assert made[-1].item_ms == pytest.approx(2.005, abs=0.001)  # 20 s of work an invocation
    assert made[-1].peak_memory_mb is None


def test_no_batch_is_reckoned_that_memory_may_not_hold() -> None:
    def growing(setting: Setting, items: int) -> Trial:
        return Trial(duration_ms=50 + 2 * items, peak_memory_mb=100 + items)

    made = reckoned(growing, items=100_000, adds_auto=True)
    assert [one.batch_size for one in made] == [100, 500]  # 10,000 items would take 10,100 MB


def test_what_failed_is_told_and_never_the_best() -> None:
    def formula(setting: Setting, items: int) -> Trial:
        return Trial(failed="out of memory") if items > 100 else Trial(duration_ms=items)

    made = reckoned(formula, adds_auto=True)
    assert [(one.batch_size, one.failed) for one in made] == [(100, None), (500, "out of memory")]
    best = best_of(made, "price")
    assert best is not None
    assert best[0].batch_size == 100
    assert best_of(made[1:], "price") is None
    assert front_of(made) == made[:1]


def of(duration_s: float, total_usd: float, memory_mb: int = 1769) -> Combination:
    return Combination(
        runtime="litert",
        memory_mb=memory_mb,
        vcpus=1,
        batch_size=32,
        is_measured=True,
        is_deployed=False,
        duration_s=duration_s,
        total_usd=total_usd,
    )


def test_of_those_that_are_about_as_good_the_otherwise_better_is_best() -> None:
    cheapest, close, fast = of(100, 1.0), of(50, 1.04, 3538), of(10, 3.0, 7076)
    found = best_of([fast, cheapest, close], "price")
    assert found == (
        close,
        "the fastest of those that cost about as much (4.0 % more than the cheapest: litert, 1,769 MB, 32 items a"
        " batch)",
    )
    assert best_of([fast, cheapest, close], "time") == (fast, "the fastest")
    nearly = of(10.3, 2.0, 5307)
    best = best_of([fast, nearly], "time")
    assert best is not None
    assert best[0] == nearly


def test_the_front_has_what_none_beats_in_both() -> None:
    fast, middle, cheap, beaten, same = of(1, 9), of(5, 5), of(9, 1), of(6, 6), of(5, 7)
    assert front_of([beaten, cheap, same, fast, middle]) == [fast, middle, cheap]
