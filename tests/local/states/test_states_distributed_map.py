"""Distributed Map: items, children, tolerance, result files, counts, and stopping."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanwise_local.states import result_writer
from fanwise_local.states.errors import StatesError
from fanwise_local.states.executions import Execution
from fanwise_local.states.map_run import Child, MapRun
from fanwise_local.states.observer import Observer
from fanwise_local.states.payloads import JSON

from .machines import Cloud, duration_s, event_types, run, takes, task

UNTOLERATED = "States.ExceedToleratedFailureThreshold"
WORK = {"Work": task(Output="{% $states.result.Payload %}")}
END: dict[str, Any] = {"Type": "Pass", "End": True}


def mapped(states: dict[str, Any] | None = None, **more: JSON) -> dict[str, Any]:
    """A Map over the file `items`, whose children call `work` with their item."""
    inner = states or WORK
    return {
        "Type": "Map",
        "Label": "Each",
        "ItemReader": {
            "Resource": "arn:aws:states:::s3:getObject",
            "ReaderConfig": {"InputType": "JSONL"},
            "Arguments": {"Bucket": "bucket", "Key": "{% 'it' & 'ems' %}"},
        },
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"},
            "StartAt": next(iter(inner)),
            "States": inner,
        },
        **({} if "Next" in more else {"End": True}),
        **more,
    }


def writer(
    transformation: str = "COMPACT", output_type: str = "JSON", bucket: str = "results"
) -> dict[str, Any]:
    return {
        "Resource": "arn:aws:states:::s3:putObject",
        "Arguments": {"Bucket": bucket, "Prefix": "{% 'jobs/' & 'j' %}"},
        "WriterConfig": {"Transformation": transformation, "OutputType": output_type},
    }


def over(items: list[JSON], work: Any = None) -> Cloud:
    """A cloud with the file, and a function that gives its item back unless told otherwise."""
    body = b"".join(json.dumps(item).encode() + b"\n" for item in items)
    return Cloud({"work": work or (lambda payload: payload)}, {"items": body})


def failing(*bad: JSON) -> Any:
    def work(payload: JSON) -> JSON:
        if payload in bad:
            raise StatesError("Bad", f"item {payload}")
        return payload

    return work


def counts(map_run: MapRun) -> dict[str, int]:
    return {name: count for name, count in map_run.execution_counts.items() if count}


class TestItems:
    def test_results_come_in_the_order_of_the_items(self) -> None:
        async def work(payload: JSON) -> JSON:
            await asyncio.sleep(10 - payload)
            return payload * 10

        execution = run({"A": mapped()}, 0, over([1, 5, 3], work))
        assert execution.output == [10, 50, 30]
        assert duration_s(execution) == 9

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            (b"", []),
            (b"1", [1]),
            (b"1\n2\n", [1, 2]),
            (b"1\r\n2\r\n", [1, 2]),
            ("\ufeff1\n".encode(), [1]),
            (b'"\xc3\xa9\xe2\x80\xa8"\nnull\n', ["é\u2028", None]),
        ],
    )
    def test_lines(self, body: bytes, expected: JSON) -> None:
        execution = run({"A": mapped()}, 0, Cloud({"work": lambda payload: payload}, {"items": body}))
        assert execution.output == expected

    @given(
        items=st.lists(
            st.none() | st.text(max_size=5) | st.integers(0, 9) | st.lists(st.text(max_size=2)), max_size=6
        )
    )
    @settings(deadline=None, max_examples=30)
    def test_every_line_is_one_child(self, items: list[JSON]) -> None:
        assert run({"A": mapped()}, 0, over(items)).output == items

    @pytest.mark.parametrize("body", [b"1\nnot json\n", b"1\n\n2\n", b"{}{}\n", b"\xff\n"])
    def test_a_line_that_is_no_json_fails_the_run(self, body: bytes) -> None:
        execution = run({"A": mapped()}, 0, Cloud({"work": lambda payload: payload}, {"items": body}))
        assert execution.error == "States.ItemReaderFailed"
        assert "S3://bucket/items, line " in str(execution.cause)

    def test_a_missing_file_is_caught(self) -> None:
        catch = [{"ErrorEquals": ["States.ItemReaderFailed"], "Next": "B"}]
        execution = run({"A": mapped(Catch=catch), "B": END}, 0, Cloud())
        assert execution.output["Error"] == "States.ItemReaderFailed"
        assert "S3.NoSuchKey" in execution.output["Cause"]
        assert execution.map_runs[0].status == "FAILED"

    @pytest.mark.parametrize(("most", "expected"), [(2, [1, 2]), ("{% 1 + 1 %}", [1, 2]), (9, [1, 2, 3])])
    def test_max_items(self, most: JSON, expected: JSON) -> None:
        state = mapped()
        state["ItemReader"]["ReaderConfig"]["MaxItems"] = most
        execution = run({"A": state}, 0, over([1, 2, 3]))
        assert execution.output == expected
        assert execution.map_runs[0].total == len(expected)

    @pytest.mark.parametrize(
        ("items", "expected"),
        [
            ("$states.input", [{"i": 0, "v": "a", "k": None}, {"i": 1, "v": "b", "k": None}]),
            ("{'x': 1, 'y': 2}", [{"i": 0, "v": 1, "k": "x"}, {"i": 1, "v": 2, "k": "y"}]),
            ("5", "States.QueryEvaluationError"),
        ],
    )
    def test_items_from_the_state(self, items: str, expected: JSON) -> None:
        item = "$states.context.Map.Item"
        selector = {
            "i": f"{{% {item}.Index %}}",
            "v": f"{{% {item}.Value %}}",
            "k": f"{{% $exists({item}.Key) ? {item}.Key : null %}}",
        }
        state = mapped(Items=f"{{% {items} %}}", ItemSelector=selector)
        del state["ItemReader"]
        execution = run({"A": state}, ["a", "b"], over([]))
        assert (execution.output or execution.error) == expected

    def test_item_selector_sees_the_outer_scope_and_the_item(self) -> None:
        selector = {
            "outer": "{% $outer %}",
            "input": "{% $states.input %}",
            "item": "{% $states.context.Map.Item %}",
            "state": "{% $states.context.State.Name %}",
        }
        states = {
            "Set": {"Type": "Pass", "Assign": {"outer": 7}, "Next": "A"},
            "A": mapped(ItemSelector=selector),
        }
        assert run(states, "in", over([None])).output == [
            {
                "outer": 7,
                "input": "in",
                "item": {"Index": 0, "Value": None, "Source": "S3://bucket/items"},
                "state": "A",
            }
        ]

    def test_a_selector_that_fails_fails_the_run_and_not_the_child(self) -> None:
        state = mapped(
            ItemSelector="{% $states.context.Map.Item.Value.absent %}", ToleratedFailurePercentage=100
        )
        execution = run({"A": state}, 0, cloud := over([{}]))
        assert (execution.error, cloud.calls) == ("States.QueryEvaluationError", [])

    def test_a_childs_input_is_limited(self) -> None:
        state = mapped(ItemSelector=["{% $states.context.Map.Item.Value %}"], ToleratedFailurePercentage=100)
        assert (
            run({"A": state}, 0, over(["x" * 262_140])).error == "States.DataLimitExceeded"
        )  # it becomes a result
        assert run({"A": state}, 0, cloud := over(["x" * 262_141])).error == "States.DataLimitExceeded"
        assert cloud.calls == []


class TestChildren:
    def test_a_child_sees_its_own_context_and_no_outer_variable(self) -> None:
        shown = {**END, "Output": {"context": "{% $states.context %}", "outer": "{% $exists($outer) %}"}}
        states = {
            "Set": {"Type": "Pass", "Assign": {"outer": 7}, "Next": "A"},
            "A": mapped({"Show": shown}),
        }
        execution = run(states, 0, over([{"n": 1}]))
        seen = execution.output[0]
        assert seen["outer"] is False
        assert "Map" not in seen["context"]
        child = seen["context"]["Execution"]
        assert child["Input"] == {"n": 1}
        assert child["Id"].startswith(
            f"arn:aws:states:us-east-1:123456789012:express:machine/Each:{child['Name']}:"
        )
        assert seen["context"]["StateMachine"]["Name"] == "machine/Each"

    def test_children_have_variables_of_their_own(self) -> None:
        inner = {
            "Keep": {"Type": "Pass", "Assign": {"mine": "{% $states.input %}"}, "Next": "Wait"},
            "Wait": {"Type": "Wait", "Seconds": "{% $mine %}", "Next": "Show"},
            "Show": {**END, "Output": "{% $mine %}"},
        }
        states = {
            "A": {**mapped(inner, Next="B")},
            "B": {**END, "Output": ["{% $states.input %}", "{% $exists($mine) %}"]},
        }
        assert run(states, 0, over([3, 1, 2])).output == [[3, 1, 2], False]

    def test_a_child_retries_and_catches(self) -> None:
        tried: list[JSON] = []

        def work(payload: JSON) -> JSON:
            tried.append(payload)
            if tried.count(payload) <= payload:
                raise StatesError("Again")
            return payload

        inner = {
            "Work": task(
                Retry=[{"ErrorEquals": ["Again"], "MaxAttempts": 2}],
                Catch=[{"ErrorEquals": ["Again"], "Next": "Handle"}],
                Output="{% $states.result.Payload %}",
            ),
            "Handle": {**END, "Output": "{% 'handled ' & $states.input.Error %}"},
        }
        execution = run({"A": mapped(inner)}, 0, over([0, 2, 3], work))
        assert execution.output == [0, 2, "handled Again"]
        assert duration_s(execution) == 3

    def test_five_minutes_of_a_child(self) -> None:
        cloud = over([299, 301], lambda seconds: takes(seconds, seconds)(0))
        execution = run({"A": mapped(ToleratedFailureCount=1, ResultWriter=writer())}, 0, cloud)
        assert duration_s(execution) == 300
        assert counts(execution.map_runs[0]) == {
            "succeeded": 1,
            "timedOut": 1,
            "total": 2,
            "resultsWritten": 2,
        }
        (row,) = failed_rows(cloud, execution)
        assert (row["Status"], row["Error"]) == ("TIMED_OUT", "States.Timeout")
        assert cloud.running == 0

    def test_a_service_that_breaks_fails_its_child(self, caplog: pytest.LogCaptureFixture) -> None:
        def breaks(_: JSON) -> JSON:
            raise KeyError("of the service")

        execution = run({"A": mapped(ToleratedFailurePercentage=100)}, 0, over([1], breaks))
        assert execution.output[0]["Error"] == "States.Runtime"
        assert "otherwise than with a StatesError" in caplog.text


class TestConcurrency:
    @pytest.mark.parametrize(
        ("limit", "items", "most"),
        [(1, 5, 1), (3, 10, 3), (0, 50, 50), (20_000, 5, 5), ("{% $states.input %}", 10, 4)],
    )
    def test_no_more_children_at_once(self, limit: JSON, items: int, most: int) -> None:
        cloud = over([1] * items, takes(1))
        execution = run({"A": mapped(MaxConcurrency=limit)}, 4, cloud)
        assert cloud.most_running == most
        assert duration_s(execution) == -(-items // most)

    def test_the_hard_cap_is_ten_thousand(self) -> None:
        cloud = over([1] * 10_001, takes(1))
        execution = run({"A": mapped(MaxConcurrency=20_000, ResultWriter=writer())}, 0, cloud)
        assert (cloud.most_running, duration_s(execution)) == (10_000, 2)

    @pytest.mark.parametrize("limit", [-1, "many", 1.5, None])
    def test_a_limit_that_is_none(self, limit: JSON) -> None:
        execution = run({"A": mapped(MaxConcurrency="{% $states.input %}")}, limit, over([1]))
        assert execution.error == "States.QueryEvaluationError"

    def test_five_thousand_items_through_one_worker(self) -> None:
        cloud = over(list(range(5000)), takes(0.001))
        execution = run({"A": mapped(MaxConcurrency=1, ResultWriter=writer())}, 0, cloud)
        assert (execution.status, cloud.most_running) == ("SUCCEEDED", 1)
        assert cloud.named("work") == list(range(5000))
        assert duration_s(execution) == 5

    def test_children_that_never_wait_leave_the_loop_to_others(self) -> None:
        async def stop_soon(execution: Execution) -> None:
            await asyncio.sleep(0)
            while not execution.map_runs or counts(execution.map_runs[0]).get("succeeded", 0) < 10:
                await asyncio.sleep(0)
            execution.stop()

        execution = run({"A": mapped(MaxConcurrency=1)}, 0, over([1] * 2000), then=stop_soon)
        assert execution.status == "ABORTED"
        assert 10 <= execution.map_runs[0].execution_counts["succeeded"] < 50


class TestTolerance:
    @pytest.mark.parametrize(
        ("tolerated", "bad", "status"),
        [
            ({}, 0, "SUCCEEDED"),
            ({}, 1, "FAILED"),
            ({"ToleratedFailurePercentage": 0}, 1, "FAILED"),
            ({"ToleratedFailurePercentage": 30}, 2, "SUCCEEDED"),
            ({"ToleratedFailurePercentage": 30}, 3, "SUCCEEDED"),
            ({"ToleratedFailurePercentage": 30}, 4, "FAILED"),
            ({"ToleratedFailurePercentage": 29.9}, 3, "FAILED"),
            ({"ToleratedFailurePercentage": 100}, 10, "SUCCEEDED"),
            ({"ToleratedFailurePercentage": "{% 10 * 4 %}"}, 4, "SUCCEEDED"),
            ({"ToleratedFailureCount": 3}, 3, "SUCCEEDED"),
            ({"ToleratedFailureCount": 3}, 4, "FAILED"),
            ({"ToleratedFailureCount": "{% 2 %}"}, 3, "FAILED"),
            ({"ToleratedFailureCount": 5, "ToleratedFailurePercentage": 30}, 4, "FAILED"),
            ({"ToleratedFailureCount": 3, "ToleratedFailurePercentage": 50}, 4, "FAILED"),
            ({"ToleratedFailureCount": 4, "ToleratedFailurePercentage": 40}, 4, "SUCCEEDED"),
        ],
    )
    def test_at_below_and_above(self, tolerated: dict[str, JSON], bad: int, status: str) -> None:
        execution = run({"A": mapped(**tolerated)}, 0, over(list(range(10)), failing(*range(bad))))
        assert execution.status == status
        assert execution.map_runs[0].status == status
        assert execution.error == (UNTOLERATED if status == "FAILED" else None)

    @pytest.mark.parametrize("value", [101, -1, "5", None])
    def test_expressions_have_to_give_a_percentage(self, value: JSON) -> None:
        execution = run({"A": mapped(ToleratedFailurePercentage="{% $states.input %}")}, value, over([1]))
        assert execution.error == "States.QueryEvaluationError"

    def test_beyond_it_running_children_are_aborted_and_waiting_ones_never_start(self) -> None:
        async def work(payload: JSON) -> JSON:
            await asyncio.sleep(payload)
            if payload == 5:
                raise StatesError("Bad")
            return payload

        cloud = over([1, 5, 60, 60, 7, 8], work)
        execution = run({"A": mapped(MaxConcurrency=3, ResultWriter=writer())}, 0, cloud)
        assert (execution.error, duration_s(execution), cloud.running) == (UNTOLERATED, 5, 0)
        assert execution.cause == "The specified tolerated failure threshold was exceeded"
        assert counts(execution.map_runs[0]) == {
            "succeeded": 1, "failed": 1, "aborted": 2, "pending": 2, "total": 6, "resultsWritten": 4
        }  # fmt: skip
        assert event_types(execution)[-3:] == ["MapRunFailed", "MapStateFailed", "ExecutionFailed"]
        statuses = [row["Status"] for row in failed_rows(cloud, execution)]
        assert statuses == ["FAILED", "ABORTED", "ABORTED"]
        pending = json.loads(cloud.objects[folder(execution) + "PENDING_0.json"])
        assert [(row["Input"], row["Status"]) for row in pending] == [("7", "PENDING"), ("8", "PENDING")]

    def test_a_retry_of_the_map_is_a_new_run_over_all_items(self) -> None:
        calls: list[JSON] = []

        def work(payload: JSON) -> JSON:
            calls.append(payload)
            if len(calls) == 2:
                raise StatesError("Bad")
            return payload

        state = mapped(MaxConcurrency=1, Retry=[{"ErrorEquals": [UNTOLERATED]}])
        execution = run({"A": state}, 0, over([1, 2, 3], work))
        assert (execution.output, calls) == ([1, 2, 3], [1, 2, 1, 2, 3])
        first, second = execution.map_runs
        assert (first.status, second.status, first.arn == second.arn) == ("FAILED", "SUCCEEDED", False)


def folder(execution: Execution) -> str:
    return f"jobs/j/{execution.map_runs[0].arn.rpartition(':')[2]}/"


def failed_rows(cloud: Cloud, execution: Execution) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(cloud.objects[folder(execution) + "FAILED_0.json"])
    return rows


class TestResults:
    def test_files_and_manifest(self) -> None:
        cloud = over([1, 2, 3], failing(2))
        execution = run({"A": mapped(ToleratedFailurePercentage=100, ResultWriter=writer())}, 0, cloud)
        map_run, at = execution.map_runs[0], folder(execution)
        assert execution.output == {
            "MapRunArn": map_run.arn,
            "ResultWriterDetails": {"Bucket": "results", "Key": f"{at}manifest.json"},
        }
        assert map_run.arn.startswith("arn:aws:states:us-east-1:123456789012:mapRun:machine/Each:")
        assert sorted(cloud.objects) == [
            "items",
            f"{at}FAILED_0.json",
            f"{at}SUCCEEDED_0.json",
            f"{at}manifest.json",
        ]
        assert json.loads(cloud.objects[f"{at}manifest.json"]) == {
            "DestinationBucket": "results",
            "MapRunArn": map_run.arn,
            "ResultFiles": {
                "FAILED": [{"Key": f"{at}FAILED_0.json", "Size": len(cloud.objects[f"{at}FAILED_0.json"])}],
                "PENDING": [],
                "SUCCEEDED": [{"Key": f"{at}SUCCEEDED_0.json", "Size": 5}],
            },
        }
        assert cloud.objects[f"{at}SUCCEEDED_0.json"] == b"[1,3]"
        (row,) = failed_rows(cloud, execution)
        assert (row["Status"], row["Error"], row["Cause"], row["Input"]) == ("FAILED", "Bad", "item 2", "2")
        assert "Output" not in row

    @pytest.mark.parametrize(
        ("transformation", "output_type", "expected"),
        [
            ("COMPACT", "JSON", b'[[1,2],{"a":"\xc3\xa9"}]'),
            ("COMPACT", "JSONL", b'[1,2]\n{"a":"\xc3\xa9"}\n'),
            ("FLATTEN", "JSON", b'[1,2,{"a":"\xc3\xa9"}]'),
            ("FLATTEN", "JSONL", b'1\n2\n{"a":"\xc3\xa9"}\n'),
        ],
    )
    def test_transformations(self, transformation: str, output_type: str, expected: bytes) -> None:
        cloud = over([[1, 2], {"a": "é"}])
        execution = run({"A": mapped(ResultWriter=writer(transformation, output_type))}, 0, cloud)
        assert cloud.objects[folder(execution) + "SUCCEEDED_0.json"] == expected

    def test_none_keeps_the_metadata(self) -> None:
        cloud = over([[1, 2]], takes(2.5, {"b": None}))
        execution = run({"A": mapped(ResultWriter=writer("NONE"))}, 0, cloud)
        (row,) = json.loads(cloud.objects[folder(execution) + "SUCCEEDED_0.json"])
        assert row.pop("ExecutionArn").startswith(
            "arn:aws:states:us-east-1:123456789012:express:machine/Each:"
        )
        assert len(row.pop("Name")) == 36
        assert row == {
            "Input": "[1,2]",
            "InputDetails": {"Included": True},
            "Output": '{"b":null}',
            "OutputDetails": {"Included": True},
            "RedriveCount": 0,
            "RedriveStatus": "NOT_REDRIVABLE",
            "RedriveStatusReason": "Execution is SUCCEEDED and cannot be redriven",
            "StartDate": "2026-01-01T00:00:00.000Z",
            "StateMachineArn": "arn:aws:states:us-east-1:123456789012:stateMachine:machine/Each",
            "Status": "SUCCEEDED",
            "StopDate": "2026-01-01T00:00:02.500Z",
        }

    def test_rows_lie_in_the_order_of_the_items(self) -> None:
        cloud = over([3, 1, 2], lambda seconds: takes(seconds, seconds)(0))
        execution = run({"A": mapped(ResultWriter=writer())}, 0, cloud)
        assert cloud.objects[folder(execution) + "SUCCEEDED_0.json"] == b"[3,1,2]"

    @pytest.mark.parametrize(
        ("config", "expected"),
        [
            (None, [[1], [2]]),
            ({"Transformation": "COMPACT"}, [[1], [2]]),
            ({"Transformation": "FLATTEN"}, [1, 2]),
        ],
    )
    def test_without_a_bucket_the_results_are_the_output(self, config: JSON, expected: JSON) -> None:
        more = {} if config is None else {"ResultWriter": {"WriterConfig": config}}
        assert run({"A": mapped(**more)}, 0, over([[1], [2]])).output == expected

    def test_without_a_bucket_failed_children_keep_their_metadata(self) -> None:
        execution = run({"A": mapped(ToleratedFailureCount=1)}, 0, over([1, 2], failing(1)))
        failed, succeeded = execution.output
        assert (failed["Status"], failed["Error"], succeeded) == ("FAILED", "Bad", 2)

    def test_without_a_bucket_the_output_is_limited(self) -> None:
        catch = [{"ErrorEquals": ["States.ALL"], "Next": "B"}]
        states = {"A": mapped(Catch=catch), "B": END}
        assert run(states, 0, over(["x" * 100_000] * 2)).status == "SUCCEEDED"
        assert run(states, 0, over(["x" * 100_000] * 3)).error == "States.DataLimitExceeded"

    def test_files_are_cut_at_their_limit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(result_writer, "MAX_FILE_BYTES", 12)
        cloud = over([1111, 2222, 3333, 4444, 555555555555555])
        execution = run({"A": mapped(ResultWriter=writer())}, 0, cloud)
        bodies = [cloud.objects[f"{folder(execution)}SUCCEEDED_{number}.json"] for number in range(3)]
        assert bodies == [b"[1111,2222]", b"[3333,4444]", b"[555555555555555]"]
        manifest = json.loads(cloud.objects[f"{folder(execution)}manifest.json"])
        assert len(manifest["ResultFiles"]["SUCCEEDED"]) == 3

    def test_writing_that_fails(self) -> None:
        execution = run({"A": mapped(ResultWriter=writer(bucket="forbidden"))}, 0, over([1]))
        assert execution.error == "States.ResultWriterFailed"
        assert "S3.AccessDenied" in str(execution.cause)
        assert execution.map_runs[0].status == "FAILED"

    def test_no_items(self) -> None:
        execution = run({"A": mapped(ResultWriter=writer())}, 0, cloud := over([]))
        manifest = json.loads(cloud.objects[folder(execution) + "manifest.json"])
        assert manifest["ResultFiles"] == {"FAILED": [], "PENDING": [], "SUCCEEDED": []}
        assert (execution.map_runs[0].status, execution.map_runs[0].total) == ("SUCCEEDED", 0)
        assert run({"A": mapped()}, 0, over([])).output == []


def test_history_of_a_map() -> None:
    execution = run({"A": mapped()}, 0, over([1]))
    assert event_types(execution) == [
        "ExecutionStarted", "MapStateEntered", "MapStateStarted", "MapRunStarted",
        "MapRunSucceeded", "MapStateSucceeded", "MapStateExited", "ExecutionSucceeded",
    ]  # fmt: skip
    started = execution.history[3].described()["mapRunStartedEventDetails"]
    assert started == {"mapRunArn": execution.map_runs[0].arn}


def test_stop_aborts_map_run_and_children() -> None:
    async def stop_later(execution: Execution) -> None:
        await asyncio.sleep(3)
        assert counts(execution.map_runs[0]) == {"running": 2, "succeeded": 1, "pending": 1, "total": 4}
        execution.stop()

    cloud = over([1, 60, 60, 60], lambda seconds: takes(seconds)(0))
    execution = run({"A": mapped(MaxConcurrency=2)}, 0, cloud, then=stop_later)
    map_run = execution.map_runs[0]
    assert (execution.status, map_run.status, cloud.running) == ("ABORTED", "ABORTED", 0)
    assert counts(map_run) == {"succeeded": 1, "aborted": 2, "pending": 1, "total": 4}
    assert (map_run.start_date, map_run.stop_date) == (execution.start_date, execution.stop_date)
    assert event_types(execution)[-3:] == ["MapRunAborted", "MapStateAborted", "ExecutionAborted"]


def test_the_machines_time_limit_aborts_a_map_run() -> None:
    execution = run({"A": mapped()}, 0, over([1], takes(100)), top={"TimeoutSeconds": 9})
    assert (execution.status, execution.map_runs[0].status) == ("TIMED_OUT", "ABORTED")


def test_the_observer_sees_every_child_end() -> None:
    told: list[Any] = []

    class Notes(Observer):
        def map_run_started(self, map_run: MapRun) -> None:
            told.append(map_run.total)

        def child_ended(self, map_run: MapRun, child: Child) -> None:
            told.append(
                (child.index, child.status, child.error, child.output, map_run.execution_counts["running"])
            )

    state = mapped(ToleratedFailureCount=1, MaxConcurrency=1)
    run({"A": state}, 0, over(["a", "b"], failing("b")), observer=Notes())
    assert told == [2, (0, "SUCCEEDED", None, "a", 0), (1, "FAILED", "Bad", None, 0)]


def test_the_same_seed_is_the_same_run() -> None:
    first, second = (run({"A": mapped(ResultWriter=writer())}, 0, over([1, 2])) for _ in range(2))
    assert first.output == second.output
    assert [event.described() for event in first.history] == [event.described() for event in second.history]
