"""Jobs of every kind under the template's own roles: nothing is refused, nothing granted that nobody needs."""

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_model import REFERENCE, MendedModel
from fanwise_local.faults.plan import parse_plan
from fanwise_local.states.executions import Execution
from fanwise_local.template_resources import ROLE, RULE, SCHEDULE
from jobs import INPUT, MODELS, RESULTS, JobResults, Stop
from permissions import Grant, Permissions, matches, resources
from permitted_jobs import FURTHER, FURTHER_ITEMS, STATE_MACHINE, UNVERSIONED, PermittedJobs
from versions import VersionedBackend

# What the template grants and no test uses, and why it has to be there.
UNUSED = {
    # Step Functions' own calls for a Map Run; the interpreter makes none (iam-policies-eg-dist-map).
    (STATE_MACHINE, "states:StartExecution"): "starts the children of a Map Run",
    (STATE_MACHINE, "states:DescribeExecution"): "looks after the children of a Map Run",
    (STATE_MACHINE, "states:StopExecution"): "ends the children of a Map Run that was stopped",
    (STATE_MACHINE, "states:RedriveExecution"): "redrives the children of a Map Run",
    (STATE_MACHINE, "s3:GetObject"): "ResultWriter reads what it wrote",
    (STATE_MACHINE, "s3:ListMultipartUploadParts"): "ResultWriter writes large files in parts",
    (STATE_MACHINE, "s3:AbortMultipartUpload"): "ResultWriter writes large files in parts",
    # Made when the state machine is, and kept up by Step Functions (cw-logs).
    **{
        (STATE_MACHINE, f"logs:{action}"): "delivers the state machine's log"
        for action in (
            "CreateLogDelivery",
            "GetLogDelivery",
            "UpdateLogDelivery",
            "DeleteLogDelivery",
            "ListLogDeliveries",
            "PutResourcePolicy",
            "DescribeResourcePolicies",
            "DescribeLogGroups",
        )
    },
    ("ScheduleRole", "sqs:SendMessage"): "Scheduler's own way to its dead letters (configuring-schedule-dlq)",
}

Scenario = Callable[[PermittedJobs], None]
SCENARIOS: list[Scenario] = []


def scenario(function: Scenario) -> Scenario:
    """Jobs that are run with a stack of each runtime."""
    SCENARIOS.append(function)
    return function


@cache
def permissions_after(function: Scenario, runtime: Any) -> Permissions:
    """What the roles were used for."""
    permissions = Permissions(resources(FurtherItems=FURTHER_ITEMS))
    cloud = PermittedJobs(permissions=permissions, runtime=runtime)
    try:
        function(cloud)
    finally:
        cloud.close()
    return permissions


def put_items(cloud: PermittedJobs, *orders: str, bucket: str = INPUT, key: str = "items.jsonl") -> str:
    """An items file of so many items; what begins with a slash or `s3://` is the item's URI."""
    lines = [
        json.dumps({"uri": order} if "/" in order else {"inputs": {"x": i, "order": order}})
        for i, order in enumerate(orders)
    ]
    uri = f"s3://{bucket}/{key}"
    cloud.storage.write(uri, "\n".join(lines).encode())
    return uri


def results_of(cloud: PermittedJobs, execution: Execution) -> JobResults:
    output: Any = execution.output
    assert output is not None, (execution.error, execution.cause)
    return JobResults.of(cloud, output["job_id"])


def counts(results: JobResults) -> tuple[int, int, int]:
    items = results.summary["items"]
    return items["predicted"], items["dead_lettered"], items["missing"]


def errors(results: JobResults) -> dict[str, int]:
    found: dict[str, int] = results.summary["failures"]
    return found


@scenario
def a_manifest_whose_items_lie_in_all_buckets_that_may_be_read(cloud: PermittedJobs) -> None:
    for bucket, key in ((INPUT, "a/1"), (FURTHER, "some/1"), (UNVERSIONED, "1")):
        cloud.storage.write(f"s3://{bucket}/{key}", b"1")
    items = put_items(
        cloud, "s3://input/a/1", "s3://further/some/1", "s3://unversioned/1", "s3://input/a/nothing", "die"
    )
    cloud.storage.write(
        f"s3://{INPUT}/jobs/1.json", json.dumps({"items": items, "model": REFERENCE}).encode()
    )
    results = results_of(cloud, cloud.run({"manifest": f"s3://{INPUT}/jobs/1.json"}))
    assert counts(results) == (3, 2, 0)
    assert errors(results) == {"NotFound": 1, "Runtime.ExitError": 1}


@scenario
def manifests_and_items_files_in_further_buckets(cloud: PermittedJobs) -> None:
    for bucket, folder in ((FURTHER, "some/"), (UNVERSIONED, "")):
        put_items(cloud, "", "die", "", bucket=bucket, key=f"{folder}items.jsonl")
        manifest = {"items": "items.jsonl", "model": REFERENCE}
        uri = f"s3://{bucket}/{folder}job.json"
        cloud.storage.write(uri, json.dumps(manifest).encode())
        assert counts(results_of(cloud, cloud.run({"manifest": uri}, bucket))) == (2, 1, 0)


@scenario
def a_folder(cloud: PermittedJobs) -> None:
    for i in range(30):
        cloud.put_items(f"folder/{i:02}", b"die" if i == 20 else b"1")
    results = results_of(cloud, cloud.run(cloud.start({"items": f"s3://{INPUT}/folder/", "batch_size": 1})))
    assert counts(results) == (29, 1, 0)


@scenario
def a_csv(cloud: PermittedJobs) -> None:
    items = cloud.put_items("items.csv", b"id,x\na,1\nb,2,too many\nc,3\n")
    assert counts(results_of(cloud, cloud.run(cloud.start({"items": items})))) == (2, 1, 0)


@scenario
def a_job_that_is_started_twice_stopped_accounted_for_and_resumed(cloud: PermittedJobs) -> None:
    start = cloud.start({"items": put_items(cloud, *[""] * 20), "batch_size": 2, "max_concurrency": 1})
    stopped = cloud.run(start, stop=Stop(10))
    assert cloud.run(start, "second").output["duplicate"]
    cloud.hear_of(stopped)
    job_id = cloud.run({**start, "resume": True}, "third").output["job_id"]
    assert counts(JobResults.of(cloud, job_id)) == (20, 0, 0)
    assert cloud.run({"resume": job_id}, "fourth").status == "SUCCEEDED"


@scenario
def replays(cloud: PermittedJobs) -> None:
    model = cloud.model = cloud.kept.fake = MendedModel()
    first = cloud.run(cloud.start({"items": put_items(cloud, "", "NotFound", "die", "NotFound")}))
    job_id = results_of(cloud, first).job.job_id
    for name, mended in (("one", ("NotFound",)), ("two", ("NotFound", "die"))):
        model.mended = mended
        replay = cloud.run({"replay": job_id, "model": REFERENCE}, name)
        assert replay.status == "SUCCEEDED", replay.cause
    assert [replay["items"]["predicted"] for replay in JobResults.of(cloud, job_id).summary["replays"]] == [
        2,
        1,
    ]


@scenario
def a_job_with_faults_that_leave_orphans_and_failed_children(cloud: PermittedJobs) -> None:
    rules: list[dict[str, Any]] = [
        {"fault": "kill", "when": "between part and commit", "entry": "000001"},
        {"fault": "repeat_invocation", "entry": "000002"},
        {"fault": "throttle", "entry": "000003", "attempt": 1, "times": 7},
        {"fault": "uncertain_create", "key": "*/commits/*", "entry": "000004", "done": True},
    ]
    plan = {"rules": [{"function": "PredictBatch", **rule} for rule in rules]}
    cloud.fault_plan = parse_plan(json.dumps(plan).encode(), "plan")
    orders = ["", "", "", "", "", "NotFound", *[""] * 14]
    start = cloud.start({"items": put_items(cloud, *orders), "batch_size": 4})
    assert counts(results_of(cloud, cloud.run(start))) == (19, 1, 0)


@scenario
def a_job_whose_items_are_predicted_again(cloud: PermittedJobs) -> None:
    start = cloud.start({"items": put_items(cloud, "", "NotFound", ""), "recompute": 5})
    recomputed = results_of(cloud, cloud.run(start)).summary["recomputed"]
    assert (recomputed["items"], recomputed["agreed"]) == (2, 2)


@scenario
def a_job_that_fails_after_it_succeeded(cloud: PermittedJobs) -> None:
    start = cloud.start({"items": put_items(cloud, "", "die")})
    results = results_of(cloud, cloud.run(start))
    assert results.exists("_SUCCESS")
    for folder in ("commits/", "map-run/"):  # which holds the commits too
        for key in [info.key for info in cloud.storage.list(results.home + folder)]:
            cloud.storage.delete(f"s3://{RESULTS}/{key}")
    cloud.faults = cloud.waiting_faults = ["throttled"] * 500
    failed = cloud.run({**start, "resume": True}, "second")
    assert failed.status == "FAILED"
    assert not results.exists("_SUCCESS")


@scenario
def starts_that_cannot_be_planned(cloud: PermittedJobs) -> None:
    for name, start, words in (
        ("no-manifest", {"manifest": f"s3://{INPUT}/jobs/no.json"}, "there is no such manifest"),
        ("no-items", cloud.start({"items": f"s3://{INPUT}/no.jsonl"}), "there is no such items file"),
        ("no-model", cloud.start({"items": put_items(cloud, ""), "model": "no@1"}), f"there is {REFERENCE}"),
    ):
        failed = cloud.run(start, name)
        assert words in str(failed.cause)
        assert cloud.hear_of(failed).status == "SUCCEEDED"


@scenario
def a_job_whose_planning_died(cloud: PermittedJobs) -> None:
    rule = {
        "fault": "store_error",
        "function": "PlanJob",
        "key": "*/job.json",
        "operation": "write",
        "times": 7,
    }
    cloud.fault_plan = parse_plan(json.dumps({"rules": [rule]}).encode(), "plan")
    start = cloud.start({"items": put_items(cloud, "")})
    died = cloud.run(start)
    assert died.error == "StoreUnavailable"
    cloud.hear_of(died)
    assert counts(results_of(cloud, cloud.run(start, "second"))) == (1, 0, 0)


def lose_after(cloud: PermittedJobs, bucket: str, key: str, after: str) -> None:
    """Remove an object for good when a function, by its state's name, has been called."""
    called = cloud.call

    async def call(resource: str, arguments: Any) -> Any:
        try:
            return await called(resource, arguments)
        finally:
            if cloud.calls and cloud.calls[-1][0] == after:
                backend = cloud.backends[bucket]
                assert isinstance(backend, VersionedBackend)
                backend._objects.pop(key, None)

    cloud.call = call  # type: ignore[method-assign]


@scenario
def a_version_of_the_items_that_is_gone(cloud: PermittedJobs) -> None:
    """It is said to be gone, and not to be forbidden."""
    for after, orders in (("PlanJob", [""]), ("PredictBatch", ["die"])):
        items = put_items(cloud, *orders, key=f"{after}.jsonl")
        start = cloud.start({"items": items})
        lose_after(cloud, INPUT, f"{after}.jsonl", after)
        execution = cloud.run(start, after)
        reason = str(execution.cause)
        assert "ItemsChanged" in reason or "no longer the version" in reason, reason


@scenario
def a_model_that_was_removed(cloud: PermittedJobs) -> None:
    """It is said to be gone, and not to be forbidden."""
    name, _, version = REFERENCE.partition("@")
    lose_after(cloud, MODELS, f"models/{name}/{version}/digest.json", "PlanJob")
    failed = cloud.run(cloud.start({"items": put_items(cloud, "")}))
    assert "no such object" in str(failed.cause)


RUNTIMES = ["tensorflow", "litert"]


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("function", SCENARIOS, ids=lambda function: function.__name__)
def test_nothing_is_refused(function: Scenario, runtime: str) -> None:
    assert permissions_after(function, runtime).refused == []


def test_every_grant_is_used_or_named_with_its_reason() -> None:
    permissions = Permissions(resources(FurtherItems=FURTHER_ITEMS))
    check_targets(permissions)
    used = permissions.used.union(
        *(permissions_after(run, runtime).used for runtime in RUNTIMES for run in SCENARIOS)
    )
    unused = {as_granted(grant) for grant in permissions.all_grants()} - {as_granted(grant) for grant in used}
    assert {grant for grant in unused if grant[:2] not in UNUSED} == set()
    assert UNUSED.keys() - {grant[:2] for grant in unused} == set()


def as_granted(grant: Grant) -> Grant:
    """The buckets of FurtherItems are one to the template, whether they keep versions or not."""
    return grant._replace(resource="FurtherItems") if grant.resource in FURTHER_ITEMS.split(",") else grant


ACTIONS = {"states": "states:StartExecution", "sns": "sns:Publish"}


def check_targets(permissions: Permissions) -> None:
    """What rules and schedules send, their roles allow."""
    stack = resources()
    roles = {stack.attribute(role, "Arn"): role for role in stack.of_type(ROLE)}
    targets = [
        *(target for rule in stack.of_type(RULE) for target in stack.value(rule, "Targets")),
        *(stack.value(schedule, "Target") for schedule in stack.of_type(SCHEDULE)),
    ]
    for target in targets:
        action = ACTIONS[target["Arn"].split(":")[2]]
        assert permissions.allows(roles[target["RoleArn"]], action, target["Arn"])


def test_what_a_role_does_not_allow_fails_as_on_aws() -> None:
    permissions = Permissions(resources(FurtherItems=FURTHER_ITEMS))
    cloud = PermittedJobs(permissions=permissions)
    cloud.storage.write(f"s3://{FURTHER}/other/1", b"1")
    cloud.readable = (*cloud.readable, f"s3://{FURTHER}/other/")  # the plan would; the role does not
    execution = cloud.run(
        cloud.start({"items": put_items(cloud, "s3://further/other/1", "s3://further/some/no", "")})
    )
    results = results_of(cloud, execution)
    cloud.close()
    assert errors(results) == {"Forbidden": 2}  # what may not be listed is not said to be missing
    denied = Grant("PredictBatchTensorFlowFunction", "s3:GetObject", "arn:aws:s3:::further/other/1")
    assert denied in permissions.refused


@pytest.mark.parametrize(
    ("state", "error"),
    [("lambda:InvokeFunction", "Lambda.AccessDeniedException"), ("s3:GetObject", "States.ItemReaderFailed")],
)
def test_what_the_state_machine_may_not_do_fails(state: str, error: str) -> None:
    permissions = Permissions(resources())
    permissions.grants[STATE_MACHINE] = [
        grant for grant in permissions.grants[STATE_MACHINE] if grant.action != state
    ]
    cloud = PermittedJobs(permissions=permissions)
    execution = cloud.run(cloud.start({"items": put_items(cloud, "")}))
    cloud.close()
    assert (execution.status, execution.error) == ("FAILED", error)


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("arn:aws:s3:::b/jobs/*", "arn:aws:s3:::b/jobs/1/claim.json", True),
        ("arn:aws:s3:::b/jobs/*", "arn:aws:s3:::b/jobs", False),
        ("arn:aws:s3:::b/jobs/*/claim.json", "arn:aws:s3:::b/jobs/1/x/claim.json", True),
        ("arn:aws:s3:::b", "arn:aws:s3:::b/jobs", False),
        ("arn:aws:s3:::b/?", "arn:aws:s3:::b/ü", True),
        ("arn:aws:s3:::b/?", "arn:aws:s3:::b/", False),
        ("arn:aws:s3:::b.c", "arn:aws:s3:::bxc", False),
        ("arn:aws:s3:::b/[a]", "arn:aws:s3:::b/a", False),
        ("s3:GetObject", "s3:GetObjectVersion", False),
    ],
)
def test_resources_are_compared_as_iam_does(pattern: str, text: str, expected: bool) -> None:
    assert matches(pattern, text) is expected


@given(st.text(), st.text(), st.text())
def test_a_star_stands_for_anything(before: str, between: str, after: str) -> None:
    def plain(text: str) -> str:
        return text.replace("*", "").replace("?", "")

    assert matches(f"{plain(before)}*{plain(after)}", f"{plain(before)}{between}{plain(after)}")
    assert matches(plain(before), plain(before))
    assert matches("S3:getobject", "s3:GetObject", ignore_case=True)
