"""An execution that died, was stopped or timed out: the job is accounted for and announced all the same."""

import json
from typing import Any

import pytest

from fanwise.errors import StoreUnavailable
from fanwise_local.states.errors import StatesError
from fanwise_local.states.executions import Execution
from fanwise_local.states.payloads import JSON
from jobs import JobCloud, JobResults, Stop


def put_items(cloud: JobCloud, count: int = 20) -> str:
    lines = (json.dumps({"inputs": {"x": i}}) for i in range(count))
    return cloud.put_items("items.jsonl", "\n".join(lines).encode())


def fail(cloud: JobCloud, name: str, error: str = "Lambda.AccessDeniedException") -> None:
    """Have a function fail with an error that is not retried, until `name` is removed from `cloud.failing`."""
    functions = cloud._functions

    def refused(_payload: JSON) -> JSON:
        raise StatesError(error, json.dumps({"errorMessage": "not authorized"}))

    cloud._functions = lambda: {**functions(), name: refused}  # type: ignore[method-assign]


def mend(cloud: JobCloud) -> None:
    del cloud._functions


def entered(execution: Execution) -> list[Any]:
    return [e.details["name"] for e in execution.history if e.type.endswith("StateEntered")]


def details(cloud: JobCloud) -> list[Any]:
    events: list[Any] = cloud.events
    return [event["Detail"] for event in events]


@pytest.mark.parametrize("stop_after", [8, 10, 14])
def test_a_job_that_was_stopped_is_accounted_for_and_announced(stop_after: int) -> None:
    cloud = JobCloud()
    start = cloud.start({"items": put_items(cloud), "batch_size": 2, "max_concurrency": 1})
    stopped = cloud.run(start, stop=Stop(stop_after))
    assert (stopped.status, cloud.events) == ("ABORTED", [])
    closing = cloud.hear_of(stopped)
    assert closing.status == "SUCCEEDED"
    (told,) = details(cloud)
    results = JobResults(cloud, told["job_id"])
    done = len(results.predictions)
    assert 0 < done < 20
    assert told == {key: value for key, value in results.summary.items() if key != "latency_ms"}
    assert (told["status"], told["execution"]) == ("FAILED", stopped.arn)
    assert told["items"] == {
        "total": 20,
        "predicted": done,
        "dead_lettered": 0,
        "missing": 20 - done,
        "duplicated": 0,
    }
    assert told["reason"] == "ExecutionAborted: the execution was stopped: somebody stopped it"
    again = cloud.run({"resume": told["job_id"]}, "second")
    assert again.status == "SUCCEEDED"
    assert details(cloud)[1]["items"]["predicted"] == 20
    cloud.close()


def test_a_job_whose_account_failed_is_accounted_for_when_it_can_be() -> None:
    cloud = JobCloud()
    fail(cloud, "AggregateResults")
    died = cloud.run(cloud.start({"items": put_items(cloud)}))
    assert (died.status, died.error, cloud.events) == ("FAILED", "Lambda.AccessDeniedException", [])
    mend(cloud)
    closing = cloud.hear_of(died)
    cloud.close()
    assert closing.status == "SUCCEEDED"
    (told,) = details(cloud)
    assert (told["status"], told["items"]["predicted"]) == ("SUCCEEDED", 20)


def test_a_job_that_ran_out_of_time_is_accounted_for_and_announced() -> None:
    cloud = JobCloud()
    start = cloud.start({"items": put_items(cloud), "batch_size": 2, "max_concurrency": 1})
    late = cloud.run(start, timeout_s=4)
    assert (late.status, cloud.events) == ("TIMED_OUT", [])
    cloud.hear_of(late)
    (told,) = details(cloud)
    assert (told["status"], told["execution"]) == ("FAILED", late.arn)
    assert 0 < told["items"]["predicted"] < 20
    assert told["reason"].startswith("ExecutionTimedOut: the execution ran out of time: States.Timeout")
    assert cloud.run({"resume": told["job_id"]}, "second").status == "SUCCEEDED"
    cloud.close()


def test_a_job_that_told_of_its_own_failure_is_not_told_of_again() -> None:
    cloud = JobCloud(["forbidden"] * 9)
    failed = cloud.run(cloud.start({"items": put_items(cloud)}))
    assert (failed.error, len(cloud.events)) == ("JobFailed", 1)
    closing = cloud.hear_of(failed)
    cloud.close()
    assert closing.status == "SUCCEEDED"
    assert entered(closing) == ["Started", "PlanJob", "Planned", "DuplicateJob"]
    assert len(cloud.events) == 1


def test_a_start_that_cannot_be_planned_is_announced_with_the_reason() -> None:
    cloud = JobCloud()
    failed = cloud.run(cloud.start({"items": "s3://input/nowhere.jsonl"}))
    assert failed.error == "ItemsFileError"
    closing = cloud.hear_of(failed)
    cloud.close()
    assert closing.status == "SUCCEEDED"
    (told,) = details(cloud)
    assert (told["job_id"], told["status"], told["execution"]) == (None, "FAILED", failed.arn)
    assert told["reason"].startswith("ItemsFileError: s3://input/nowhere.jsonl: there is no such items file")


def test_a_job_whose_planning_died_may_be_started_again() -> None:
    cloud = JobCloud()
    start = cloud.start({"items": put_items(cloud)})
    write = cloud.results.write
    cloud.results.write = lambda key, body: (  # type: ignore[method-assign]
        write(key, body) if key.startswith("executions/") else _unavailable(key, body)
    )
    died = cloud.run(start)
    assert died.error == "StoreUnavailable"
    cloud.results.write = write  # type: ignore[method-assign]
    closing = cloud.hear_of(died)
    assert closing.status == "SUCCEEDED"
    assert [told["status"] for told in details(cloud)] == ["FAILED"]
    second = cloud.run(start, "second")
    cloud.close()
    assert second.status == "SUCCEEDED"
    output: Any = second.output
    assert output["items"]["predicted"] == 20


def _unavailable(key: str, body: bytes) -> None:
    raise StoreUnavailable("503 Slow Down")


def test_a_job_that_another_execution_has_taken_over_is_left_to_it() -> None:
    cloud = JobCloud()
    start = cloud.start({"items": put_items(cloud), "batch_size": 2, "max_concurrency": 1})
    stopped = cloud.run(start, stop=Stop(10))
    cloud.run({**start, "resume": True}, "second")
    closing = cloud.hear_of(stopped)
    cloud.close()
    assert entered(closing)[-1] == "DuplicateJob"
    assert [told["status"] for told in details(cloud)] == ["SUCCEEDED"]


def test_what_closes_an_execution_is_not_closed_itself() -> None:
    """A fault that lasts must not start executions for ever."""
    cloud = JobCloud()
    fail(cloud, "PlanJob")
    failed = cloud.run(cloud.start({"items": put_items(cloud)}))
    closing = cloud.hear_of(failed)
    assert closing.status == "FAILED"
    last = cloud.hear_of(closing)
    cloud.close()
    assert last.status == "SUCCEEDED"
    assert entered(last) == ["Started", "NotClosed"]


def test_an_event_without_error_and_cause_is_enough() -> None:
    """They are not in every version of the event."""
    cloud = JobCloud()
    stopped = cloud.run(cloud.start({"items": put_items(cloud), "batch_size": 2}), stop=Stop(6))
    arn = stopped.arn
    detail = {"executionArn": arn, "status": "TIMED_OUT", "startDate": 1_767_225_600_000, "name": "first"}
    cloud.run({"detail-type": "Step Functions Execution Status Change", "detail": detail}, "closing")
    cloud.close()
    (told,) = details(cloud)
    assert told["reason"] == "ExecutionTimedOut: the execution ran out of time"
    assert told["started_at"] == "2026-01-01T00:00:00.000Z"
