"""Fault plans over whole jobs on the virtual clock: each fault alone, and plans out of a seed."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from fanwise_local.faults.plan import FaultPlan, parse_plan
from fanwise_local.faults.random_plan import random_plan
from fanwise_local.faults.rules import KINDS
from fanwise_local.states.executions import Execution
from jobs import JobCloud, JobResults

ITEMS = 60  # in 30 entries, so that there is a probe


def plan_of(*rules: dict[str, Any], seed: int = 0) -> FaultPlan:
    return parse_plan(json.dumps({"seed": seed, "rules": rules}).encode(), "plan.json")


@contextmanager
def cloud_of(plan: FaultPlan) -> Iterator[JobCloud]:
    cloud = JobCloud(fault_plan=plan, seed=plan.seed)
    try:
        yield cloud
    finally:
        cloud.close()


def ran(cloud: JobCloud, items: int = ITEMS, batch_size: int = 2) -> Execution:
    lines = "".join(json.dumps({"inputs": {"x": x}}) + "\n" for x in range(items))
    uri = cloud.put_items("items.jsonl", lines.encode())
    return cloud.run(cloud.start({"items": uri, "batch_size": batch_size}))


def invoked(cloud: JobCloud) -> Counter[str]:
    return Counter(name for name, _ in cloud.calls)


def check(cloud: JobCloud, execution: Execution, items: int = ITEMS) -> JobResults:
    """Every item is accounted for once, and what is predicted is right."""
    results = JobResults.of(cloud, execution.output["job_id"])
    counts = results.summary["items"]
    assert counts["total"] == items
    assert (counts["predicted"], counts["dead_lettered"]) == (len(results.predictions), len(results.failures))
    assert counts["predicted"] + counts["dead_lettered"] + counts["missing"] == items
    assert not results.predictions.keys() & results.failures.keys()
    for index, row in results.predictions.items():
        assert row["prediction"] == {"y": 2.0 * index + 1}
    return results


def check_outlasted(cloud: JobCloud, execution: Execution, items: int = ITEMS) -> None:
    assert (execution.status, execution.cause) == ("SUCCEEDED", None)
    assert len(check(cloud, execution, items).predictions) == items


def test_a_full_disk_stops_the_job_at_once_and_a_resume_goes_on() -> None:
    rule = {"fault": "store_error", "operation": "write", "error": "disk full", "function": "PredictBatch"}
    with cloud_of(plan_of({**rule, "entry": "000003", "attempt": 1})) as cloud:
        stopped = ran(cloud)
        assert (stopped.error, invoked(cloud)["AggregateResults"]) == ("JobFailed", 1)
        assert str(stopped.cause).startswith("StoreFull: s3://results/")
        assert str(stopped.cause).endswith("No space left on device; free some space, then resume the job")
        job_id = json.loads(cloud.storage.read("s3://results/executions/first.json"))["job_id"]
        check_outlasted(cloud, cloud.run({"resume": job_id}, "second"))


@pytest.mark.parametrize(
    ("rule", "further"),
    [
        ({"fault": "throttle", "times": 2}, 2),
        ({"fault": "error", "error": "Lambda.ServiceException"}, 1),
        ({"fault": "delay", "seconds": 5}, 0),
        ({"fault": "drop_response"}, 1),
        ({"fault": "repeat_response"}, 0),
        ({"fault": "repeat_invocation"}, 0),
        ({"fault": "store_error", "operation": "read"}, 1),
        ({"fault": "slow_store", "seconds": 600}, 0),
        ({"fault": "truncate", "key": "*/items.jsonl"}, 1),
        ({"fault": "uncertain_create", "done": True}, 0),
        ({"fault": "uncertain_create", "done": False}, 1),
    ],
)
def test_what_a_retry_outlasts_costs_that_retry(rule: dict[str, Any], further: int) -> None:
    with cloud_of(plan_of({**rule, "function": "PredictBatch", "entry": "000003"})) as cloud:
        execution = ran(cloud)
        check_outlasted(cloud, execution)
        assert invoked(cloud)["PredictBatch"] == 1 + 30 + further
        assert execution.output["rounds"] == 1


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        ({"fault": "kill"}, "Runtime.ExitError"),
        ({"fault": "kill", "when": "between part and commit"}, "Runtime.ExitError"),
        ({"fault": "exceed_memory"}, "Runtime.OutOfMemory"),
        ({"fault": "exceed_time"}, "Sandbox.Timedout"),
        ({"fault": "write_late", "seconds": 1}, "Sandbox.Timedout"),
        ({"fault": "write_late", "seconds": 0}, "Sandbox.Timedout"),
    ],
)
def test_a_death_cuts_its_entry_and_costs_no_item(rule: dict[str, Any], error: str) -> None:
    with cloud_of(plan_of({**rule, "function": "PredictBatch", "entry": "000003"})) as cloud:
        execution = ran(cloud)
        check_outlasted(cloud, execution)
        assert invoked(cloud)["HandleFailure"] == 1
        (failed,) = (payload for name, payload in cloud.calls if name == "HandleFailure")
        assert failed["failure"]["Error"] == error


def test_a_death_after_the_commit_cuts_nothing() -> None:
    plan = plan_of(
        {"fault": "kill", "when": "after commit", "function": "PredictBatch", "entry": "00000[345]"}
    )
    with cloud_of(plan) as cloud:
        execution = ran(cloud)
        check_outlasted(cloud, execution)
        assert invoked(cloud)["HandleFailure"] == 3
        assert execution.output["rounds"] == 1
        assert execution.output["entries"]["cut"] == 0


def test_a_death_at_every_attempt_leaves_one_dead_letter_an_item() -> None:
    plan = plan_of({"fault": "kill", "function": "PredictBatch", "entry": "000003*", "times": None})
    with cloud_of(plan) as cloud:
        execution = ran(cloud)
        results = check(cloud, execution)
        assert sorted(results.failures) == [6, 7]
        assert {row["failure"]["error"] for row in results.failures.values()} == {"Runtime.ExitError"}


def test_one_that_writes_late_wins_where_nobody_was_there() -> None:
    """The commit comes before HandleFailure's, which then goes by it."""
    plan = plan_of(
        {"fault": "write_late", "seconds": 0, "function": "PredictBatch", "entry": "000003"},
        {"fault": "delay", "seconds": 30, "function": "HandleFailure"},
    )
    with cloud_of(plan) as cloud:
        execution = ran(cloud)
        check_outlasted(cloud, execution)
        assert execution.output["entries"]["cut"] == 0


@pytest.mark.parametrize("seed", range(40))
def test_a_plan_that_can_be_outlasted_is(seed: int) -> None:
    plan = random_plan(seed)
    with cloud_of(plan) as cloud:
        check_outlasted(cloud, ran(cloud))


@pytest.mark.parametrize("seed", range(40))
def test_under_any_plan_no_item_is_lost_or_counted_twice(seed: int) -> None:
    plan = random_plan(seed, outlasted=False)
    with cloud_of(plan) as cloud:
        execution = ran(cloud)
        assert execution.status in ("SUCCEEDED", "FAILED")
        if execution.status == "SUCCEEDED":
            check(cloud, execution)


def test_plans_out_of_a_seed_are_the_same_for_the_same_seed_and_have_every_fault() -> None:
    for outlasted in (True, False):
        plans = [random_plan(seed, outlasted=outlasted) for seed in range(300)]
        assert plans == [random_plan(seed, outlasted=outlasted) for seed in range(300)]
        assert len({plan.to_json() for plan in plans}) == 300
        kinds = {msgspec.to_builtins(rule)["fault"] for plan in plans for rule in plan.rules}
        left_out = {"exceed_memory", "exceed_time", "write_late"} if outlasted else set()
        assert kinds == KINDS.keys() - left_out


def test_plans_that_can_be_outlasted_leave_the_last_retry_alone() -> None:
    rules = [rule for seed in range(300) for rule in random_plan(seed).rules]
    assert max(rule.skip + (rule.times or 99) for rule in rules) == 4
