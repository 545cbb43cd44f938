"""What each test case of MockConfigFile.json has to come to: its path, and its end.

A path is the states entered, in order; `PlanJob*7` was tried seven times.
"""

import json
from dataclasses import dataclass
from typing import Any

from fanwise_local.states.payloads import JSON
from sfn_local.machines import CHILD, JOB
from sfn_local.mock_config import MockConfig

JOB_ID = "scans-5f1d0c7be2a94836"  # in every answer of the file
START: JSON = {"manifest": "s3://fanwise-input/jobs/scans.json"}
STOPPED: dict[str, Any] = {  # what EventBridge tells of a stopped execution (eventbridge-integration)
    "version": "0",
    "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718",
    "detail-type": "Step Functions Execution Status Change",
    "source": "aws.states",
    "account": "123456789012",
    "time": "2026-08-01T02:10:00Z",
    "region": "us-east-1",
    "resources": ["arn:aws:states:us-east-1:123456789012:execution:FanwiseJob:first"],
    "detail": {
        "executionArn": "arn:aws:states:us-east-1:123456789012:execution:FanwiseJob:first",
        "stateMachineArn": "arn:aws:states:us-east-1:123456789012:stateMachine:FanwiseJob",
        "name": "first",
        "status": "ABORTED",
        "startDate": 1785549600000,
        "stopDate": 1785550200000,
        "input": json.dumps(START),
        "inputDetails": {"included": True},
        "output": None,
        "outputDetails": None,
        "error": None,
        "cause": None,
    },
}
CLOSING_STOPPED: JSON = {**STOPPED, "detail": {**STOPPED["detail"], "input": json.dumps(STOPPED)}}
# What ItemSelector makes of a line of work/0.jsonl.
CHILD_INPUT: JSON = {
    "job_id": JOB_ID,
    "runtime": "litert",
    "entry": {
        "entry": "00000000",
        "start": 0,
        "end": 20480,
        "first": 0,
        "first_line": 1,
        "count": 256,
        "attempt": 1,
    },
}


@dataclass(frozen=True)
class Case:
    """A test case.

    `last` is the state whose last answer the execution ends with: its payload or, of a job, the summary in it; if
    the answer is an error, the execution fails with it. Without `last`, it ends with `output`.
    """

    machine: str
    name: str
    path: str
    last: str | None
    input: JSON
    output: JSON = None

    def end(self, config: MockConfig) -> dict[str, JSON]:
        """How DescribeExecution has to tell of its end."""
        if self.last is None:
            return {"status": "SUCCEEDED", "output": self.output}
        answer = config.mocked(self.machine, self.name)[self.last].last
        if answer.thrown is not None:
            return {"status": "FAILED", "error": answer.thrown.error, "cause": answer.thrown.cause}
        payload = answer.returned["Payload"]
        if self.path.endswith("JobFailed"):
            return {"status": "FAILED", "error": "JobFailed", "cause": payload["summary"]["reason"]}
        return {"status": "SUCCEEDED", "output": payload["summary"] if self.machine == JOB else payload}


def _job(name: str, path: str, last: str | None, input: JSON = START, output: JSON = None) -> Case:  # noqa: A002
    return Case(JOB, name, path, last, input, output)


def _child(name: str, path: str, last: str, **input_changes: JSON) -> Case:
    return Case(CHILD, name, path, last, {**CHILD_INPUT, **input_changes})


_PLANNED = "Started PlanJob Planned"
_ROUND = "AnyWork PredictItems AggregateResults"
_TOLD = "AnyWork JudgeJob Announce JobEnded"
_TOLD_OF_DEAD_LETTERS = "AnyWork JudgeJob QueueDeadLetters Announce JobEnded"
_DUPLICATE: JSON = {"job_id": JOB_ID, "duplicate": True}
AGGREGATE = "AggregateResults"

JOBS = (
    _job("AllPredicted", f"{_PLANNED} {_ROUND} {_TOLD} JobSucceeded", AGGREGATE),
    _job("NoItems", f"{_PLANNED} AggregateResults {_TOLD} JobSucceeded", AGGREGATE),
    _job("Duplicate", f"{_PLANNED} DuplicateJob", None, output=_DUPLICATE),
    _job("PlanRetried", f"Started PlanJob*8 Planned {_ROUND} {_TOLD} JobSucceeded", AGGREGATE),
    _job("PlanDiedAndWasRetried", f"Started PlanJob*3 Planned {_ROUND} {_TOLD} JobSucceeded", AGGREGATE),
    _job("PlanUnavailable", "Started PlanJob*7", "PlanJob"),
    _job("PlanDied", "Started PlanJob*3", "PlanJob"),
    _job("PlanRefused", "Started PlanJob", "PlanJob"),
    _job("Probed", f"{_PLANNED} ProbeModel {_ROUND} {_TOLD} JobSucceeded", AGGREGATE),
    _job("ProbedByTensorFlow", f"{_PLANNED} ProbeModel {_ROUND} {_TOLD} JobSucceeded", AGGREGATE),
    _job("ProbeRetried", f"{_PLANNED} ProbeModel*7 {_ROUND} {_TOLD} JobSucceeded", AGGREGATE),
    _job("ProbeThrottled", f"{_PLANNED} ProbeModel*7 {_ROUND} {_TOLD} JobSucceeded", AGGREGATE),
    _job("ProbeForbidden", f"{_PLANNED} ProbeModel {_ROUND} {_TOLD} JobSucceeded", AGGREGATE),
    _job("ProbeFoundTheModelBroken", f"{_PLANNED} ProbeModel AggregateResults {_TOLD} JobFailed", AGGREGATE),
    *(
        _job(name, f"{_PLANNED} ProbeModel LoadModel {_ROUND} {_TOLD} JobSucceeded", AGGREGATE)
        for name in (
            "ProbeTimedOutModelLoads",
            "ProbeOfTensorFlowTimedOutModelLoads",
            "ProbeExitedModelThrottled",
        )
    ),
    *(
        _job(name, f"{_PLANNED} ProbeModel LoadModel AggregateResults {_TOLD} JobFailed", AGGREGATE)
        for name in (
            "ProbeExitedModelBroken",
            "ProbeOutOfMemoryModelToo",
            "ProbeDiedUnknownModelTimedOut",
            "ProbeTaskTimedOutModelExited",
            "ProbeTimedOutModelDiedUnknown",
            "ProbeTimedOutModelTaskTimedOut",
        )
    ),
    _job("WorkUnreadable", f"{_PLANNED} AnyWork PredictItems", "PredictItems"),
    _job(
        "NextRoundAfterAWait",
        f"{_PLANNED} {_ROUND} AnyWork WaitBeforeRound PredictItems AggregateResults {_TOLD} JobSucceeded",
        AGGREGATE,
    ),
    _job(
        "NextRoundAtOnce",
        f"{_PLANNED} {_ROUND} {_ROUND} {_TOLD_OF_DEAD_LETTERS} JobSucceeded",
        AGGREGATE,
    ),
    *(
        _job(name, f"{_PLANNED} {_ROUND} AnyWork {recomputed} AggregateResults {_TOLD} {end}", AGGREGATE)
        for name, recomputed, end in (
            ("Recomputed", "RecomputeItems", "JobSucceeded"),
            ("RecomputedByLiteRT", "RecomputeItems", "JobSucceeded"),
            ("RecomputeRetried", "RecomputeItems*7", "JobSucceeded"),
            ("RecomputeThrottled", "RecomputeItems*7", "JobSucceeded"),
            ("RecomputeDiffers", "RecomputeItems", "JobFailed"),
        )
    ),
    _job("ItemsMissing", f"{_PLANNED} {_ROUND} {_TOLD} JobFailed", AGGREGATE),
    _job("AggregateRetried", f"{_PLANNED} {_ROUND}*8 {_TOLD} JobSucceeded", AGGREGATE),
    _job("AggregateDiedAndWasRetried", f"{_PLANNED} {_ROUND}*3 {_TOLD} JobSucceeded", AGGREGATE),
    _job("AggregateUnavailable", f"{_PLANNED} {_ROUND}*7", AGGREGATE),
    _job("AggregateDied", f"{_PLANNED} {_ROUND}*3", AGGREGATE),
    _job("AggregateForbidden", f"{_PLANNED} {_ROUND}", AGGREGATE),
    _job("SomeDeadLettered", f"{_PLANNED} {_ROUND} {_TOLD_OF_DEAD_LETTERS} JobSucceeded", AGGREGATE),
    _job("TooManyDeadLettered", f"{_PLANNED} {_ROUND} {_TOLD_OF_DEAD_LETTERS} JobFailed", AGGREGATE),
    _job(
        "QueueRetried",
        f"{_PLANNED} {_ROUND} AnyWork JudgeJob QueueDeadLetters*3 Announce JobEnded JobSucceeded",
        AGGREGATE,
    ),
    _job(
        "QueueGone",
        f"{_PLANNED} {_ROUND} AnyWork JudgeJob QueueDeadLetters*7 Announce JobEnded JobSucceeded",
        AGGREGATE,
    ),
    _job(
        "AnnounceRetried", f"{_PLANNED} {_ROUND} AnyWork JudgeJob Announce*2 JobEnded JobSucceeded", AGGREGATE
    ),
    _job("NobodyToTell", f"{_PLANNED} {_ROUND} AnyWork JudgeJob Announce*7 JobEnded JobSucceeded", AGGREGATE),
    _job("Closing", f"{_PLANNED} AggregateResults {_TOLD} JobSucceeded", AGGREGATE, STOPPED),
    _job("ClosingAlreadyTold", f"{_PLANNED} DuplicateJob", None, STOPPED, _DUPLICATE),
    _job("ClosingWithoutPlan", f"{_PLANNED} JudgeJob Announce JobEnded JobSucceeded", "PlanJob", STOPPED),
    _job("ClosingOfAClosing", "Started NotClosed", None, CLOSING_STOPPED, {"closed": False}),
)

_ONE_ITEM: JSON = {**CHILD_INPUT["entry"], "end": 80, "count": 1, "attempt": 5}

CHILDREN = (
    _child("Predicted", "PredictBatch", "PredictBatch"),
    _child("PredictedByTensorFlow", "PredictBatch", "PredictBatch", runtime="tensorflow"),
    _child("PartlyPredicted", "PredictBatch", "PredictBatch"),
    _child("Retried", "PredictBatch*7", "PredictBatch"),
    _child("Throttled", "PredictBatch*7", "PredictBatch"),
    _child("Forbidden", "PredictBatch", "PredictBatch"),
    _child("ItemsChanged", "PredictBatch", "PredictBatch"),
    _child("TimedOut", "PredictBatch HandleFailure", "HandleFailure"),
    _child("Exited", "PredictBatch HandleFailure", "HandleFailure", entry=_ONE_ITEM),
    _child("ThrottledThenOutOfMemory", "PredictBatch*3 HandleFailure", "HandleFailure"),
    _child("DiedUnknown", "PredictBatch HandleFailure*5", "HandleFailure"),
    _child("TaskTimedOut", "PredictBatch HandleFailure*3", "HandleFailure"),
    _child("HandleFailureUnavailable", "PredictBatch HandleFailure*5", "HandleFailure"),
    _child("HandleFailureDied", "PredictBatch HandleFailure", "HandleFailure"),
)

CASES = (*JOBS, *CHILDREN)
