"""A job whose execution failed or was stopped, and was redriven: it ends as if nothing had happened."""

import asyncio
import json
import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from fake_model import FakeModel
from fanwise_local.clock import Clock, run_virtual
from fanwise_local.events import execution_status_event
from fanwise_local.states.errors import StatesError
from fanwise_local.states.executions import Execution, StateMachine
from fanwise_local.states.payloads import JSON
from jobs import DEFINITION, MACHINE, JobCloud, JobResults, Stop

ITEMS, BATCH_SIZE = 17, 3
POISON, BROKEN = 4, 12  # one kills its process, one is a dead letter
# Times; and which invocation is cold depends on which is first, here.
TIMES = {
    "started_at",
    "ended_at",
    "duration_s",
    "items_per_s",
    "latency_ms",
    "billed_gb_s",
    "cost_usd",
    "duration_parts_s",
    "cold_starts",
    "digests",  # of files that hold such times
    "root",
}


def job(cloud: JobCloud) -> JSON:
    orders = {POISON: "die", BROKEN: "NotFound"}
    lines = (json.dumps({"inputs": {"x": i, "order": orders.get(i, "")}}) for i in range(ITEMS))
    uri = cloud.put_items("items.jsonl", "\n".join(lines).encode())
    return cloud.start({"items": uri, "batch_size": BATCH_SIZE, "max_concurrency": 2})


def run(
    cloud: JobCloud,
    *,
    stop: Stop | None = None,
    mend: Callable[[], None] = lambda: None,
    closed: bool = False,
    timeout_s: float | None = DEFINITION.timeout_s,
) -> Execution:
    """Runs the job; as often as it does not end well, has it accounted for if `closed`, and redrives it."""
    start = job(cloud)

    async def main() -> Execution:
        machine = StateMachine(
            replace(DEFINITION, timeout_s=timeout_s),
            arn=MACHINE,
            services=cloud,
            clock=Clock(),
            observer=stop,
            random=random.Random(1),
        )
        execution = machine.start_execution(start, "first")
        if stop is not None:
            cloud.after_each = lambda: stop.count(execution)
        await execution.wait()
        cloud.after_each = lambda: None
        for _ in range(20):
            if execution.status == "SUCCEEDED":
                break
            if closed:
                await machine.start_execution(execution_status_event(execution, MACHINE), "closing").wait()
                cloud.events.clear()
                cloud.messages.clear()
            mend()
            await asyncio.sleep(3600)
            machine.redrive_execution(execution.arn)
            await execution.wait()
        return execution

    execution = run_virtual(main())
    cloud.close()
    return execution


def check_undisturbed(cloud: JobCloud, execution: Execution, expected: JobResults) -> None:
    """All that a job leaves is what it leaves when nothing happens, and nothing was done twice."""
    assert (execution.status, execution.error, execution.cause) == ("SUCCEEDED", None, None)
    results = JobResults.of(cloud, execution.output["job_id"])
    for folder in ("predictions/", "failures/"):
        assert results.text(folder) == expected.text(folder)
    summaries = [{k: v for k, v in each.summary.items() if k not in TIMES} for each in (results, expected)]
    assert summaries[0] == summaries[1]
    assert results.exists("_SUCCESS")
    assert cloud.decided_before == []
    (event,) = cloud.events
    assert event["Detail"]["items"] == expected.summary["items"]
    assert len(cloud.messages) == 1


def undisturbed() -> JobResults:
    cloud = JobCloud(model=FakeModel(2))
    execution = run(cloud)
    results = JobResults.of(cloud, execution.output["job_id"])
    assert results.failures.keys() == {POISON, BROKEN}
    check_undisturbed(cloud, execution, results)
    return results


@pytest.fixture(scope="module")
def expected() -> JobResults:
    return undisturbed()


def break_once(cloud: JobCloud, name: str, *, after_work: bool) -> Callable[[], None]:
    """Has a function fail as no retry helps, before or after its work, until what is returned is called."""
    functions = cloud._functions

    def broken(payload: JSON) -> JSON:
        if after_work:
            functions()[name](payload)
        raise StatesError("Lambda.AccessDeniedException", "not authorized to perform: InvokeFunction")

    def mend() -> None:
        del cloud._functions

    cloud._functions = lambda: {**functions(), name: broken}  # type: ignore[method-assign]
    return mend


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("after_work", [False, True])
@pytest.mark.parametrize("name", ["PlanJob", "AggregateResults"])
def test_a_function_that_failed(name: str, after_work: bool, closed: bool, expected: JobResults) -> None:
    cloud = JobCloud(model=FakeModel(2))
    execution = run(cloud, mend=break_once(cloud, name, after_work=after_work), closed=closed)
    assert execution.redrive_count == 1
    check_undisturbed(cloud, execution, expected)


@pytest.mark.parametrize("closed", [False, True])
def test_stopped_at_any_moment(closed: bool, expected: JobResults) -> None:
    in_map = 0
    for moment in range(1, 1000):
        cloud = JobCloud(model=FakeModel(2))
        execution = run(cloud, stop=Stop(moment), closed=closed)
        if execution.redrive_count == 0:
            break
        in_map += any(map_run.redrive_count for map_run in execution.map_runs)
        check_undisturbed(cloud, execution, expected)
    assert in_map > 5
    assert moment > 20


def test_out_of_time_again_and_again(expected: JobResults) -> None:
    cloud = JobCloud(model=FakeModel(2))
    execution = run(cloud, timeout_s=1.1)
    assert execution.redrive_count > 3
    assert any(map_run.redrive_count > 1 for map_run in execution.map_runs)
    check_undisturbed(cloud, execution, expected)
