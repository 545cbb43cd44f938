"""Redrive: an execution goes on from the state that it did not get out of."""

import asyncio
import gc
import json
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from fanwise_local.clock import Clock, run_virtual
from fanwise_local.states import distributed_map
from fanwise_local.states import execution as executions
from fanwise_local.states import history as histories
from fanwise_local.states.definition import parse_definition
from fanwise_local.states.errors import ExecutionDoesNotExist, ExecutionNotRedrivable, StatesError
from fanwise_local.states.executions import Execution, StateMachine
from fanwise_local.states.map_children import Children
from fanwise_local.states.observer import Observer
from fanwise_local.states.payloads import JSON
from fanwise_local.states.run import Run

from .machines import ARN, Cloud, event_types, fails, machine_text, takes, task
from .test_states_distributed_map import UNTOLERATED, counts, mapped, writer

DAY_S = 24 * 3600
END: dict[str, Any] = {"Type": "Pass", "End": True}
Then = Callable[[StateMachine, Execution], Awaitable[None]]


def run(
    states: Mapping[str, Any],
    state_input: JSON,
    cloud: Cloud,
    then: Then,
    *,
    observer: Observer | None = None,
    **top: JSON,
) -> Execution:
    """Starts an execution and leaves the rest to `then`, in virtual time."""

    async def main() -> Execution:
        machine = StateMachine(
            parse_definition(machine_text(states, **top)),
            arn=ARN,
            services=cloud,
            clock=Clock(),
            observer=observer,
            random=random.Random(7),
        )
        execution = machine.start_execution(state_input)
        await then(machine, execution)
        return execution

    return run_virtual(main())


async def redriven(machine: StateMachine, execution: Execution) -> None:
    """Waits for the end, redrives, and waits again."""
    await execution.wait()
    assert machine.redrive_execution(execution.arn) is execution
    assert execution.status == "RUNNING"
    await execution.wait()


def after_stop(seconds: float) -> Then:
    async def then(machine: StateMachine, execution: Execution) -> None:
        await asyncio.sleep(seconds)
        execution.stop("Mine", "enough")
        await redriven(machine, execution)

    return then


def since_redrive(execution: Execution) -> list[str]:
    types = event_types(execution)
    return types[len(types) - types[::-1].index("ExecutionRedriven") - 1 :]


class Work:
    """A function that gives its item back, but for those that are to fail first: as often as they are named."""

    def __init__(self) -> None:
        self.bad: list[JSON] = []

    def fail_once(self, *items: JSON) -> None:
        self.bad += items

    def __call__(self, payload: JSON) -> JSON:
        if payload in self.bad:
            self.bad.remove(payload)
            raise StatesError("Bad", f"item {payload}")
        return payload


def over(items: list[JSON]) -> tuple[Cloud, Work]:
    work = Work()
    body = b"".join(json.dumps(item).encode() + b"\n" for item in items)
    return Cloud({"work": work}, {"items": body}), work


class TestWhereItGoesOn:
    def test_a_task_that_failed_runs_again_with_its_input_and_variables(self) -> None:
        states = {
            "First": task(
                Assign={"kept": "{% $states.input.n * 2 %}"}, Output={"from": "first"}, Next="Second"
            ),
            "Second": task(
                Arguments={"FunctionName": "second", "Payload": ["{% $states.input %}", "{% $kept %}"]}
            ),
        }
        cloud = Cloud({"work": fails(), "second": fails("Bad", answer="well")})
        execution = run(states, {"n": 4}, cloud, redriven)
        assert (execution.status, execution.output["Payload"]) == ("SUCCEEDED", "well")
        assert (execution.error, execution.cause) == (None, None)
        assert cloud.named("work") == [{"n": 4}]
        assert cloud.named("second") == [[{"from": "first"}, 8]] * 2
        assert since_redrive(execution) == [
            "ExecutionRedriven", "TaskScheduled", "TaskStarted", "TaskSucceeded", "TaskStateExited",
            "ExecutionSucceeded",
        ]  # fmt: skip
        assert [event.id for event in execution.history] == list(range(1, len(execution.history) + 1))
        event = next(event for event in execution.history if event.type == "ExecutionRedriven")
        assert event.described()["executionRedrivenEventDetails"] == {"redriveCount": 1}

    def test_variables_of_a_state_that_did_not_end_are_not_set(self) -> None:
        states = {
            "First": {"Type": "Pass", "Assign": {"count": 1}, "Next": "Second"},
            "Second": task(
                Assign={"count": "{% $count + 1 %}"}, Output="{% $states.result.Payload.ok %}", Next="Show"
            ),
            "Show": {"Type": "Pass", "Output": "{% $count %}", "End": True},
        }
        answers = [{}, {"ok": True}]
        execution = run(states, 0, Cloud({"work": lambda _: answers.pop(0)}), redriven)
        assert execution.output == 2

    def test_context_says_how_often_and_when(self) -> None:
        arguments = {"FunctionName": "work", "Payload": "{% $states.context %}"}
        cloud = Cloud({"work": fails("Bad", "Bad")})

        async def twice(machine: StateMachine, execution: Execution) -> None:
            for count in (1, 2):
                await execution.wait()
                await asyncio.sleep(60)
                machine.redrive_execution(execution.arn)
                assert (execution.redrive_count, execution.stop_date) == (count, None)
            await execution.wait()

        execution = run({"A": task(Arguments=arguments)}, 0, cloud, twice)
        seen = [context["Execution"] for context in cloud.named("work")]
        assert [context["RedriveCount"] for context in seen] == [0, 1, 2]
        assert [context.get("RedriveTime") for context in seen] == [
            None,
            "2026-01-01T00:01:00.000Z",
            "2026-01-01T00:02:00.000Z",
        ]
        assert execution.redrive_date == execution.start_date + 120
        entered = {context["State"]["EnteredTime"] for context in cloud.named("work")}
        assert entered == {"2026-01-01T00:00:00.000Z"}
        assert execution.status == "SUCCEEDED"

    def test_retries_are_counted_anew(self) -> None:
        retry = [{"ErrorEquals": ["Bad"], "MaxAttempts": 2, "IntervalSeconds": 1, "BackoffRate": 1}]
        arguments = {"FunctionName": "work", "Payload": "{% $states.context.State.RetryCount %}"}
        cloud = Cloud({"work": fails(*["Bad"] * 5)})
        execution = run({"A": task(Retry=retry, Arguments=arguments)}, 0, cloud, redriven)
        assert (execution.status, cloud.named("work")) == ("SUCCEEDED", [0, 1, 2, 0, 1, 2])

    def test_a_choice_is_evaluated_again_and_fails_again(self) -> None:
        states = {"A": {"Type": "Choice", "Choices": [{"Condition": False, "Next": "B"}]}, "B": END}
        execution = run(states, 0, Cloud(), redriven)
        assert (execution.error, execution.redrive_count) == ("States.NoChoiceMatched", 1)
        assert since_redrive(execution) == ["ExecutionRedriven", "ExecutionFailed"]

    def test_a_fail_state_is_entered_again_and_fails_again(self) -> None:
        """Which is why a Catch that leads to one loses the redrive of what it caught."""
        states = {
            "A": task(Catch=[{"ErrorEquals": ["States.ALL"], "Next": "B"}]),
            "B": {"Type": "Fail", "Error": "Mine", "Cause": "{% $states.input.Error %}"},
        }
        cloud = Cloud({"work": fails("Bad")})
        execution = run(states, 0, cloud, redriven)
        assert (execution.error, execution.cause, len(cloud.calls)) == ("Mine", "Bad", 1)
        assert since_redrive(execution) == ["ExecutionRedriven", "FailStateEntered", "ExecutionFailed"]

    def test_an_expression_that_failed_in_output_runs_its_task_again(self) -> None:
        answers = [{}, {"ok": "yes"}]
        cloud = Cloud({"work": lambda _: answers.pop(0)})
        execution = run({"A": task(Output="{% $states.result.Payload.ok %}")}, 0, cloud, redriven)
        assert (execution.output, len(cloud.calls)) == ("yes", 2)

    def test_a_wait_that_was_stopped_waits_again(self) -> None:
        execution = run({"A": {"Type": "Wait", "Seconds": 100, "End": True}}, 0, Cloud(), after_stop(60))
        assert execution.status == "SUCCEEDED"
        assert (execution.stop_date or 0) - execution.start_date == 160

    def test_a_wait_until_a_time_that_is_past_ends_at_once(self) -> None:
        states = {"A": {"Type": "Wait", "Timestamp": "2026-01-01T00:01:00Z", "End": True}}

        async def then(machine: StateMachine, execution: Execution) -> None:
            await asyncio.sleep(10)
            execution.stop()
            await asyncio.sleep(DAY_S)
            await redriven(machine, execution)

        execution = run(states, 0, Cloud(), then)
        assert (execution.stop_date or 0) - execution.start_date == 10 + DAY_S

    def test_a_stopped_task_is_called_again(self) -> None:
        cloud = Cloud({"work": takes(100, "done")})
        execution = run({"A": task()}, 0, cloud, after_stop(60))
        assert (execution.status, execution.output["Payload"]) == ("SUCCEEDED", "done")
        assert (len(cloud.calls), cloud.running) == (2, 0)

    def test_the_time_of_the_machine_begins_anew(self) -> None:
        cloud = Cloud({"first": takes(40), "second": takes(90)})
        states = {
            "A": task(Arguments={"FunctionName": "first"}, Next="B"),
            "B": task(Arguments={"FunctionName": "second"}),
        }
        execution = run(states, 0, cloud, redriven, TimeoutSeconds=100)
        assert [type_ for type_ in event_types(execution) if type_.startswith("Execution")] == [
            "ExecutionStarted",
            "ExecutionTimedOut",
            "ExecutionRedriven",
            "ExecutionSucceeded",
        ]
        assert (execution.stop_date or 0) - execution.start_date == 100 + 90
        assert [name for name, _ in cloud.calls] == ["first", "second", "second"]

    def test_stopped_before_its_first_state_it_starts_at_the_beginning(self) -> None:
        async def then(machine: StateMachine, execution: Execution) -> None:
            execution.stop()
            await redriven(machine, execution)

        cloud = Cloud({"work": fails(answer="done")})
        execution = run({"A": task()}, {"n": 1}, cloud, then)
        assert (execution.status, cloud.calls) == ("SUCCEEDED", [("work", {"n": 1})])
        assert event_types(execution)[:4] == [
            "ExecutionStarted",
            "ExecutionAborted",
            "ExecutionRedriven",
            "TaskStateEntered",
        ]

    def test_stopped_between_states_that_only_compute_it_goes_on_where_it_was(self) -> None:
        """There is rest for others every so many states; a stop may come there."""
        states = {
            "Count": {"Type": "Pass", "Assign": {"n": "{% $states.input %}"}, "Next": "More"},
            "More": {
                "Type": "Choice",
                "Choices": [{"Condition": "{% $n < 500 %}", "Output": "{% $n + 1 %}", "Next": "Count"}],
                "Default": "Show",
            },
            "Show": {"Type": "Pass", "Output": "{% $n %}", "End": True},
        }

        async def then(machine: StateMachine, execution: Execution) -> None:
            await asyncio.sleep(0)
            execution.stop()
            await execution.wait()
            assert execution.status == "ABORTED"
            assert len(execution.history) > 100
            machine.redrive_execution(execution.arn)
            await execution.wait()

        execution = run(states, 0, Cloud(), then)
        assert (execution.status, execution.output) == ("SUCCEEDED", 500)
        entered = [event for event in execution.history if event.type == "PassStateEntered"]
        assert len(entered) == 502

    def test_stopped_again_while_it_is_redriven(self) -> None:
        cloud = Cloud({"work": takes(100)})

        async def then(machine: StateMachine, execution: Execution) -> None:
            for _ in range(2):
                await asyncio.sleep(10)
                execution.stop("Mine")
                await execution.wait()
                assert (execution.status, execution.error) == ("ABORTED", "Mine")
                machine.redrive_execution(execution.arn)
                assert execution.error is None
            await execution.wait()

        execution = run({"A": task()}, 0, cloud, then)
        assert (execution.status, execution.redrive_count, len(cloud.calls)) == ("SUCCEEDED", 2, 3)

    def test_the_observer_is_told_and_may_redrive_at_once(self) -> None:
        told: list[Any] = []

        class Notes(Observer):
            def state_entered(self, execution: Execution, state_name: str, state_input: JSON) -> None:
                told.append(state_name)

            def execution_ended(self, execution: Execution) -> None:
                told.append(execution.status)
                if execution.status == "FAILED":
                    machines[0].redrive_execution(execution.arn)

        machines: list[StateMachine] = []

        async def then(machine: StateMachine, execution: Execution) -> None:
            machines.append(machine)
            while execution.status != "SUCCEEDED":
                await asyncio.sleep(1)

        run({"A": task()}, 0, Cloud({"work": fails("Bad")}), then, observer=Notes())
        assert told == ["A", "FAILED", "A", "SUCCEEDED"]


class TestRefusals:
    def refuse(self, machine: StateMachine, execution: Execution, reason: str) -> None:
        assert execution.not_redrivable == reason
        before = len(execution.history)
        with pytest.raises(ExecutionNotRedrivable, match=reason):
            machine.redrive_execution(execution.arn)
        assert (len(execution.history), execution.redrive_count) == (before, 0)

    def test_while_it_runs_and_after_it_succeeded(self) -> None:
        async def then(machine: StateMachine, execution: Execution) -> None:
            self.refuse(machine, execution, "Execution is RUNNING and cannot be redriven")
            await execution.wait()
            self.refuse(machine, execution, "Execution is SUCCEEDED and cannot be redriven")

        run({"A": END}, 0, Cloud(), then)

    def test_one_that_does_not_exist(self) -> None:
        async def then(machine: StateMachine, execution: Execution) -> None:
            await execution.wait()
            with pytest.raises(ExecutionDoesNotExist, match=":nobody does not exist"):
                machine.redrive_execution(execution.arn.rpartition(":")[0] + ":nobody")

        run({"A": END}, 0, Cloud(), then)

    @pytest.mark.parametrize(
        ("days", "reason"), [(13.9, None), (14.1, "Execution redrivable period exceeded")]
    )
    def test_fourteen_days(self, days: float, reason: str | None) -> None:
        async def then(machine: StateMachine, execution: Execution) -> None:
            await execution.wait()
            await asyncio.sleep(days * DAY_S)
            if reason is None:
                await redriven(machine, execution)
            else:
                self.refuse(machine, execution, reason)

        run({"A": task()}, 0, Cloud({"work": fails("Bad")}), then)

    def test_a_year_in_all(self) -> None:
        async def then(machine: StateMachine, execution: Execution) -> None:
            await execution.wait()
            with pytest.raises(ExecutionNotRedrivable, match="exceeded the max execution time"):
                for _ in range(40):
                    await asyncio.sleep(10 * DAY_S)
                    await redriven(machine, execution)
            assert execution.redrive_count == 36

        run({"A": {"Type": "Fail", "Error": "Mine"}}, 0, Cloud(), then)

    def test_a_history_that_has_no_room(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(histories, "MAX_EVENTS", 10)
        monkeypatch.setattr(executions, "MAX_EVENTS", 10)

        async def then(machine: StateMachine, execution: Execution) -> None:
            await execution.wait()  # 5 events; each redrive has one more, and the event that ends it
            for count in (7, 9):
                machine.redrive_execution(execution.arn)
                await execution.wait()
                assert len(execution.history) == count
            with pytest.raises(ExecutionNotRedrivable, match="history event limit exceeded"):
                machine.redrive_execution(execution.arn)

        states = {
            "A": {"Type": "Pass", "Next": "B"},
            "B": {"Type": "Choice", "Choices": [{"Condition": False, "Next": "A"}]},
        }
        run(states, 0, Cloud(), then)

    def test_a_client_token_is_one_redrive(self) -> None:
        async def then(machine: StateMachine, execution: Execution) -> None:
            await execution.wait()
            for _ in range(2):
                machine.redrive_execution(execution.arn, "token")
            assert execution.redrive_count == 1
            await execution.wait()
            machine.redrive_execution(execution.arn, "token")  # heard late: it has ended again meanwhile
            assert (execution.status, execution.redrive_count) == ("FAILED", 1)
            machine.redrive_execution(execution.arn, "another")
            await execution.wait()
            await asyncio.sleep(15 * 60 + 1)
            machine.redrive_execution(execution.arn, "token")
            await execution.wait()

        execution = run({"A": task()}, 0, Cloud({"work": fails(*["Bad"] * 9)}), then)
        assert execution.redrive_count == 3


def alive(kind: type) -> int:
    gc.collect()
    return sum(type(thing) is kind for thing in gc.get_objects())


def test_variables_are_kept_as_long_as_a_redrive_may_need_them() -> None:
    before = alive(Run)

    async def then(machine: StateMachine, execution: Execution) -> None:
        await execution.wait()
        assert alive(Run) == before + 1
        await asyncio.sleep(14 * DAY_S + 10)
        assert alive(Run) == before
        other = machine.start_execution(1)
        await other.wait()
        assert (other.status, alive(Run)) == ("SUCCEEDED", before)

    run({"A": task()}, 0, Cloud({"work": fails("Bad")}), then)


class TestMap:
    """Children that succeeded are kept, all others run: of the same Map Run."""

    def test_failed_and_unstarted_children_run_and_results_are_whole(self) -> None:
        cloud, work = over([0, 1, 2, 3, 4])
        work.fail_once(2)
        execution = run({"A": mapped(MaxConcurrency=1)}, 0, cloud, redriven)
        assert (execution.status, execution.output) == ("SUCCEEDED", [0, 1, 2, 3, 4])
        assert cloud.named("work") == [0, 1, 2, 2, 3, 4]
        (map_run,) = execution.map_runs
        assert (map_run.status, map_run.redrive_count) == ("SUCCEEDED", 1)
        assert counts(map_run) == {"succeeded": 5, "total": 5}
        assert since_redrive(execution) == [
            "ExecutionRedriven", "MapRunRedriven", "MapRunSucceeded", "MapStateSucceeded", "MapStateExited",
            "ExecutionSucceeded",
        ]  # fmt: skip
        event = next(event for event in execution.history if event.type == "MapRunRedriven")
        assert event.described()["mapRunRedrivenEventDetails"] == {
            "mapRunArn": map_run.arn,
            "redriveCount": 1,
        }

    def test_the_result_files_hold_all_children(self) -> None:
        cloud, work = over([0, 1, 2, 3])
        work.fail_once(1, 3)
        state = mapped(MaxConcurrency=1, ToleratedFailureCount=1, ResultWriter=writer())
        execution = run({"A": state}, 0, cloud, redriven)
        at = f"jobs/j/{execution.map_runs[0].arn.rpartition(':')[2]}/"
        manifest = json.loads(cloud.objects[f"{at}manifest.json"])["ResultFiles"]
        assert [len(manifest[name]) for name in ("SUCCEEDED", "FAILED", "PENDING")] == [1, 0, 0]
        assert json.loads(cloud.objects[f"{at}SUCCEEDED_0.json"]) == [0, 1, 2, 3]
        assert execution.output["MapRunArn"] == execution.map_runs[0].arn
        assert counts(execution.map_runs[0]) == {"succeeded": 4, "total": 4, "resultsWritten": 4}

    def test_a_child_has_its_name_and_its_input_again(self) -> None:
        inner = {
            "Work": task(Arguments={"FunctionName": "work", "Payload": "{% $states.context.Execution %}"})
        }
        seen: list[JSON] = []

        def work(context: JSON) -> JSON:
            seen.append(context)
            if len(seen) == 1:
                raise StatesError("Bad")
            return 0

        selector = {"item": "{% $states.context.Map.Item.Value %}", "drawn": "{% $uuid() %}"}
        state = mapped(inner, ItemSelector=selector)
        execution = run({"A": state}, 0, Cloud({"work": work}, {"items": b"7\n"}), redriven)
        first, second = seen
        assert (execution.status, first["Input"]["item"]) == ("SUCCEEDED", 7)
        assert [first[name] for name in ("Id", "Name", "Input", "RedriveCount")] == [
            second[name] for name in ("Id", "Name", "Input", "RedriveCount")
        ]

    def test_a_child_starts_at_its_first_state(self) -> None:
        """Express children are started, not redriven."""
        inner = {
            "One": task(Arguments={"FunctionName": "one", "Payload": 0}, Next="Two"),
            "Two": task(Arguments={"FunctionName": "two", "Payload": 0}),
        }
        cloud = Cloud({"one": fails(), "two": fails("Bad")}, {"items": b"7\n"})
        assert run({"A": mapped(inner)}, 0, cloud, redriven).status == "SUCCEEDED"
        assert [name for name, _ in cloud.calls] == ["one", "two", "one", "two"]

    def test_stopped_in_the_middle(self) -> None:
        async def slow(payload: JSON) -> JSON:
            await asyncio.sleep(payload)
            return payload

        cloud = Cloud({"work": slow}, {"items": b"1\n50\n2\n60\n4\n"})
        seen: list[dict[str, int]] = []

        async def then(machine: StateMachine, execution: Execution) -> None:
            await asyncio.sleep(10)
            execution.stop()
            await execution.wait()
            (map_run,) = execution.map_runs
            seen.append(counts(map_run))
            assert (map_run.status, map_run.stop_date) == ("ABORTED", execution.start_date + 10)
            machine.redrive_execution(execution.arn)
            await asyncio.sleep(0.5)
            assert (map_run.status, map_run.stop_date) == ("RUNNING", None)
            seen.append(counts(map_run))
            await asyncio.sleep(50)
            seen.append(counts(map_run))
            await execution.wait()

        execution = run({"A": mapped(MaxConcurrency=2)}, 0, cloud, then)
        assert execution.output == [1, 50, 2, 60, 4]
        assert [cloud.named("work").count(seconds) for seconds in (1, 50, 2, 60, 4)] == [1, 2, 1, 2, 1]
        assert seen == [
            {"succeeded": 2, "aborted": 2, "pending": 1, "total": 5},
            {"succeeded": 2, "running": 2, "pending": 1, "total": 5},
            {"succeeded": 3, "running": 2, "total": 5},
        ]
        assert counts(execution.map_runs[0]) == {"succeeded": 5, "total": 5}
        assert cloud.running == 0

    def test_children_wait_for_their_redrive_and_are_what_they_were_if_it_never_comes(self) -> None:
        async def work(payload: JSON) -> JSON:
            await asyncio.sleep(1)
            if tried.count(payload) < 2:
                tried.append(payload)
                raise StatesError("Bad")
            await asyncio.sleep(100)
            return payload

        tried: list[JSON] = []
        cloud = Cloud({"work": work}, {"items": b"0\n1\n2\n"})
        tried += [2, 2]  # the third hangs, and is aborted

        async def then(machine: StateMachine, execution: Execution) -> None:
            await execution.wait()
            (map_run,) = execution.map_runs
            assert counts(map_run) == {"failed": 2, "aborted": 1, "total": 3, "resultsWritten": 3}
            map_run.update(max_concurrency=1)
            machine.redrive_execution(execution.arn)
            await asyncio.sleep(0.5)
            assert counts(map_run) == {"running": 1, "pendingRedrive": 2, "total": 3, "resultsWritten": 3}
            assert map_run.execution_counts["failuresNotRedrivable"] == 0
            execution.stop()
            await execution.wait()
            assert counts(map_run) == {"failed": 1, "aborted": 2, "total": 3, "resultsWritten": 3}

        state = mapped(MaxConcurrency=3, ToleratedFailureCount=1, ResultWriter=writer())
        run({"A": state}, 0, cloud, then)

    def test_twice_and_failing_between(self) -> None:
        cloud, work = over([0, 1, 2, 3])
        work.fail_once(1, 1, 3)

        async def twice(machine: StateMachine, execution: Execution) -> None:
            for expected in (
                {"succeeded": 1, "failed": 1, "pending": 2, "total": 4},
                {"succeeded": 1, "failed": 1, "pending": 2, "total": 4},
                {"succeeded": 3, "failed": 1, "total": 4},
            ):
                await execution.wait()
                assert (execution.error, counts(execution.map_runs[0])) == (UNTOLERATED, expected)
                machine.redrive_execution(execution.arn)
            await execution.wait()

        execution = run({"A": mapped(MaxConcurrency=1)}, 0, cloud, twice)
        assert execution.output == [0, 1, 2, 3]
        assert cloud.named("work") == [0, 1, 1, 1, 2, 3, 3]
        assert (execution.redrive_count, execution.map_runs[0].redrive_count) == (3, 3)

    def test_tolerance_counts_what_fails_in_the_redrive(self) -> None:
        cloud, work = over(list(range(4)))
        work.fail_once(0, 1, 0)
        execution = run({"A": mapped(MaxConcurrency=1, ToleratedFailureCount=1)}, 0, cloud, redriven)
        assert (execution.status, cloud.named("work")) == ("SUCCEEDED", [0, 1, 0, 1, 2, 3])
        assert counts(execution.map_runs[0]) == {"succeeded": 3, "failed": 1, "total": 4}
        assert execution.output[0]["Error"] == "Bad"
        assert execution.output[1:] == [1, 2, 3]

    def test_a_child_that_timed_out_runs_again(self) -> None:
        answers = [301, 1]

        async def slow(payload: JSON) -> JSON:
            await asyncio.sleep(answers.pop(0))
            return payload

        execution = run({"A": mapped()}, 0, Cloud({"work": slow}, {"items": b"7\n"}), redriven)
        assert (execution.status, execution.output, answers) == ("SUCCEEDED", [7], [])

    def test_the_machine_timing_out_in_a_map(self) -> None:
        async def slow(payload: JSON) -> JSON:
            await asyncio.sleep(payload)
            return payload

        cloud = Cloud({"work": slow}, {"items": b"10\n40\n"})
        execution = run({"A": mapped(MaxConcurrency=1)}, 0, cloud, redriven, TimeoutSeconds=45)
        assert (execution.output, cloud.named("work")) == ([10, 40], [10, 40, 40])
        assert "ExecutionTimedOut" in event_types(execution)

    def test_items_that_could_not_be_read_begin_the_state_anew(self) -> None:
        cloud, _ = over([1, 2])
        body = cloud.objects.pop("items")

        async def then(machine: StateMachine, execution: Execution) -> None:
            await execution.wait()
            assert execution.error == "States.ItemReaderFailed"
            cloud.objects["items"] = body
            await redriven(machine, execution)

        execution = run({"A": mapped()}, 0, cloud, then)
        assert (execution.output, [map_run.status for map_run in execution.map_runs]) == (
            [1, 2],
            ["FAILED", "SUCCEEDED"],
        )
        assert since_redrive(execution)[1:3] == ["MapStateStarted", "MapRunStarted"]

    def test_items_are_those_that_were_read(self) -> None:
        cloud, work = over([1, 2])
        work.fail_once(2)

        async def then(machine: StateMachine, execution: Execution) -> None:
            await execution.wait()
            cloud.objects["items"] = b"8\n9\n"
            await redriven(machine, execution)

        assert run({"A": mapped()}, 0, cloud, then).output == [1, 2]

    def test_results_that_could_not_be_written_are_written_without_running_anything(self) -> None:
        cloud, _ = over([1, 2])
        refused = ["once"]
        put = cloud.put_object

        async def put_object(bucket: str, key: str, body: bytes) -> None:
            if refused:
                raise StatesError("S3.AccessDenied", refused.pop())
            await put(bucket, key, body)

        cloud.put_object = put_object  # type: ignore[method-assign]
        execution = run({"A": mapped(ResultWriter=writer())}, 0, cloud, redriven)
        assert "States.ResultWriterFailed" in [event.details.get("error") for event in execution.history]
        assert (execution.status, cloud.named("work")) == ("SUCCEEDED", [1, 2])
        assert sum(json.loads(body) == [1, 2] for key, body in cloud.objects.items() if "SUCC" in key) == 1

    def test_a_result_that_was_too_large_begins_a_new_run(self) -> None:
        lengths = [200_000, 200_000, 1, 1]
        cloud, _ = over([1, 2])
        cloud.functions = {"work": lambda _: "x" * lengths.pop(0)}
        execution = run({"A": mapped(MaxConcurrency=1)}, 0, cloud, redriven)
        assert (execution.output, len(execution.map_runs)) == (["x", "x"], 2)

    def test_a_selector_that_failed_begins_a_new_run(self) -> None:
        state = mapped(
            MaxConcurrency=1,
            ItemSelector="{% $states.context.Map.Item.Value.a %}",
            ToleratedFailurePercentage=100,
        )
        cloud, _ = over([{"a": 1}, {}])

        async def then(machine: StateMachine, execution: Execution) -> None:
            await execution.wait()
            assert execution.error == "States.QueryEvaluationError"
            cloud.objects["items"] = b'{"a": 1}\n{"a": 2}\n'
            await redriven(machine, execution)

        execution = run({"A": state}, 0, cloud, then)
        assert (execution.output, len(execution.map_runs)) == ([1, 2], 2)

    def test_a_run_that_succeeded_with_tolerated_failures_is_over(self) -> None:
        cloud, work = over([1, 2])
        work.fail_once(1)
        cloud.functions = {**cloud.functions, "after": fails("Bad")}
        states = {
            "A": mapped(ToleratedFailurePercentage=50, Next="B"),
            "B": task(Arguments={"FunctionName": "after", "Payload": "{% $states.input %}"}),
        }
        execution = run(states, 0, cloud, redriven)
        assert (execution.status, cloud.named("work")) == ("SUCCEEDED", [1, 2])
        assert (execution.map_runs[0].redrive_count, counts(execution.map_runs[0])["failed"]) == (0, 1)
        first, second = cloud.named("after")
        assert first == second

    def test_an_output_that_failed_after_a_run_succeeded_begins_a_new_run(self) -> None:
        outputs = [{}, {"a": 5}]
        cloud, _ = over([1])
        cloud.functions = {"work": lambda _: outputs.pop(0)}
        execution = run({"A": mapped(Output="{% $states.result[0].a %}")}, 0, cloud, redriven)
        assert (execution.output, [run.redrive_count for run in execution.map_runs]) == (5, [0, 0])

    def test_the_last_of_the_runs_that_retries_began_goes_on(self) -> None:
        cloud, work = over([1, 2])
        work.fail_once(2, 2, 2)
        state = mapped(MaxConcurrency=1, Retry=[{"ErrorEquals": [UNTOLERATED], "MaxAttempts": 1}])
        execution = run({"A": state}, 0, cloud, redriven)
        assert cloud.named("work") == [1, 2, 1, 2, 2, 1, 2]  # the redrive's own retry is a new run, too
        assert [run.redrive_count for run in execution.map_runs] == [0, 1, 0]

    def test_a_thousand_redrives_and_no_more(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(distributed_map, "MAX_REDRIVES", 2)
        cloud, work = over([1])
        work.fail_once(*[1] * 9)

        async def then(machine: StateMachine, execution: Execution) -> None:
            for _ in range(3):
                await redriven(machine, execution)

        execution = run({"A": mapped()}, 0, cloud, then)
        assert (execution.error, execution.map_runs[0].redrive_count) == ("States.Runtime", 2)
        assert "redriven 2 times already" in str(execution.cause)

    @pytest.mark.parametrize("ends", ["redriven", "caught", "forgotten"])
    def test_children_are_kept_only_while_the_run_may_be_redriven(self, ends: str) -> None:
        cloud, work = over([1, 2])
        work.fail_once(2)
        cloud.functions = {**cloud.functions, "after": takes(5)}
        before = alive(Children)
        state = mapped(Next="B")
        if ends == "caught":
            state["Catch"] = [{"ErrorEquals": ["States.ALL"], "Next": "B"}]

        async def then(machine: StateMachine, execution: Execution) -> None:
            await asyncio.sleep(1)
            if ends != "caught":
                assert (execution.status, alive(Children)) == ("FAILED", before + 1)
                await asyncio.sleep(14 * DAY_S if ends == "forgotten" else 0)
            if ends == "redriven":
                machine.redrive_execution(execution.arn)
                await asyncio.sleep(1)
                assert execution.status == "RUNNING"  # in B
            await asyncio.sleep(2)
            assert alive(Children) == before
            await execution.wait()

        run({"A": state, "B": task(Arguments={"FunctionName": "after", "Payload": 0})}, 0, cloud, then)


class TestUpdate:
    """UpdateMapRun, while it runs."""

    @pytest.mark.parametrize(("before", "after", "most"), [(2, 5, 5), (2, 0, 8), (5, 1, 5), (0, 3, 10)])
    def test_concurrency(self, before: int, after: int, most: int) -> None:
        cloud = Cloud({"work": takes(10)}, {"items": b"0\n" * 10})
        running: list[int] = []

        async def then(machine: StateMachine, execution: Execution) -> None:
            await asyncio.sleep(15)
            execution.map_runs[0].update(max_concurrency=after)
            await asyncio.sleep(10)
            running.append(cloud.running)
            await execution.wait()
            execution.map_runs[0].update(max_concurrency=9)  # over: nothing to be hired for

        execution = run({"A": mapped(MaxConcurrency=before)}, 0, cloud, then)
        assert (execution.status, len(cloud.calls), cloud.most_running) == ("SUCCEEDED", 10, most)
        assert all(number <= (after or 10_000) for number in running)

    @pytest.mark.parametrize(
        ("update", "status"),
        [
            ({"tolerated_failure_percentage": 50.0}, "SUCCEEDED"),
            ({"tolerated_failure_count": 2}, "SUCCEEDED"),
            ({"tolerated_failure_count": 1}, "FAILED"),
            ({}, "FAILED"),
        ],
    )
    def test_tolerance(self, update: dict[str, Any], status: str) -> None:
        async def work(payload: JSON) -> JSON:
            await asyncio.sleep(10)
            if payload < 2:
                raise StatesError("Bad")
            return payload

        async def then(machine: StateMachine, execution: Execution) -> None:
            await asyncio.sleep(1)
            execution.map_runs[0].update(**update)
            await execution.wait()

        cloud = Cloud({"work": work}, {"items": b"0\n1\n2\n3\n"})
        assert run({"A": mapped()}, 0, cloud, then).status == status

    def test_a_tolerance_that_is_exceeded_already_ends_the_run_with_the_next_child(self) -> None:
        async def work(payload: JSON) -> JSON:
            await asyncio.sleep(payload)
            if payload == 1:
                raise StatesError("Bad")
            return payload

        async def then(machine: StateMachine, execution: Execution) -> None:
            await asyncio.sleep(5)
            execution.map_runs[0].update(tolerated_failure_percentage=0)
            await execution.wait()
            assert execution.stop_date == execution.start_date + 10

        cloud = Cloud({"work": work}, {"items": b"1\n10\n20\n"})
        state = mapped(ToleratedFailurePercentage=100)
        assert run({"A": state}, 0, cloud, then).error == UNTOLERATED
