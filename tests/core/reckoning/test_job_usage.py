"""What a job took, from its commits: numbers reckoned by hand."""

from typing import Any

import pytest

from fanwise.pricing import Meter
from fanwise.reckoning.job_usage import Others, parts_of_duration, usage_of_job
from fanwise.records import Commit, Invocation, ItemsSource, Job, ModelRef


def job(entries: int) -> Job:
    return Job(
        job_id="j",
        name=None,
        scheduled_time=None,
        items=ItemsSource(uri="s3://in/i.jsonl", kind="jsonl", size_bytes=1, etag="e", base="s3://in/"),
        items_uri="s3://in/i.jsonl",
        model=ModelRef(name="m", version="1", digest="d", uri="s3://m/m", runtime="litert", kinds={}),
        batch_size=10,
        max_concurrency=1,
        tolerated_failure_percentage=100,
        total=10 * entries,
        entries=entries,
    )


def commit(duration_ms: float, *, died: str | None = None, predicted: int = 10, **measured: Any) -> Commit:
    invocation = Invocation(request_id="r", duration_ms=duration_ms, **measured)
    return Commit(entry="000000", attempt=1, invocation=invocation, predicted=predicted, died=died)


COLD: dict[str, Any] = {"cold": True, "init_ms": 500, "load_ms": 1000}


def test_all_functions_count() -> None:
    commits = [commit(2000, **COLD), commit(120_000, died="Sandbox.Timedout", predicted=0, others_gb_s=0.25)]
    usage = usage_of_job(
        job(2), commits, memory_mb=1024, rounds=1, unfinished=3, others=Others(invocations=2, gb_s=1.5)
    )
    assert usage.gb_s == pytest.approx(2.5 + 120 + 0.25 + 1.5)
    # two, three that left no commit, PlanJob, AggregateResults, HandleFailure
    assert (usage.invocations, usage.children) == (2 + 3 + 2 + 1, 5)
    assert usage.transitions == 13
    assert usage.storage_gb_s == pytest.approx(122.5 * 1.5)


def test_a_probe_is_reckoned_by_what_came_after_it() -> None:
    """A start of 1.5 s and 8 items of 100 ms; and it is a state of its own."""
    commits = [commit(2000, **COLD), *[commit(1000)] * 20]
    without, probed = (
        usage_of_job(job(n), commits, memory_mb=1024, rounds=1, unfinished=0, others=Others())
        for n in (20, 21)
    )
    assert probed.gb_s - without.gb_s == pytest.approx(1.5 + 0.8)
    assert probed.invocations - without.invocations == probed.transitions - without.transitions == 1


def test_durations_in_the_parts_of_an_estimate() -> None:
    commits = [commit(2000, **COLD), commit(3000, **COLD), *[commit(1000)] * 4]
    assert parts_of_duration(commits) == {"cold_starts": 1.5, "compute": 3.5}  # (1 + 2 + 4) s by two
    assert parts_of_duration([]) == {"cold_starts": 0.0, "compute": 0.0}


def test_a_meter_counts_whole_milliseconds_by_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([10.0, 11.2341])
    monkeypatch.setattr("time.monotonic", lambda: next(now))
    assert Meter(512).gb_s() == pytest.approx(1.235 / 2)
