"""What chance, throttling and deadlines do to a simulated job, and that nothing is lost by them."""

import msgspec
import pytest

from fanwise.limits import MAX_REST_ENTRIES
from fanwise_local.simulation import Simulation, simulate
from fanwise_local.simulation.curve import MAX_POINTS

from .scenarios import estimated, scenario


def assert_all_accounted(played: Simulation) -> None:
    items = played.items
    assert items.predicted + items.dead_lettered + items.missing == items.total
    assert items.missing == 0
    assert sum(round_.throttles for round_ in played.rounds) == played.throttles
    others = (
        1 + len(played.rounds) + sum(round_.died for round_ in played.rounds)
    )  # PlanJob, and after each round
    assert played.usage.invocations == played.invocations + others
    assert played.usage.children == sum(round_.entries for round_ in played.rounds)
    assert sum(msgspec.structs.astuple(played.parts_s)) == pytest.approx(played.duration_s, abs=0.01)
    assert max(point.running for point in played.curve) == played.peak_concurrency
    assert max(point.waiting for point in played.curve) == played.peak_waiting
    assert len(played.curve) <= MAX_POINTS


def test_the_same_seed_is_the_same_run_and_another_is_another() -> None:
    same = [
        simulate(scenario(60, jitter=0.2, tail=0.1, account_concurrency=20, seed=seed)) for seed in (1, 1, 2)
    ]
    assert msgspec.json.encode(same[0]) == msgspec.json.encode(same[1])
    assert same[0].duration_s != same[2].duration_s


def test_chance_is_one_on_average_and_stragglers_are_counted() -> None:
    of = scenario(600, jitter=0.3)
    played = simulate(of)
    assert played.billed_gb_s == pytest.approx(estimated(of).billed_gb_s, rel=0.05)
    assert played.duration_s > estimated(of).duration_s.total
    straggling = simulate(scenario(600, tail=0.05))
    assert 15 < straggling.stragglers < 50
    assert straggling.duration_s > estimated(of).duration_s.total


def test_children_that_are_throttled_to_the_end_are_predicted_in_a_later_round() -> None:
    """200 children in an account of 4: there is room for a few of them in the minutes that each tries."""
    played = simulate(scenario(200, max_concurrency=200, account_concurrency=4, batch_size=1000))
    assert len(played.rounds) > 1
    assert played.rounds[0].unfinished > 0
    assert played.rounds[1].entries == played.rounds[0].unfinished
    assert (played.status, played.peak_concurrency) == ("SUCCEEDED", 4)
    assert played.parts_s.waits > 0
    assert_all_accounted(played)


def test_what_has_no_time_is_left_over_and_predicted_in_the_next_round() -> None:
    """Entries of 200 s: 120 s are worked for until 10 s before, and the rest is cut for another round."""
    played = simulate(scenario(3, batch_size=20_000))
    first, second = played.rounds
    assert (first.rest, first.died, first.unfinished) == (3, 0, 0)
    assert 3 <= second.entries <= 3 * MAX_REST_ENTRIES
    assert first.ended_s - first.began_s == pytest.approx(110, abs=2.5)
    assert_all_accounted(played)


def test_what_dies_of_its_timeout_is_cut_and_predicted() -> None:
    """A mini-batch of 400 items takes 4 s; a straggler's takes longer than the function has, and is cut."""
    slow = {"mini_batch": 400, "invocation_ms": 0}
    played = simulate(
        scenario(12, batch_size=400, timeout_s=15, figures=slow, tail=0.3, tail_factor=4.5, seed=3)
    )
    died = sum(round_.died for round_ in played.rounds)
    assert died > 0
    assert played.rounds[1].entries == 4 * played.rounds[0].died
    assert_all_accounted(played)


def test_s3_slows_down_what_is_too_much_for_a_prefix() -> None:
    reading = simulate(scenario(60, reads=3, max_concurrency=60))  # 18,000 GETs, at 5,500 a second
    assert reading.s3_slow_downs > 1000
    assert reading.duration_s > estimated(scenario(60)).duration_s.total + 0.5  # which reads nothing


def test_a_child_has_no_more_than_five_minutes() -> None:
    """Invocations of 118 s in an account of one: nobody who waits through the retries is let in after them."""
    played = simulate(
        scenario(6, max_concurrency=6, account_concurrency=1, figures={"invocation_ms": 100_000})
    )
    assert played.rounds[0].unfinished > 0
    assert all(round_.ended_s - round_.began_s <= 300 for round_ in played.rounds)


def test_ten_times_as_many_children_have_no_more_points() -> None:
    assert len(simulate(scenario(300, max_concurrency=3)).curve) <= MAX_POINTS
