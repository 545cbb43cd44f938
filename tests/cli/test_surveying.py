"""What a job is surveyed as, before there is one, is what PlanJob makes of it: its entries, and their items."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec
import pytest

from cloud_in_process import item, write_bundle, write_items
from fanwise.commits import read_job, read_work
from fanwise.items import cutting
from fanwise.model.profile import Profile
from fanwise.planning import plan_job
from fanwise.records import Entry, Job, home_of
from fanwise.storage import FolderBackend, Storage
from fanwise_cli import surveying
from fanwise_cli.stack.connection import DeployedStack
from fanwise_cli.surveying import Survey, SurveyOptions, survey
from fanwise_cli.terminal import for_people
from fanwise_local.simulation import Scenario
from fanwise_local.simulation.plan import HOME, write_plan
from fanwise_local.simulation.store import ItemsFile, Objects, storage_of
from profiles import ON_LAMBDA, runtime_profile

Write = Callable[[Path], Path]


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A model bucket with a profiled model in it: 10 ms an item, in mini-batches of 10."""
    bundle = write_bundle(tmp_path / "bucket/models/arithmetic/1", "weights that were surveyed")
    profile = Profile(runtimes={"tensorflow": runtime_profile(measured_on=ON_LAMBDA)})
    (bundle / "profile.json").write_bytes(msgspec.json.encode(profile))
    return tmp_path / "bucket"


def surveyed(items: Path, models: Path, batch_size: int | None, max_concurrency: int | None) -> Survey:
    def connect() -> AbstractContextManager[DeployedStack]:
        raise AssertionError("everything is on this machine")

    options = SurveyOptions(
        items=str(items),
        model=str(models / "models/arithmetic/1"),
        batch_size=None if batch_size is None else str(batch_size),
        max_concurrency=max_concurrency,
        quiet=True,
    )
    return survey(options, connect, for_people())


def simulated_plan(job: Survey) -> tuple[Job, list[Entry]]:
    """What a simulation plays."""
    items = ItemsFile(job.work.items, job.work.size_bytes)
    scenario = Scenario(
        work=job.work, profile=job.profile, runtime=job.model.runtime, size=job.size, prices=job.prices
    )
    storage = storage_of(Objects(), items)
    return write_plan(storage, scenario, items), read_work(storage, HOME, 0)


def real_plan(
    items: Path, models: Path, batch_size: int | None, max_concurrency: int | None
) -> tuple[Job, list[Entry]]:
    """What PlanJob writes."""
    whole = items if items.is_dir() else items.parent
    storage = Storage(
        {
            "in": FolderBackend(whole, writable=False),
            "models": FolderBackend(models, writable=False),
            "results": Objects(),
        },
        s3=False,
    )
    said = {"batch_size": batch_size, "max_concurrency": max_concurrency}
    manifest = {
        "items": "s3://in/" if items.is_dir() else f"s3://in/{items.name}",
        "model": "arithmetic@1",
        **{name: value for name, value in said.items() if value is not None},
    }
    answer = plan_job(
        {"execution": "one", "started_at": "2026-08-01T00:00:00.000Z", "start": {"manifest": manifest}},
        storage,
        model_bucket="models",
        results_bucket="results",
        readable=("s3://in/",),
    )
    home = home_of("results", answer["job_id"])
    return read_job(storage, home), read_work(storage, home, 0)


def alike(count: int) -> Write:
    return lambda folder: write_items(folder / "alike.jsonl", [item(1)] * count)


def of_any_length(folder: Path) -> Path:
    return write_items(folder / "any.jsonl", [item(x, "." * (x * x % 97)) for x in range(1003)])


def with_blank_lines(folder: Path) -> Path:
    path = alike(300)(folder)
    path.write_text("\n" + path.read_text().replace("}}\n", "}}\n\n  \n", 40).rstrip("\n"))  # and no line end
    return path


def table(folder: Path) -> Path:
    path = folder / "table.csv"
    path.write_text("x,order\n" + "".join(f'{x},"a\nb"\n' for x in range(513)))
    return path


def objects(folder: Path) -> Path:
    for number in range(457):
        path = folder / f"objects/{number % 7}/{number}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * number)
    for none in ("_SUCCESS", ".hidden", "3/.hidden"):
        (folder / "objects" / none).write_bytes(b"no item")
    return folder / "objects"


@pytest.mark.parametrize("write", [alike(1), alike(1000), of_any_length, with_blank_lines, table, objects])
@pytest.mark.parametrize(
    ("batch_size", "max_concurrency"),
    [(1, None), (100, None), (256, 3), (100_000, None), (None, None), (None, 1), (None, 13), (None, 10_000)],
)
def test_the_plan_is_the_real_one(
    models: Path, tmp_path: Path, write: Write, batch_size: int | None, max_concurrency: int | None
) -> None:
    items = write(tmp_path)
    job, entries = simulated_plan(surveyed(items, models, batch_size, max_concurrency))
    real, really = real_plan(items, models, batch_size, max_concurrency)
    for field in ("batch_size", "max_concurrency", "total", "entries"):
        assert getattr(job, field) == getattr(real, field), field
    assert [(entry.entry, entry.first, entry.count) for entry in entries] == [
        (entry.entry, entry.first, entry.count) for entry in really
    ]


@pytest.mark.parametrize(
    ("max_entry_bytes", "batch_size"), [(10, 256), (21, 256), (999, 256), (1000, 256), (1008, 49), (1008, 48)]
)
def test_entries_that_would_be_too_large_have_fewer_items(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, max_entry_bytes: int, batch_size: int
) -> None:
    for module in (cutting, surveying):
        monkeypatch.setattr(module, "MAX_ENTRY_BYTES", max_entry_bytes)
    items = alike(1000)(tmp_path)  # of 21 bytes each
    assert items.stat().st_size == 21_000
    _, entries = simulated_plan(surveyed(items, models, batch_size, None))
    _, really = real_plan(items, models, batch_size, None)
    assert entries == really
    assert max(entry.count for entry in entries) == max(1, max_entry_bytes // 21)
