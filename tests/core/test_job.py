"""A whole job in one process: the shipped definition, the real stages, a fake model, and every kind of fault."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_model import Died, FakeModel, item_error
from fanwise.errors import ModelError
from fanwise.pricing import TRANSITIONS_OF_A_JOB, TRANSITIONS_OF_A_ROUND
from fanwise_local.states.executions import Execution
from jobs import FAULTS, HARMLESS, INPUT, Fault, JobCloud, JobResults, Stop

ERRORS = ["NotFound", "UndecodableImage", "ShapeMismatch", "PredictionFailed", "NonFiniteResult"]
NOTE = 'ünï "quoted",\nover two lines 🔒'

orders_of_items = st.lists(st.sampled_from(["", "", "", "", "bad line", *ERRORS]), max_size=60)
kinds = st.sampled_from(["jsonl", "csv", "folder"])


def put_items(cloud: JobCloud, kind: str, orders: Sequence[str]) -> str:
    """Upload items of a kind that order what is asked; answers with the URI for the manifest."""
    if kind == "jsonl":
        lines = [
            "{no JSON"
            if order == "bad line"
            else json.dumps({"id": f"secret-{i}", "inputs": {"x": i, "order": order}, "note": NOTE, "n": [i]})
            for i, order in enumerate(orders)
        ]
        return cloud.put_items("items.jsonl", "\n".join(lines).encode())
    if kind == "csv":
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(["id", "x", "order", "note"])
        for i, order in enumerate(orders):
            writer.writerow([f"secret-{i}", i, order, NOTE, *(["too many"] if order == "bad line" else [])])
        return cloud.put_items("items.csv", text.getvalue().encode())
    for i, order in enumerate(orders):
        cloud.put_items(f"folder/secret-{i:04}", str(i).encode() if not order else order.encode())
    return f"s3://{INPUT}/folder/"


def error_of(kind: str, order: str) -> str:
    """The dead letter's error for what an item ordered."""
    if order != "bad line":
        return order
    return {"jsonl": "NotJson", "csv": "BadRow", "folder": ""}[kind]


def check_lines(results: JobResults, kind: str, orders: Sequence[str]) -> None:
    """Whatever became of an item, its line carries it as it went in."""
    for index, row in results.predictions.items():
        assert orders[index] in ("", "bad line" if kind == "folder" else "")
        assert row["prediction"] == {"y": (0 if orders[index] else 2.0 * index) + 1}
        if kind == "folder":
            assert row["item"] == {"uri": f"s3://{INPUT}/folder/secret-{index:04}"}
        else:
            assert row["id"] == f"secret-{index}"
            assert row["item"]["note"] == NOTE
    for index, row in results.failures.items():
        failure = row["failure"]
        assert failure["attempts"] >= 1
        if failure["stage"] == "invocation":
            assert failure["error"] in ("Runtime.ExitError", "Runtime.OutOfMemory", "Sandbox.Timedout")
        elif failure["stage"] == "read":
            assert (failure["error"], "raw" in row) == (error_of(kind, "bad line"), True)
        else:
            error = item_error(orders[index])
            assert error is not None
            assert (failure["error"], failure["stage"]) == (orders[index], error.stage)
        if "raw" not in row:
            expected = f"secret-{index:04}" if kind == "folder" else f"secret-{index}"
            assert row["id"] == expected
            assert kind == "folder" or row["note"] == NOTE


def check_account(execution: Execution, cloud: JobCloud, results: JobResults, total: int) -> None:
    """What holds for every job, whatever happened to it."""
    summary, items = results.summary, results.summary["items"]
    assert items["total"] == total == results.job.total
    assert items["predicted"] + items["dead_lettered"] + items["missing"] == total
    assert (len(results.predictions), len(results.failures)) == (items["predicted"], items["dead_lettered"])
    assert not results.predictions.keys() & results.failures.keys()
    assert summary["failures"] == dict(
        sorted(
            {
                error: sum(row["failure"]["error"] == error for row in results.failures.values())
                for error in {row["failure"]["error"] for row in results.failures.values()}
            }.items(),
            key=lambda pair: (-pair[1], pair[0]),
        )
    )
    failed = items["missing"] > 0 or (total > 0 and items["predicted"] == 0)
    expected = "FAILED" if failed else "PARTIALLY_FAILED" if items["dead_lettered"] else "SUCCEEDED"
    assert summary["status"] == expected
    assert (summary["reason"] is not None) == failed
    assert results.exists("_SUCCESS") == (not failed)
    assert execution.status == ("FAILED" if failed else "SUCCEEDED")
    if failed:
        assert (execution.error, execution.cause) == ("JobFailed", summary["reason"])
    check_announced(cloud, results)


def check_announced(cloud: JobCloud, results: JobResults) -> None:
    """Whoever is told gets counts and URIs, and never an item."""
    summary = results.summary
    (event,) = cloud.events
    assert event["Source"] == "fanwise"
    assert event["DetailType"] == "Batch Inference Job Ended"
    assert event["Detail"] == {key: value for key, value in summary.items() if key != "latency_ms"}
    if summary["items"]["dead_lettered"]:
        (message,) = map(json.loads, cloud.messages)
        assert message == {
            "job_id": summary["job_id"],
            "dead_lettered": summary["items"]["dead_lettered"],
            "failures": summary["failures"],
            "failures_uri": results.home + "failures/",
        }
    else:
        assert cloud.messages == []
    told = json.dumps([cloud.events, cloud.messages], ensure_ascii=False)
    assert "secret" not in told
    assert "🔒" not in told


def job_id_of(execution: Execution) -> str:
    planned: Any = next(
        json.loads(event.details["output"])
        for event in execution.history
        if event.type == "TaskStateExited" and event.details["name"] == "PlanJob"
    )
    return str(planned["job_id"])


def run_job(cloud: JobCloud, uri: str, **options: Any) -> tuple[Execution, JobResults]:
    execution = cloud.run(cloud.start({"items": uri, **options}))
    while cloud.zombies:
        cloud.wake_one()
    return execution, JobResults.of(cloud, job_id_of(execution))


@given(
    kinds,
    orders_of_items,
    st.integers(1, 30),
    st.integers(1, 9),
    st.lists(st.sampled_from(HARMLESS), max_size=8).filter(lambda faults: faults.count("forbidden") <= 2),
    st.none() | st.integers(0, 59),
)
def test_faults_that_can_be_outlasted_change_nothing(
    kind: str,
    orders: list[str],
    batch_size: int,
    concurrency: int,
    faults: list[Fault],
    poison: int | None,
) -> None:
    """Every good item is predicted, every bad one is a dead letter, and so is the one that kills."""
    if poison is not None and poison < len(orders):
        orders[poison] = "die"
    cloud = JobCloud(faults, FakeModel(4), seed=len(orders))
    try:
        execution, results = run_job(
            cloud, put_items(cloud, kind, orders), batch_size=batch_size, max_concurrency=concurrency
        )
    finally:
        cloud.close()
    check_account(execution, cloud, results, len(orders))
    assert results.summary["items"]["missing"] == 0
    bad = {i for i, order in enumerate(orders) if order and not (kind == "folder" and order == "bad line")}
    assert results.failures.keys() == bad
    dead = [row for row in results.failures.values() if row["failure"]["stage"] == "invocation"]
    assert [row["index"] for row in dead] == [i for i, order in enumerate(orders) if order == "die"]
    assert [row["failure"]["message"] for row in dead] == ["Runtime exited"] * len(dead)
    check_lines(results, kind, [order.replace("die", "") for order in orders])


@given(
    kinds,
    st.lists(st.sampled_from(["", "", "", "", "bad line", "die", *ERRORS]), max_size=60),
    st.integers(1, 30),
    st.integers(1, 9),
    st.lists(st.sampled_from(FAULTS), max_size=25),
    st.integers(0, 3),
)
def test_whatever_happens_every_item_is_accounted_for(
    kind: str, orders: list[str], batch_size: int, concurrency: int, faults: list[Fault], seed: int
) -> None:
    cloud = JobCloud(faults, FakeModel(4), seed=seed)
    try:
        execution, results = run_job(
            cloud, put_items(cloud, kind, orders), batch_size=batch_size, max_concurrency=concurrency
        )
    finally:
        cloud.close()
    check_account(execution, cloud, results, len(orders))
    check_lines(results, kind, [order.replace("die", "") for order in orders])
    invocations = [row for row in results.failures.values() if row["failure"]["stage"] == "invocation"]
    # Only the killed are dead letters without having ordered it, and only one that was alone.
    killed = sum(fault.startswith("killed") or fault == "zombie" for fault in faults)
    assert len([row for row in invocations if orders[row["index"]] != "die"]) <= killed


@pytest.mark.parametrize("batch_size", [256, 64])
@pytest.mark.parametrize("poison", [0, 100, 255])
def test_one_poison_in_256_is_found_in_few_small_invocations(batch_size: int, poison: int) -> None:
    orders = [""] * 256
    orders[poison] = "die"
    cloud = JobCloud(model=FakeModel(32))
    execution, results = run_job(cloud, put_items(cloud, "jsonl", orders), batch_size=batch_size)
    cloud.close()
    check_account(execution, cloud, results, 256)
    assert results.summary["status"] == "PARTIALLY_FAILED"
    assert results.failures.keys() == {poison}
    assert len(results.predictions) == 255
    assert results.summary["rounds"] <= 5
    invocations = sum(name == "PredictBatch" for name, _ in cloud.calls)
    assert invocations == results.summary["invocations"]
    assert invocations - 256 // batch_size <= 20
    assert results.summary["entries"]["died"] == sum(name == "HandleFailure" for name, _ in cloud.calls)


def test_a_job_in_which_nothing_goes_wrong_is_small() -> None:
    cloud = JobCloud(model=FakeModel(32))
    execution, results = run_job(cloud, put_items(cloud, "jsonl", [""] * 50), batch_size=10)
    cloud.close()
    assert [name for name, _ in cloud.calls] == ["PlanJob", *["PredictBatch"] * 5, "AggregateResults"]
    assert results.summary["rounds"] == 1
    assert results.summary["cold_starts"] == 1
    # Every state entered is a transition, and so are start and end: what pricing counts of a job.
    entered = sum(event.type.endswith("StateEntered") for event in execution.history)
    assert entered + 2 == TRANSITIONS_OF_A_JOB + TRANSITIONS_OF_A_ROUND


@pytest.mark.parametrize(("entries", "probed"), [(20, False), (21, True)])
def test_larger_jobs_are_probed(entries: int, probed: bool) -> None:
    cloud = JobCloud()
    _, results = run_job(cloud, put_items(cloud, "csv", [""] * entries), batch_size=1)
    cloud.close()
    probes = [
        payload["probe"] for name, payload in cloud.calls if name == "PredictBatch" and "probe" in payload
    ]
    assert len(probes) == probed
    assert results.summary["status"] == "SUCCEEDED"
    assert [probe["count"] for probe in probes] == [1] * probed


@pytest.mark.parametrize("entries", [1, 3, 4, 20, 30])
@pytest.mark.parametrize("death", ["Runtime.OutOfMemory", "Sandbox.Timedout"])
def test_a_model_that_dies_at_load_stops_the_job_with_the_reason(entries: int, death: str) -> None:
    cloud = JobCloud(load_fails=Died(death))
    execution, results = run_job(cloud, put_items(cloud, "jsonl", [""] * entries * 8), batch_size=8)
    cloud.close()
    check_account(execution, cloud, results, entries * 8)
    assert (results.summary["status"], results.summary["items"]["missing"]) == ("FAILED", entries * 8)
    assert results.summary["reason"].startswith(
        f"{death}: "
        if entries > 20
        else f"{max(entries, 4)} of {max(entries, 4)} invocations"
        if entries in (1, 4, 20)
        else "12 of 12 invocations"
    )
    assert results.summary["rounds"] == (0 if entries > 20 else 1 if entries >= 4 else 2)


@pytest.mark.parametrize("entries", [1, 30])
def test_a_model_that_cannot_be_loaded_stops_the_job_with_its_words(entries: int) -> None:
    cloud = JobCloud(load_fails=ModelError("model arithmetic@1: no signature 'x'"))
    execution, results = run_job(cloud, put_items(cloud, "jsonl", [""] * entries), batch_size=1)
    cloud.close()
    check_account(execution, cloud, results, entries)
    assert results.summary["reason"] == "ModelError: model arithmetic@1: no signature 'x'"
    assert (results.summary["rounds"], results.summary["invocations"]) == ((0, 0) if entries > 20 else (1, 1))


def test_a_model_that_rejects_the_first_items_stops_at_the_probe() -> None:
    cloud = JobCloud()
    _, results = run_job(cloud, put_items(cloud, "jsonl", ["PredictionFailed"] * 30), batch_size=1)
    cloud.close()
    assert results.summary["reason"].startswith("ModelError: the model rejects every one of the first")
    assert results.summary["items"]["missing"] == 30


def test_a_poison_in_the_probe_does_not_stop_the_job() -> None:
    cloud = JobCloud()
    _, results = run_job(cloud, put_items(cloud, "jsonl", ["die", *[""] * 87]), batch_size=4)
    cloud.close()
    assert [payload for _, payload in cloud.calls if payload.get("load_only")]
    assert (results.summary["items"]["predicted"], results.summary["items"]["missing"]) == (87, 0)


def test_items_that_change_under_the_job_stop_it_at_once() -> None:
    cloud = JobCloud()
    uri = put_items(cloud, "jsonl", [""] * 40)

    def change() -> None:
        if cloud.calls[-1][0] == "PlanJob":
            put_items(cloud, "jsonl", ["NotFound"] * 40)

    cloud.after_each = change
    _, results = run_job(cloud, uri, batch_size=8)
    cloud.close()
    assert results.summary["items"]["missing"] == 40
    assert results.summary["reason"].startswith(
        "ItemsChanged: s3://input/items.jsonl is no longer the version"
    )
    assert results.summary["rounds"] == 1


def test_throttling_that_outlasts_every_retry_leaves_items_missing_and_resume_takes_them_up() -> None:
    cloud = JobCloud(["throttled"] * 500)
    uri = put_items(cloud, "jsonl", [""] * 20)
    start = cloud.start({"items": uri, "batch_size": 10})
    execution = cloud.run(start)
    results = JobResults.of(cloud, job_id_of(execution))
    assert (results.summary["status"], results.summary["items"]["missing"]) == ("FAILED", 20)
    assert "Lambda.TooManyRequestsException: Rate exceeded (2 entries)" in results.summary["reason"]
    cloud.waiting_faults, cloud.events = [], []
    again = cloud.run({**start, "resume": True}, "second")
    cloud.close()
    results = JobResults.of(cloud, job_id_of(again))
    check_account(again, cloud, results, 20)
    assert results.summary["status"] == "SUCCEEDED"
    assert results.exists("_SUCCESS")


def test_a_second_delivery_of_a_start_runs_nothing() -> None:
    cloud = JobCloud()
    start = cloud.start({"items": put_items(cloud, "jsonl", [""] * 5)})
    first = cloud.run(start)
    second = cloud.run(start, "second")
    cloud.close()
    assert second.output == {"job_id": job_id_of(first), "duplicate": True}
    assert sum(name == "PredictBatch" for name, _ in cloud.calls) == 1


@given(
    kinds,
    st.integers(1, 40),
    st.integers(1, 12),
    st.integers(1, 40),
    st.integers(0, 3),
    st.none() | st.integers(0, 39),
)
def test_a_job_that_was_stopped_anywhere_goes_on_with_what_has_no_commit(
    kind: str, count: int, batch_size: int, stop_after: int, seed: int, poison: int | None
) -> None:
    orders = ["die" if i == poison else "" for i in range(count)]
    whole = JobCloud(model=FakeModel(4))
    _, expected = run_job(whole, put_items(whole, kind, orders), batch_size=batch_size)
    whole.close()

    cloud = JobCloud(model=FakeModel(4), seed=seed)
    start = cloud.start({"items": put_items(cloud, kind, orders), "batch_size": batch_size}, resume=True)
    stopped = cloud.run(start, stop=Stop(stop_after))
    cloud.calls.clear()
    cloud.events.clear()
    cloud.messages.clear()
    resumed = cloud.run(start, "second")
    cloud.close()
    results = JobResults.of(cloud, job_id_of(resumed))
    check_account(resumed, cloud, results, count)
    assert results.text("predictions/") == expected.text("predictions/")
    assert results.failures.keys() == expected.failures.keys()
    assert cloud.decided_before == []
    if stopped.status != "ABORTED":  # it had ended before it could be stopped
        assert [name for name, _ in cloud.calls] == ["PlanJob", "AggregateResults"]


def test_a_failed_job_leaves_no_mark_of_success_of_an_earlier_execution() -> None:
    cloud = JobCloud(["forbidden"] * 9)
    start = cloud.start({"items": put_items(cloud, "jsonl", [""] * 4), "batch_size": 2})
    planned_id = job_id_of(cloud.run(start))
    results = JobResults.of(cloud, planned_id)
    cloud.storage.write(results.home + "_SUCCESS", b"")
    cloud.waiting_faults = ["forbidden"] * 9
    cloud.run({**start, "resume": True}, "second")
    cloud.close()
    assert JobResults.of(cloud, planned_id).summary["status"] == "FAILED"
    assert not results.exists("_SUCCESS")
