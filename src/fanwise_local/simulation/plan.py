"""The plan of a simulated job: what PlanJob would have written and answered for items that are all alike."""

from collections.abc import Iterator
from typing import Any

import msgspec

from fanwise.commits import work_key, write_work
from fanwise.limits import PROBE_ENTRIES
from fanwise.planning.probing import draw_probe
from fanwise.records import Entry, ItemsSource, Job, ModelRef, Round, home_of, job_prefix
from fanwise.storage import Storage
from fanwise_local.simulation.scenario import Scenario
from fanwise_local.simulation.store import ITEMS, ITEMS_KEY, RESULTS, ItemsFile

JOB_ID = "simulated"
HOME = home_of(RESULTS, JOB_ID)


def write_plan(storage: Storage, scenario: Scenario, items: ItemsFile) -> Job:
    """Write job.json and work/0.jsonl."""
    work = scenario.work
    info = items.head(ITEMS_KEY)
    uri = f"s3://{ITEMS}/{ITEMS_KEY}"
    job = Job(
        job_id=JOB_ID,
        name=None,
        scheduled_time=None,
        items=ItemsSource(
            uri=uri, kind="jsonl", size_bytes=info.size_bytes, etag=info.etag, base=f"s3://{ITEMS}/"
        ),
        items_uri=uri,
        model=ModelRef(
            name="simulated", version="1", digest="", uri="s3://models", runtime=scenario.runtime, kinds={}
        ),
        batch_size=work.batch_size,
        max_concurrency=work.max_concurrency,
        tolerated_failure_percentage=100,
        total=work.items,
        entries=work.entries,
    )
    storage.write(HOME + "job.json", msgspec.json.encode(job))
    write_work(storage, HOME, 0, list(_entries(scenario, items)))
    return job


def first_round(job: Job, items: ItemsFile, *, started_at: str, execution: str) -> dict[str, Any]:
    """What PlanJob answers."""
    storage = Storage({ITEMS: items}, s3=False)

    def entry_of(number: int) -> Entry:
        first = number * job.batch_size
        return _entry(f"{number:06d}", first, min(job.batch_size, job.total - first), items)

    answer: dict[str, Any] = msgspec.to_builtins(
        Round(
            job_id=job.job_id,
            duplicate=False,
            round=0,
            entries=job.entries,
            work_key=job_prefix(job.job_id) + work_key(0),
            runtime=job.model.runtime,
            max_concurrency=job.max_concurrency,
            wait_s=0,
            decided=0,
            stalled=0,
            started_at=started_at,
            execution=execution,
            probe=draw_probe(storage, job, entry_of) if job.entries > PROBE_ENTRIES else None,
        )
    )
    return answer


def _entries(scenario: Scenario, items: ItemsFile) -> Iterator[Entry]:
    work = scenario.work
    for number in range(work.entries):
        first = number * work.batch_size
        yield _entry(f"{number:06d}", first, min(work.batch_size, work.items - first), items)


def _entry(name: str, first: int, count: int, items: ItemsFile) -> Entry:
    return Entry(
        entry=name,
        start=first * items.item_bytes,
        end=(first + count) * items.item_bytes,
        first=first,
        first_line=first + 1,
        count=count,
    )
