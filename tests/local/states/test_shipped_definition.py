"""The state machine as it is deployed, over functions that answer as the handlers would."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonata.parser import Parser

from fanwise_local.clock import Clock, run_virtual
from fanwise_local.faults.plan import state_name
from fanwise_local.states.definition import parse_definition
from fanwise_local.states.errors import StatesError
from fanwise_local.states.executions import Execution, StateMachine
from fanwise_local.states.payloads import JSON

from .machines import ARN, Cloud, event_types

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "statemachine" / "batch_inference.asl.json").read_text()
FUNCTIONS = (
    "PlanJobFunction",
    "PredictBatchLiteRTFunction",
    "PredictBatchTensorFlowFunction",
    "HandleFailureFunction",
    "AggregateResultsFunction",
)
SUBSTITUTIONS = {
    **{f"{name}Arn": state_name(name) for name in FUNCTIONS},
    "ResultsBucket": "results",
    "DeadLetterQueueUrl": "queue",
}
DEATHS = ("Sandbox.Timedout", "Runtime.ExitError", "Runtime.OutOfMemory", "Lambda.Unknown")


class Job:
    """A job of some entries: the four handlers, reduced to what the state machine sees of them."""

    def __init__(self, entries: int, **start: JSON) -> None:
        self.entries = entries
        self.start = start
        self.substitutions: dict[str, str] = {}
        self.probe: Callable[[JSON], JSON] = lambda _: {}
        self.load_only: Callable[[JSON], JSON] = lambda _: {}
        self.predict: Callable[[JSON], JSON] = lambda entry: {"entry": entry["entry"], "decided": True}
        self.decided: set[int] = set()
        self.summary: dict[str, JSON] = {}
        self.cloud = Cloud(
            {
                "PlanJob": self._plan,
                "PredictBatch": self._predict,
                "HandleFailure": lambda payload: {
                    "entry": payload["entry"]["entry"],
                    "cut": payload["failure"]["Error"],
                },
                "AggregateResults": self._aggregate,
                "sendMessage": lambda _: {"MessageId": "m"},
                "putEvents": lambda _: {"FailedEntryCount": 0},
            }
        )

    def run(self) -> Execution:
        async def main() -> Execution:
            definition = parse_definition(TEXT, SUBSTITUTIONS | self.substitutions)
            machine = StateMachine(
                definition, arn=ARN, services=self.cloud, clock=Clock(), random=random.Random(5)
            )
            return await machine.start_execution({"manifest": "s3://b/job.json"}, "job").wait()

        return run_virtual(main())

    def _plan(self, payload: JSON) -> JSON:
        assert payload["start"] == {"manifest": "s3://b/job.json"}
        assert payload["execution"].endswith(":execution:machine:job")
        assert payload["started_at"] == "2026-01-01T00:00:00.000Z"
        self._write(0, list(range(self.entries)))
        planned = {
            "job_id": "j",
            "duplicate": False,
            "wait_s": 0,
            "max_concurrency": 100,
            "work_key": "work/0",
            "runtime": "tensorflow",
        }
        return {**planned, "entries": self.entries, **self.start}

    def _predict(self, payload: JSON) -> JSON:
        assert payload["job_id"] == "j"
        if "probe" in payload:
            return self.probe(payload)
        if "load_only" in payload:
            return self.load_only(payload)
        answer = self.predict(payload["entry"])
        self.decided.add(payload["entry"]["entry"])
        return answer

    def _aggregate(self, payload: JSON) -> JSON:
        """What is not decided is the next round's work, if there is no reason to stop."""
        left = (
            [] if "stop" in payload else [entry for entry in range(self.entries) if entry not in self.decided]
        )
        number = int(payload["work_key"].rpartition("/")[2]) + 1
        self._write(number, left)
        status = "FAILED" if "stop" in payload else "SUCCEEDED"
        summary = {
            "status": status,
            "reason": "it stopped",
            "items": {"dead_lettered": 0},
            "latency_ms": {"p50": 1},
            "failures": {},
            **self.summary,
        }
        kept = {name: value for name, value in payload.items() if name != "map_run"}
        following = {"work_key": f"work/{number}", "entries": len(left), "wait_s": 30 if left else 0}
        return {**kept, **following, "summary": summary, "failures_uri": "s3://results/jobs/j/failures/"}

    def _write(self, number: int, entries: list[int]) -> None:
        lines = [json.dumps({"entry": entry, "count": 256}) for entry in entries]
        self.cloud.objects[f"work/{number}"] = "".join(f"{line}\n" for line in lines).encode()


def states_of(execution: Execution) -> list[str]:
    return [event.details["name"] for event in execution.history if event.type.endswith("StateEntered")]


@pytest.mark.parametrize(("runtime", "packaging"), [("litert", "LiteRT"), ("tensorflow", "TensorFlow")])
def test_the_plan_says_which_packaging_of_predict_batch_is_called(runtime: str, packaging: str) -> None:
    job = Job(1, probe={"first": 1}, runtime=runtime)
    job.substitutions = {name: f"not {name}" for name in SUBSTITUTIONS if name.startswith("PredictBatch")}
    job.substitutions[f"PredictBatch{packaging}FunctionArn"] = "PredictBatch"
    job.probe = fail_with("Lambda.Unknown")
    assert job.run().status == "SUCCEEDED"
    assert len(job.cloud.named("PredictBatch")) == 3  # ProbeModel, LoadModel, and the child's


def test_each_expression_is_parsed_once_however_often_it_is_evaluated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parsed: list[str] = []
    parse = Parser.parse

    def counted(parser: Any, source: str, *more: Any) -> Any:
        parsed.append(source)
        return parse(parser, source, *more)

    monkeypatch.setattr(Parser, "parse", counted)
    job = Job(40)
    assert job.run().status == "SUCCEEDED"
    assert len(job.cloud.named("PredictBatch")) == 40
    assert len(parsed) == TEXT.count("{%")


def fail_with(error: str, cause: str = "") -> Callable[[JSON], JSON]:
    def function(_: JSON) -> JSON:
        raise StatesError(error, cause)

    return function


def test_a_job_in_which_nothing_goes_wrong() -> None:
    execution = (job := Job(3)).run()
    assert states_of(execution) == [
        "Started",
        "PlanJob", "Planned", "AnyWork", "PredictItems", "AggregateResults", "AnyWork", "JudgeJob", "Announce",
        "JobEnded", "JobSucceeded",
    ]  # fmt: skip
    assert (execution.status, execution.output["status"]) == ("SUCCEEDED", "SUCCEEDED")
    (map_run,) = execution.map_runs
    assert (map_run.label, map_run.item_counts["succeeded"], map_run.max_concurrency) == (
        "PredictItems",
        3,
        100,
    )
    assert job.cloud.named("PredictBatch") == [
        {"job_id": "j", "runtime": "tensorflow", "entry": {"entry": n, "count": 256}} for n in range(3)
    ]
    given = job.cloud.named("AggregateResults")[0]["map_run"]
    manifest = json.loads(job.cloud.objects[given["ResultWriterDetails"]["Key"]])
    (file,) = manifest["ResultFiles"]["SUCCEEDED"]
    assert file["Key"].startswith("jobs/j/map-run/")
    rows = [json.loads(line) for line in job.cloud.objects[file["Key"]].splitlines()]
    assert rows == [{"entry": n, "decided": True} for n in range(3)]
    (event,) = job.cloud.named("putEvents")[0]["Entries"]
    assert event["DetailType"] == "Batch Inference Job Ended"
    assert event["Detail"] == {
        name: value for name, value in execution.output.items() if name != "latency_ms"
    }
    assert job.cloud.named("sendMessage") == []


def test_two_rounds_with_a_wait_between() -> None:
    job = Job(4)
    tried: list[int] = []

    def predict(entry: JSON) -> JSON:
        tried.append(entry["entry"])
        if entry["entry"] == 2 and tried.count(2) == 1:
            raise StatesError("AccessDenied")
        return {"entry": entry["entry"]}

    job.predict = predict
    execution = job.run()
    assert states_of(execution).count("PredictItems") == 2
    assert states_of(execution).count("WaitBeforeRound") == 1
    assert tried == [0, 1, 2, 3, 2]
    assert [run.item_counts["failed"] for run in execution.map_runs] == [1, 0]
    assert (execution.stop_date or 0) - execution.start_date == 30


def test_a_duplicate_ends_at_once() -> None:
    execution = (job := Job(3, duplicate=True)).run()
    assert execution.output == {"job_id": "j", "duplicate": True}
    assert states_of(execution) == ["Started", "PlanJob", "Planned", "DuplicateJob"]
    assert len(job.cloud.calls) == 1


def test_no_items() -> None:
    execution = Job(0).run()
    assert execution.status == "SUCCEEDED"
    assert execution.map_runs == []
    assert states_of(execution)[3] == "AggregateResults"


def test_a_probe_that_is_well_goes_on() -> None:
    execution = (job := Job(2, probe={"first": 8})).run()
    assert states_of(execution)[3:6] == ["ProbeModel", "AnyWork", "PredictItems"]
    assert job.cloud.named("PredictBatch")[0] == {"job_id": "j", "probe": {"first": 8}}


def test_a_broken_model_stops_at_the_probe() -> None:
    job = Job(2, probe={})
    job.probe = fail_with("ModelError", "no such signature")
    execution = job.run()
    assert (execution.status, execution.error, execution.cause) == ("FAILED", "JobFailed", "it stopped")
    assert execution.map_runs == []
    assert job.cloud.named("AggregateResults")[0]["stop"] == {
        "Error": "ModelError",
        "Cause": "no such signature",
    }


@pytest.mark.parametrize("error", DEATHS)
def test_a_probe_that_dies_loads_the_model_alone(error: str) -> None:
    job = Job(2, probe={})
    job.probe = fail_with(error)
    execution = job.run()
    assert states_of(execution)[3:7] == ["ProbeModel", "LoadModel", "AnyWork", "PredictItems"]
    assert execution.status == "SUCCEEDED"
    assert job.cloud.named("PredictBatch")[1] == {"job_id": "j", "load_only": True}


def test_a_model_that_dies_alone_too_stops_the_job() -> None:
    job = Job(2, probe={})
    job.probe = job.load_only = fail_with("Runtime.OutOfMemory")
    execution = job.run()
    assert (execution.status, execution.map_runs) == ("FAILED", [])
    assert job.cloud.named("AggregateResults")[0]["stop"]["Error"] == "Runtime.OutOfMemory"


@pytest.mark.parametrize("error", DEATHS)
def test_a_dead_child_is_handled(error: str) -> None:
    job = Job(3)

    def predict(entry: JSON) -> JSON:
        if entry["entry"] == 1:
            job.decided.add(1)  # HandleFailure will commit what is left of it
            raise StatesError(error, "died")
        return entry

    job.predict = predict
    execution = job.run()
    assert execution.status == "SUCCEEDED"
    assert job.cloud.named("HandleFailure") == [
        {
            "job_id": "j",
            "runtime": "tensorflow",
            "entry": {"entry": 1, "count": 256},
            "failure": {"Error": error, "Cause": "died"},
        }
    ]
    assert execution.map_runs[0].item_counts["succeeded"] == 3


def test_throttling_is_outlasted() -> None:
    job = Job(1)
    errors = ["Lambda.TooManyRequestsException"] * 6
    job.predict = lambda entry: fail_with(errors.pop())(0) if errors else entry
    execution = job.run()
    assert execution.status == "SUCCEEDED"
    assert len(job.cloud.named("PredictBatch")) == 7
    assert 0 < (execution.stop_date or 0) - execution.start_date <= 2 + 4 + 8 + 16 + 20 + 20


def test_a_failed_verdict_fails_the_execution() -> None:
    job = Job(1)
    job.summary = {
        "status": "FAILED",
        "reason": "items are missing",
        "items": {"dead_lettered": 2},
        "failures": {"NotJson": 2},
    }
    execution = job.run()
    assert (execution.status, execution.error, execution.cause) == (
        "FAILED",
        "JobFailed",
        "items are missing",
    )
    (message,) = job.cloud.named("sendMessage")
    assert message["QueueUrl"] == "queue"
    assert json.loads(message["MessageBody"]) == {
        "job_id": "j",
        "dead_lettered": 2,
        "failures": {"NotJson": 2},
        "failures_uri": "s3://results/jobs/j/failures/",
    }
    assert len(job.cloud.named("putEvents")) == 1


@pytest.mark.parametrize("service", ["putEvents", "sendMessage"])
def test_results_stand_where_nobody_could_be_told(service: str) -> None:
    job = Job(1)
    job.summary = {"items": {"dead_lettered": 1}}
    functions: Any = job.cloud.functions
    functions[service] = fail_with("EventBridge.InternalException")
    execution = job.run()
    assert execution.status == "SUCCEEDED"
    assert len(job.cloud.named(service)) == 7
    assert event_types(execution)[-1] == "ExecutionSucceeded"
