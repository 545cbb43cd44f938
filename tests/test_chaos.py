"""A seeded share of `make chaos`: jobs under drawn fault plans come to what their plans say."""

import asyncio
from pathlib import Path

import pytest

from chaos import Tally, draw_plan, draw_real_plan, run_real_jobs, table, virtual
from fanwise_local.faults.rules import KINDS
from jobs import FAULT_NAMES
from keras_models import made_models

__all__ = ["made_models"]  # a fixture

JOBS, REAL_JOBS, AT_ONCE = 500, 50, 50


@pytest.mark.parametrize("first", range(0, JOBS, AT_ONCE))
def test_jobs_on_the_virtual_clock_come_to_what_their_plans_say(first: int) -> None:
    tally = Tally()
    assert list(virtual(range(first, first + AT_ONCE), tally)) == list(range(first, first + AT_ONCE))
    assert tally.failed == []
    assert tally.tried == tally.survived
    assert tally.items > AT_ONCE


def test_jobs_with_processes_come_to_what_their_plans_say(made_models: Path, tmp_path: Path) -> None:
    tally = Tally()
    asyncio.run(run_real_jobs(range(REAL_JOBS), made_models / "tabular", tmp_path / "real", tally))
    assert tally.failed == []
    assert tally.jobs == REAL_JOBS
    assert len(tally.tried) >= 5
    assert table(tally).splitlines()[0].split() == ["fault", "tried", "survived"]


def test_every_fault_that_can_befall_a_job_is_drawn() -> None:
    drawn = {FAULT_NAMES[type(rule)] for seed in range(JOBS) for rule in draw_plan(seed).rules}
    assert drawn == KINDS.keys() - {"repeat_response"}  # of which a job on the virtual clock knows nothing
    assert all(1 <= len(draw_real_plan(seed).rules) <= 4 for seed in range(JOBS))


def test_an_item_that_comes_to_something_else_is_told_with_its_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaos.MISSING", "something else")
    tally = Tally()
    list(virtual(range(1, 2), tally))
    (failed,) = tally.failed
    assert failed.startswith("seed 1: [(")
    assert draw_plan(1).describe() in failed
