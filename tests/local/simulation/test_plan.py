"""The simulated plan, made without reading an item, is what PlanJob makes of the same items file."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_in_process import write_bundle
from fanwise.commits import read_job, read_work
from fanwise.planning import plan_job
from fanwise.reckoning.estimate import Work
from fanwise.records import home_of
from fanwise.storage import FolderBackend, Storage
from fanwise_local.simulation.plan import HOME, first_round, write_plan
from fanwise_local.simulation.store import ITEMS, ITEMS_KEY, RESULTS, ItemsFile, Objects, storage_of

from .scenarios import scenario

BEGAN = {"started_at": "2026-08-01T00:00:00.000Z", "execution": "one"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> FolderBackend:
    """A model bucket with one model, which is not read."""
    bucket = tmp_path_factory.mktemp("models")
    write_bundle(bucket / "models/arithmetic/1")
    return FolderBackend(bucket, writable=False)


def assert_as_planned(work: Work, models: FolderBackend) -> list[int]:
    """Hold plan and first round against PlanJob's; answers with the items of each entry."""
    items = ItemsFile(work.items, work.size_bytes)
    made = storage_of(Objects(), items)
    job = write_plan(made, scenario(0, work=work, runtime="tensorflow"), items)
    answer = first_round(job, items, **BEGAN)

    there = Storage({RESULTS: Objects(), ITEMS: items, "models": models}, s3=False)
    manifest = {
        "items": f"s3://{ITEMS}/{ITEMS_KEY}",
        "model": "arithmetic@1",
        "batch_size": work.batch_size,
        "max_concurrency": work.max_concurrency,
    }
    planned: dict[str, Any] = plan_job(
        {**BEGAN, "start": {"manifest": manifest}},
        there,
        model_bucket="models",
        results_bucket=RESULTS,
        readable=(f"s3://{ITEMS}/",),
    )
    home = home_of(RESULTS, planned["job_id"])
    real, entries = read_job(there, home), read_work(there, home, 0)
    assert read_work(made, HOME, 0) == entries
    assert read_job(made, HOME) == job
    for field in ("batch_size", "max_concurrency", "total", "entries", "items_uri"):
        assert getattr(job, field) == getattr(real, field), field
    for field in ("uri", "kind", "size_bytes", "etag", "base", "columns"):
        assert getattr(job.items, field) == getattr(real.items, field), field
    its_own = ("job_id", "work_key")
    assert {**answer, **dict.fromkeys(its_own)} == {**planned, **dict.fromkeys(its_own)}
    return [entry.count for entry in entries]


@pytest.mark.parametrize(
    ("items", "batch_size", "counts"),
    [
        (0, 10, []),
        (1, 10, [1]),
        (9, 10, [9]),
        (10, 10, [10]),
        (11, 10, [10, 1]),
        (200, 10, [10] * 20),  # the most that are not probed
        (201, 10, [10] * 20 + [1]),
        (64, 3, [3] * 21 + [1]),  # the probe has no more items than an entry
        (25, 1, [1] * 25),
    ],
)
def test_what_is_left_over_has_an_entry_of_its_own(
    models: FolderBackend, items: int, batch_size: int, counts: list[int]
) -> None:
    work = Work(items=items, batch_size=batch_size, max_concurrency=7, size_bytes=items * 100)
    assert assert_as_planned(work, models) == counts


@pytest.mark.parametrize("item_bytes", [0, 1, 3, 4, 100, 70_000])
def test_items_of_any_size(models: FolderBackend, item_bytes: int) -> None:
    """The shortest line is `{}`; 9 MB are more than what is looked at together."""
    work = Work(items=130, batch_size=6, max_concurrency=1000, size_bytes=130 * item_bytes)
    assert assert_as_planned(work, models) == [6] * 21 + [4]


@settings(max_examples=60)
@given(
    items=st.integers(0, 3000),
    batch_size=st.integers(1, 400),
    max_concurrency=st.integers(1, 10_000),
    size_bytes=st.integers(0, 300_000),
)
def test_any_job(
    models: FolderBackend, items: int, batch_size: int, max_concurrency: int, size_bytes: int
) -> None:
    work = Work(items=items, batch_size=batch_size, max_concurrency=max_concurrency, size_bytes=size_bytes)
    counts = assert_as_planned(work, models)
    assert (len(counts), sum(counts)) == (work.entries, items)
