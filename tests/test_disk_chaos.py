"""A seeded share of `make chaos`: jobs whose disk is damaged or full come out as if it had not been."""

from pathlib import Path

import pytest

from disk_chaos import damage_trial, full_disk_trial


@pytest.mark.parametrize("first", range(0, 15, 5))
def test_a_damaged_job_comes_out_the_same(tmp_path: Path, first: int) -> None:
    for seed in range(first, first + 5):
        damage_trial(seed, tmp_path)


@pytest.mark.parametrize("first", range(0, 8, 4))
def test_a_job_on_a_disk_that_fills_up_comes_out_the_same(tmp_path: Path, first: int) -> None:
    for seed in range(first, first + 4):
        full_disk_trial(seed, tmp_path)
