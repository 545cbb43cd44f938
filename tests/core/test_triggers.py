"""What starts jobs: uploads, told of by S3 in every way, and schedules; from the event to the job's end.

The rule is the template's, the definition the shipped one, the bucket one that keeps versions.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from fake_model import REFERENCE
from fanwise.items.folder import SUCCESS
from fanwise_local.clock import Clock, run_virtual
from fanwise_local.cloud import Told
from fanwise_local.event_bus import EventBus
from fanwise_local.events import Reason, Rule, s3_event
from fanwise_local.states.executions import Execution, StateMachine
from fanwise_local.states.observer import Observer
from fanwise_local.states.payloads import JSON
from jobs import DEFINITION, INPUT, MACHINE, STACK, JobCloud, JobResults
from versions import VersionedBackend

EVENTS = sorted((Path(__file__).parents[1] / "s3_events").glob("*.json"))
INBOX = f"inbox/{REFERENCE}/"
LINE = b'{"inputs": {"x": 1}}\n'


def of_the_test(rule: Rule) -> Rule:
    """A rule of the template, for the input bucket that jobs have in tests."""
    text = json.dumps(rule.pattern).replace(STACK.buckets["InputBucket"], INPUT)
    return replace(rule, pattern=json.loads(text))


RULES = [of_the_test(rule) for rule in STACK.rules.values()]


class Uploads:
    """An input bucket with versions, and the jobs that its events start."""

    def __init__(self, *, is_versioned: bool = True) -> None:
        self.bucket = VersionedBackend(is_versioned=is_versioned)
        self.cloud = JobCloud(input_bucket=self.bucket)

    def put(self, key: str, body: bytes, reason: Reason = "PutObject") -> dict[str, JSON]:
        """Upload an object, and answer with the event of it."""
        self.bucket.write(key, body)
        info = self.bucket.head(key)
        return s3_event(
            INPUT,
            key,
            size_bytes=info.size_bytes,
            etag=info.etag,
            version_id=info.version_id,
            time_s=1_767_225_600.5,
            reason=reason,
        )

    def deliver(self, *events: JSON) -> list[Execution]:
        """Give events to the rules, one when the jobs of the one before have ended; what they started."""

        async def main() -> list[Execution]:
            bus = EventBus(RULES)
            machine = StateMachine(
                DEFINITION,
                arn=MACHINE,
                services=self.cloud,
                clock=Clock(),
                observer=Told(bus, MACHINE, Observer()),
            )
            bus.connect(MACHINE, machine.start_execution)
            for event in events:
                bus.put(event)
                while running := [e for e in machine.executions.values() if e.status == "RUNNING"]:
                    await running[0].wait()
            return list(machine.executions.values())

        return run_virtual(main())

    def results(self, execution: Execution) -> JobResults:
        assert execution.status == "SUCCEEDED", execution.cause
        return JobResults.of(self.cloud, execution.output["job_id"])


@pytest.fixture
def uploads() -> Iterator[Uploads]:
    made = Uploads()
    yield made
    made.cloud.close()


def test_recorded_events_are_what_the_local_cloud_makes_and_what_the_rule_takes() -> None:
    reasons = []
    for path in EVENTS:
        recorded = json.loads(path.read_bytes())
        told = recorded["detail"]["object"]
        reasons.append(recorded["detail"]["reason"])
        made = s3_event(
            recorded["detail"]["bucket"]["name"],
            told["key"],
            size_bytes=told["size"],
            etag=f'"{told["etag"]}"',
            version_id=told["version-id"],
            time_s=1_787_278_447.9,
            reason=recorded["detail"]["reason"],
            sequencer=told["sequencer"],
            source_ip="203.0.113.7",
        )
        made["id"], made["detail"]["request-id"] = recorded["id"], recorded["detail"]["request-id"]
        assert made == recorded
        assert STACK.rules["UploadRule"].matches(recorded)
    assert sorted(reasons) == sorted(get_args(Reason))


def test_sequencers_of_one_key_are_in_order_as_text() -> None:
    times = [0.0, 1.5, 1.500001, 1_767_225_600.0, 1_767_225_600.999999, 9e9]
    made = [
        s3_event("b", "k", size_bytes=0, etag="", time_s=at)["detail"]["object"]["sequencer"] for at in times
    ]
    assert made == sorted(made)
    assert len(set(made)) == len(times)
    assert len({len(one) for one in made}) == 1


@pytest.mark.parametrize("reason", get_args(Reason))
@pytest.mark.parametrize("key", ["jobs/a b+c%2Fd.json", "jobs/2026/ümläut 😀.json", "jobs/1 %2B 1.json"])
def test_a_manifest_that_is_uploaded_starts_its_job(uploads: Uploads, key: str, reason: Reason) -> None:
    folder = key[: key.rindex("/") + 1]
    uploads.put(f"{folder}it+ems %2F😀.jsonl", LINE * 3)
    manifest = {"items": "it+ems %2F😀.jsonl", "model": REFERENCE}
    event = uploads.put(key, json.dumps(manifest).encode(), reason)
    first, second = uploads.deliver(event, event)
    results = uploads.results(first)
    assert results.summary["items"]["predicted"] == 3
    assert results.summary["items_uri"] == f"s3://{INPUT}/{folder}it+ems %2F😀.jsonl"
    assert (second.status, second.output) == (
        "SUCCEEDED",
        {"job_id": first.output["job_id"], "duplicate": True},
    )
    assert len(uploads.cloud.events) == 1


@pytest.mark.parametrize("reason", get_args(Reason))
@pytest.mark.parametrize("name", ["a b+c%2Fd.jsonl", "x/y/ümläut 😀.ndjson", "100%.csv", "a&b=c?#d.jsonl"])
def test_an_items_file_in_the_inbox_starts_its_job(uploads: Uploads, name: str, reason: Reason) -> None:
    body = b"x,order\n1,\n2,\n" if name.endswith(".csv") else LINE * 2
    event = uploads.put(INBOX + name, body, reason)
    first, second = uploads.deliver(event, event)
    results = uploads.results(first)
    assert results.summary["items"]["predicted"] == 2
    assert results.summary["items_uri"] == f"s3://{INPUT}/{INBOX}{name}"
    assert second.output == {"job_id": first.output["job_id"], "duplicate": True}


@pytest.mark.parametrize("reason", get_args(Reason))
@pytest.mark.parametrize("name", ["scans", "2026/08 ü+%2F😀"])
def test_a_folder_that_is_complete_starts_its_job(uploads: Uploads, name: str, reason: Reason) -> None:
    folder = f"folders/{REFERENCE}/{name}/"
    started = [uploads.put(f"{folder}{n}.txt", b"1") for n in range(3)]
    event = uploads.put(folder + SUCCESS, b"", reason)
    first, second = uploads.deliver(*started, event, event)
    results = uploads.results(first)
    assert results.summary["items"]["total"] == 3
    assert results.summary["items_uri"] == f"s3://{INPUT}/{folder}"
    assert second.output == {"job_id": first.output["job_id"], "duplicate": True}


@pytest.mark.parametrize("order", [(1, 0), (0, 1), (1, 0, 1, 0), (0, 0, 1, 1)])
def test_each_upload_of_a_key_is_its_own_job_in_whatever_order_it_is_told(
    uploads: Uploads, order: tuple[int, ...]
) -> None:
    events = [uploads.put(f"{INBOX}items.jsonl", LINE * lines) for lines in (1, 2)]
    executions = uploads.deliver(*(events[number] for number in order))
    totals: dict[str, int] = {}
    for number, execution in zip(order, executions, strict=True):
        job_id = execution.output["job_id"]
        assert ("duplicate" in execution.output) == (job_id in totals)
        totals.setdefault(job_id, number + 1)
        assert JobResults.of(uploads.cloud, job_id).summary["items"]["predicted"] == totals[job_id]
    assert sorted(totals.values()) == [1, 2]


def test_a_manifest_that_comes_late_is_read_as_it_was_uploaded(uploads: Uploads) -> None:
    uploads.put("jobs/i.jsonl", LINE)
    manifests = [{"items": "i.jsonl", "model": REFERENCE, "name": name} for name in ("old", "new")]
    old, new = (uploads.put("jobs/j.json", json.dumps(manifest).encode()) for manifest in manifests)
    names = [uploads.results(execution).summary["name"] for execution in uploads.deliver(new, old)]
    assert names == ["new", "old"]


def test_a_version_that_was_replaced_by_a_deletion_is_planned_as_it_was(uploads: Uploads) -> None:
    event = uploads.put(f"{INBOX}items.jsonl", LINE)
    uploads.bucket.delete(f"{INBOX}items.jsonl")
    (execution,) = uploads.deliver(event)
    assert uploads.results(execution).summary["items"]["predicted"] == 1


def test_a_folder_that_is_filled_again_is_another_job_only_with_its_next_mark(uploads: Uploads) -> None:
    folder = f"folders/{REFERENCE}/daily/"
    uploads.put(f"{folder}1.txt", b"1")
    today = uploads.put(folder + SUCCESS, b"")
    (first,) = uploads.deliver(today)
    uploads.put(f"{folder}2.txt", b"1")
    (again,) = uploads.deliver(today)
    assert again.output == {"job_id": first.output["job_id"], "duplicate": True}
    tomorrow = uploads.put(folder + SUCCESS, b"")
    second, late = uploads.deliver(tomorrow, today)
    assert uploads.results(second).summary["items"]["total"] == 2
    assert late.output == {"job_id": second.output["job_id"], "duplicate": True}


def test_an_empty_items_file_is_a_job_of_no_items(uploads: Uploads) -> None:
    (execution,) = uploads.deliver(uploads.put(f"{INBOX}none.jsonl", b""))
    summary = uploads.results(execution).summary
    assert (summary["status"], summary["items"]["total"]) == ("SUCCEEDED", 0)


def refused(uploads: Uploads, event: JSON) -> str:
    """Why PlanJob refuses an upload; the failure is announced."""
    failed, closing = uploads.deliver(event)
    assert (failed.status, closing.status) == ("FAILED", "SUCCEEDED")
    assert failed.error in ("ManifestError", "BundleError")
    (told,) = uploads.cloud.events
    assert told["Detail"]["status"] == "FAILED"
    reason: str = told["Detail"]["reason"]
    assert "\n" not in reason
    return reason


@pytest.mark.parametrize(
    ("key", "body", "why"),
    [
        (
            "jobs/empty.json",
            b"",
            "jobs/empty.json, line 1, column 1: the file ends where more JSON is expected",
        ),
        ("inbox/items.jsonl", LINE, "starts no job; what does is jobs/"),
        ("inbox/arithmetic/items.jsonl", LINE, "'arithmetic' has no version; write NAME@VERSION"),
        ("inbox/nothing@1/items.jsonl", LINE, "model 'nothing@1' is not published"),
        ("inbox//items.jsonl", LINE, "has an empty, '.' or '..' part"),
        (f"folders/{REFERENCE}/_SUCCESS", b"", "starts no job; what does is jobs/"),
        (f"{INBOX}..%2F..%2Fx.jsonl", LINE, "%2F"),
    ],
)
def test_an_upload_that_cannot_be_a_job_is_announced(
    uploads: Uploads, key: str, body: bytes, why: str
) -> None:
    assert why in refused(uploads, uploads.put(key, body))


def test_a_version_that_is_gone_is_told_in_one_line(uploads: Uploads) -> None:
    event = uploads.put(f"{INBOX}items.jsonl", LINE)
    uploads.bucket.delete_version(f"{INBOX}items.jsonl", "v1")
    assert (
        "items.jsonl has no version 'v1' any more, so there is nothing to start; upload it again"
        in refused(uploads, event)
    )


def test_a_folder_whose_mark_is_gone_is_not_complete(uploads: Uploads) -> None:
    event = uploads.put(f"folders/{REFERENCE}/x/{SUCCESS}", b"")
    uploads.bucket.delete(f"folders/{REFERENCE}/x/{SUCCESS}")
    assert "_SUCCESS is gone, so there is nothing to start" in refused(uploads, event)


@pytest.mark.parametrize("spelled", ["left out", "null", ""])
def test_where_no_versions_are_kept_the_last_upload_alone_starts_its_job(spelled: str) -> None:
    uploads = Uploads(is_versioned=False)
    old, new = (uploads.put(f"{INBOX}items.jsonl", LINE * lines) for lines in (1, 2))
    if spelled != "left out":
        for event in (old, new):
            event["detail"]["object"]["version-id"] = spelled
    first, second = uploads.deliver(new, new)
    assert uploads.results(first).summary["items"]["predicted"] == 2
    assert second.output["duplicate"] is True
    uploads.cloud.events.clear()
    assert "has been uploaded again since this event" in refused(uploads, old)
    uploads.cloud.close()


def test_uploads_of_other_places_start_nothing(uploads: Uploads) -> None:
    keys = [
        "jobs/x.jsonl",
        "jobs/scan.png",
        "results/x.json",
        f"{INBOX}scan.png",
        f"folders/{REFERENCE}/x/1.json",
    ]
    events = [uploads.put(key, LINE) for key in keys]
    events.append(s3_event("another", "jobs/x.json", size_bytes=1, etag="e", time_s=0.0))
    assert uploads.deliver(*events) == []


# Schedules.


def test_each_time_of_a_schedule_is_a_job_and_a_second_delivery_of_it_is_none(uploads: Uploads) -> None:
    uploads.put("nightly/items.jsonl", LINE)
    uploads.put("nightly/job.json", json.dumps({"items": "items.jsonl", "model": REFERENCE}).encode())

    def fired(day: int, name: str) -> Execution:
        start = {"manifest": f"s3://{INPUT}/nightly/job.json", "scheduled_time": f"2026-08-{day}T02:00:00Z"}
        return uploads.cloud.run(start, name)

    first, again, next_day = fired(21, "one"), fired(21, "two"), fired(22, "three")
    assert again.output == {"job_id": first.output["job_id"], "duplicate": True}
    assert uploads.results(next_day).job.scheduled_time == "2026-08-22T02:00:00Z"
    assert next_day.output["job_id"] != first.output["job_id"]
    assert len(uploads.cloud.events) == 2


def test_an_upload_twice_at_once_is_one_job(uploads: Uploads) -> None:
    """Both executions run at the same time: one has the job, the other ends quietly."""
    event: Any = uploads.put(f"{INBOX}items.jsonl", LINE)

    async def main() -> list[Execution]:
        machine = StateMachine(DEFINITION, arn=MACHINE, services=uploads.cloud, clock=Clock())
        executions = [machine.start_execution(event) for _ in range(3)]
        for execution in executions:
            await execution.wait()
        return executions

    executions = run_virtual(main())
    assert [execution.status for execution in executions] == ["SUCCEEDED"] * 3
    assert sorted("duplicate" in execution.output for execution in executions) == [False, True, True]
