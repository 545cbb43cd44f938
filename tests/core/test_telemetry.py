"""What a function tells of its invocations: whole JSON lines; job, entry and attempt are no dimensions in them."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from fanwise import settings
from fanwise.errors import StoreUnavailable
from fanwise.records import Commit, Invocation
from fanwise.telemetry import Telemetry

EVENT = {"job_id": "job-1", "entry": {"entry": "000003.1", "attempt": 2, "count": 9}}


@pytest.fixture(autouse=True)
def service(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A service of each test's own: Powertools keeps one logger a service."""
    name = f"stack-{request.node.name}"
    monkeypatch.setenv(settings.SERVICE, name)
    return name


def context(request_id: str = "r-1") -> Any:
    return SimpleNamespace(aws_request_id=request_id, get_remaining_time_in_millis=lambda: 1000)


def commit(**changed: Any) -> Commit:
    invocation = Invocation(request_id="r-1", duration_ms=250.0, load_ms=changed.pop("load_ms", 0.0))
    return Commit(entry="000003.1", attempt=2, invocation=invocation, **changed)


def lines(capsys: pytest.CaptureFixture[str]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The log, and the metrics."""
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [line for line in told if "_aws" not in line], [line for line in told if "_aws" in line]


def test_an_invocation_is_a_line_in_the_log_and_one_of_metrics(
    capsys: pytest.CaptureFixture[str], service: str
) -> None:
    telemetry = Telemetry(init_ms=1000.0)

    @telemetry.of
    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        telemetry.committed(commit(predicted=7, dead_lettered=2, load_ms=200.0))
        return {"entry": "000003.1", "predicted": 7, "dead_lettered": 2, "rest": 0}

    handler(EVENT, context())
    (line,), (metrics,) = lines(capsys)
    told = {"job_id": "job-1", "entry": "000003.1", "attempt": 2, "request_id": "r-1", "service": service}
    assert told.items() <= line.items()
    assert told.items() <= metrics.items()
    assert (line["level"], line["answer"]) == ("INFO", {"predicted": 7, "dead_lettered": 2, "rest": 0})
    (directive,) = metrics["_aws"]["CloudWatchMetrics"]
    assert (directive["Namespace"], directive["Dimensions"]) == ("fanwise", [["service"]])
    units = {metric["Name"]: metric["Unit"] for metric in directive["Metrics"]}
    assert units == {
        "EntriesCommitted": "Count",
        "ItemsPredicted": "Count",
        "ItemsDeadLettered": "Count",
        "ModelLoadTime": "Milliseconds",
        "PredictTime": "Milliseconds",
        "ColdStart": "Count",
        "BilledDuration": "Milliseconds",
    }
    values = [metrics[name] for name in ("EntriesCommitted", "ItemsPredicted", "ItemsDeadLettered")]
    assert values == [[1.0], [7.0], [2.0]]
    assert (metrics["ModelLoadTime"], metrics["PredictTime"]) == ([200.0], [50.0])
    assert metrics["BilledDuration"][0] >= 1000.0


def test_nothing_is_left_over_for_the_next_invocation(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry = Telemetry(init_ms=1000.0)

    @telemetry.of
    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        if telemetry.is_cold:
            telemetry.committed(commit(predicted=1, load_ms=5.0))
        return {}

    handler(EVENT, context())
    handler({"job_id": "job-2", "load_only": True}, context("r-2"))
    (_, line), (_, metrics) = lines(capsys)
    assert not {"entry", "attempt"} & (line.keys() | metrics.keys())
    assert (
        (line["job_id"], line["request_id"]) == (metrics["job_id"], metrics["request_id"]) == ("job-2", "r-2")
    )
    assert [m["Name"] for m in metrics["_aws"]["CloudWatchMetrics"][0]["Metrics"]] == ["BilledDuration"]
    assert metrics["BilledDuration"][0] < 1000.0


def test_an_invocation_that_raises_is_told_of_without_what_nobody_may_know(
    capsys: pytest.CaptureFixture[str],
) -> None:
    telemetry = Telemetry()

    @telemetry.of
    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        telemetry.committed(commit(predicted=3))
        raise (StoreUnavailable if event["ours"] else ValueError)("s3://b/k?X-Amz-Signature=abc123 is 503")

    for ours, error in ((True, StoreUnavailable), (False, ValueError)):
        with pytest.raises(error):
            handler({**EVENT, "ours": ours}, context())
        (line,), (metrics,) = lines(capsys)
        assert (line["level"], line["error"]) == ("ERROR", error.__name__)
        assert line["message"] == "s3://b/k?X-Amz-Signature=… is 503"
        assert (line["job_id"], line["attempt"]) == ("job-1", 2)
        assert metrics["ItemsPredicted"] == [3.0]
        assert "abc123" not in json.dumps([line, metrics])


def test_an_answer_adds_what_the_event_did_not_say_and_texts_stay_texts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """PlanJob's event has no job yet. Its answer's texts and objects, which may be items', are not told."""
    telemetry = Telemetry()
    answer = {"job_id": "job-9", "round": 0, "entries": 4, "stop": {"Cause": "secret"}, "work_key": "secret"}
    telemetry.of(lambda event, context: answer)({"execution": "arn:x", "start": {"manifest": 1}}, context())
    (line,), _ = lines(capsys)
    assert (line["execution"], line["job_id"], line["answer"]) == (
        "arn:x",
        "job-9",
        {"round": 0, "entries": 4},
    )
    assert "secret" not in json.dumps(line)

    def fails(event: dict[str, Any], context: Any) -> dict[str, Any]:
        raise StoreUnavailable("503")

    with pytest.raises(StoreUnavailable):
        telemetry.of(fails)({}, context())
    assert lines(capsys)[0][0]["message"] == "503"


def test_a_function_without_a_name_of_its_own_is_called_as_lambda_calls_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(settings.SERVICE)
    monkeypatch.setenv(settings.FUNCTION_NAME, "stack-PlanJobFunction-1x")
    Telemetry().of(lambda event, context: {})({}, context())
    (line,), (metrics,) = lines(capsys)
    assert line["service"] == metrics["service"] == "stack-PlanJobFunction-1x"


def test_a_death_counts_its_dead_letters_and_no_time(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry = Telemetry()

    @telemetry.of
    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        telemetry.committed(commit(dead_lettered=1, died="Sandbox.Timedout"))
        return {}

    handler(EVENT, context())
    _, (metrics,) = lines(capsys)
    assert metrics["ItemsDeadLettered"] == [1.0]
    assert not {"PredictTime", "ModelLoadTime"} & metrics.keys()
