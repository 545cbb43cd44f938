"""`{"replay": JOB}`, `{"resume": JOB}`: dead letters as a job of their own, and a job gone on with by its id."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_model import MendedModel
from fanwise_local.states.executions import Execution
from jobs import INPUT, JobCloud, JobResults, Stop

MENDED = ("NotFound", "PredictionFailed", "die")  # orders that a later model obeys no more


OWN = {"failure": "engine broke", "item": {"sku": [1]}, "raw": "r"}  # keys that a dead letter has too


def put_items(cloud: JobCloud, orders: list[str], with_id: bool = True) -> str:
    lines = [
        "no JSON"
        if order == "bad line"
        else json.dumps(
            ({"id": f"n{i}"} if with_id else {})
            | {"inputs": {"x": i, "order": order}, "note": f"ü{i}", "index": 500 - i}
            | OWN
        )
        for i, order in enumerate(orders)
    ]
    return cloud.put_items("items.jsonl", "\n".join(lines).encode())


def results_of(cloud: JobCloud, execution: Execution) -> JobResults:
    assert isinstance(execution.output, dict), (execution.error, execution.cause)
    return JobResults.of(cloud, execution.output["job_id"])


def summary_of(cloud: JobCloud, job_id: str) -> dict[str, Any]:
    summary: dict[str, Any] = JobResults.of(cloud, job_id).summary
    return summary


orders_of_items = st.lists(
    st.sampled_from(["", "", "NotFound", "PredictionFailed", "die", "bad line", "NonFiniteResult"]),
    min_size=1,
    max_size=30,
)


@given(orders_of_items, st.integers(1, 30), st.booleans())
def test_replays_predict_what_was_mended_and_nothing_else(
    orders: list[str], batch_size: int, with_id: bool
) -> None:
    model = MendedModel()
    cloud = JobCloud(model=model)
    try:
        first = cloud.run(cloud.start({"items": put_items(cloud, ["", *orders], with_id)}))
        output: Any = first.output
        if first.status != "SUCCEEDED" or not output["items"]["dead_lettered"]:
            return
        parent = results_of(cloud, first)
        job_id, left = parent.job.job_id, dict(parent.failures)
        recovered: set[int] = set()
        for round_, mended in enumerate((MENDED[:1], MENDED[:2], MENDED), 1):
            if not left:
                break
            model.mended, model.predicted = mended, []
            replayed = cloud.run(
                {"replay": job_id, "batch_size": batch_size, "max_concurrency": 3}, f"r{round_}"
            )
            told = summary_of(cloud, job_id)["replays"]
            assert len(told) == round_
            results = JobResults.of(cloud, told[-1]["job_id"])
            assert results.job.parent == job_id
            assert told[-1]["items"] == results.summary["items"]
            assert told[-1]["items"]["total"] == len(left)
            assert results.summary["parent"] == job_id
            origins = list(left)  # the n-th item of the replay is the n-th dead letter that was left
            for index, row in results.predictions.items():
                recovered.add(origins[index])
                x = origins[index]
                assert row["prediction"] == {"y": 2.0 * x + 1}
                assert row["id"] == (f"n{x}" if with_id else x)
                assert row["item"] == {"note": f"ü{x}", "index": 500 - x} | OWN
            left = {origins[index]: row for index, row in results.failures.items()}
            assert replayed.status in ("SUCCEEDED", "FAILED")
        assert recovered | left.keys() == parent.failures.keys()
        assert not recovered & left.keys()
        assert {(["", *orders])[i] for i in left} <= {"bad line", "NonFiniteResult"}
    finally:
        cloud.close()


def test_a_replay_may_be_of_another_model_and_is_the_same_job_when_it_is_delivered_twice() -> None:
    cloud = JobCloud()
    first = cloud.run(cloud.start({"items": put_items(cloud, ["", "NotFound", "die"])}))
    job_id = results_of(cloud, first).job.job_id
    start: dict[str, Any] = {"replay": job_id, "model": "arithmetic@1", "batch_size": 1}
    replayed = cloud.run(start, "second")
    again = cloud.run(start, "third")  # what the second left is replayed: the same two, as a further job
    cloud.close()
    told = summary_of(cloud, job_id)["replays"]
    assert [one["items"]["dead_lettered"] for one in told] == [2, 2]
    assert {replayed.error, again.error} == {"JobFailed"}
    assert told[0]["job_id"] != told[1]["job_id"]


@pytest.mark.parametrize("stop_after", range(3, 12))
def test_a_replay_that_was_stopped_anywhere_is_resumed_and_replayed_no_further_before(
    stop_after: int,
) -> None:
    model = MendedModel()
    cloud = JobCloud(model=model)
    first = cloud.run(cloud.start({"items": put_items(cloud, ["", *["NotFound"] * 6])}))
    job_id = results_of(cloud, first).job.job_id
    model.mended = ("NotFound",)
    stopped = cloud.run(
        {"replay": job_id, "batch_size": 1, "max_concurrency": 1}, "second", stop=Stop(stop_after)
    )
    if stopped.status == "ABORTED":
        refused = cloud.run({"replay": job_id, "batch_size": 1, "max_concurrency": 1}, "third")
        if refused.error is not None:
            assert refused.error == "JobError"
            assert "go on with it first" in str(refused.cause)
            replay_id = str(refused.cause).split("job '")[1].split("'")[0]
            calls = len(model.predicted)
            resumed = cloud.run({"resume": replay_id}, "fourth")
            assert resumed.status == "SUCCEEDED"
            assert len(model.predicted) <= calls + 6
    cloud.close()
    told = summary_of(cloud, job_id)["replays"]
    assert [(one["status"], one["items"]["predicted"]) for one in told] in ([("SUCCEEDED", 6)], [])


@pytest.mark.parametrize(
    ("start", "error", "message"),
    [
        ({"replay": "nothing-0123"}, "JobError", "was never planned in results; check the id"),
        (
            {"resume": "nothing-0123"},
            "JobError",
            "was never planned in results, so there is nothing to go on",
        ),
        ({"replay": "../x"}, "ManifestError", "\"replay\" is '../x'; the id of a job"),
        ({"replay": 3}, "ManifestError", '"replay" is 3; the id of a job'),
        ({"resume": "a/b"}, "ManifestError", "\"resume\" is 'a/b'; the id of a job"),
        ({"replay": "a", "items": "s3://input/x.jsonl"}, "ManifestError", 'unknown key "items"'),
        ({"replay": "a", "batch_size": 0}, "ManifestError", '"batch_size" is 0; at least 1'),
        ({"resume": "a", "max_concurrency": 10_001}, "ManifestError", '"max_concurrency" is 10001; at most'),
    ],
)
def test_what_cannot_be_gone_on_with_is_refused(start: dict[str, Any], error: str, message: str) -> None:
    cloud = JobCloud()
    execution = cloud.run(start)
    cloud.close()
    assert execution.error == error
    assert message in json.loads(str(execution.cause))["errorMessage"]


def test_a_job_without_dead_letters_has_nothing_to_replay() -> None:
    cloud = JobCloud()
    first = cloud.run(cloud.start({"items": put_items(cloud, [""])}))
    execution = cloud.run({"replay": results_of(cloud, first).job.job_id}, "second")
    cloud.close()
    assert "has no dead letters; there is nothing to replay" in str(execution.cause)


def test_a_resume_needs_neither_the_manifest_nor_the_items_as_they_are_now() -> None:
    """Items that were replaced make another job of the manifest; the id still means the one that was planned."""
    cloud = JobCloud()
    uri = put_items(cloud, [""] * 8)
    stopped = cloud.run(cloud.start({"items": uri, "batch_size": 1, "max_concurrency": 1}), stop=Stop(8))
    assert stopped.status == "ABORTED"
    job_id = json.loads(cloud.storage.read("s3://results/executions/first.json"))["job_id"]
    put_items(cloud, [""] * 9)
    resumed = cloud.run({"resume": job_id, "max_concurrency": 2}, "second")
    cloud.close()
    results = JobResults.of(cloud, job_id)
    assert (resumed.error, results.summary["items"]["total"]) == ("JobFailed", 8)
    assert results.summary["reason"].startswith(f"ItemsChanged: s3://{INPUT}/items.jsonl")
