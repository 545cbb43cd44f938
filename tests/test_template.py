"""The template's own promises: what is described, told, kept and closed. What it allows: `test_permissions`."""

import json
import re
from typing import Any

import pytest

from fanwise_local.intrinsics import load_template
from fanwise_local.template import read_stack, stack_root
from fanwise_local.template_resources import BUCKET, FUNCTION, QUEUE, STATE_MACHINE
from jobs import STACK, JobCloud
from permissions import PARAMETERS, Permissions, resources
from permitted_jobs import STATE_MACHINE as MACHINE

TEXT = (stack_root() / "template.yaml").read_text()
TEMPLATE: dict[str, Any] = load_template(TEXT, "template.yaml")
RESOURCES: dict[str, dict[str, Any]] = TEMPLATE["Resources"]
ALARM, LOG_GROUP, DASHBOARD = "AWS::CloudWatch::Alarm", "AWS::Logs::LogGroup", "AWS::CloudWatch::Dashboard"


def of_type(kind: str) -> dict[str, dict[str, Any]]:
    """The properties of the resources of a type."""
    return {name: resource["Properties"] for name, resource in RESOURCES.items() if resource["Type"] == kind}


@pytest.mark.parametrize("section", ["Parameters", "Outputs"])
def test_everything_that_people_see_is_described(section: str) -> None:
    for name, part in TEMPLATE[section].items():
        assert len(part.get("Description", "")) > 15, name


def test_a_guided_deployment_asks_for_each_parameter_once_and_in_groups() -> None:
    groups = TEMPLATE["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    asked = [name for group in groups for name in group["Parameters"]]
    assert sorted(asked) == sorted(TEMPLATE["Parameters"])


def test_a_parameter_that_is_refused_says_what_it_wants() -> None:
    for name, parameter in TEMPLATE["Parameters"].items():
        assert ("AllowedPattern" in parameter) == ("ConstraintDescription" in parameter), name
        if "AllowedPattern" in parameter:
            assert re.search(parameter["AllowedPattern"], parameter["Default"]), name
            assert re.search(parameter["AllowedPattern"], PARAMETERS.get(name, "")), name
            assert not re.search(parameter["AllowedPattern"], "not \n that"), name


@pytest.mark.parametrize("bucket", of_type(BUCKET))
def test_a_bucket_is_closed_and_keeps_versions_for_a_while(bucket: str) -> None:
    properties = of_type(BUCKET)[bucket]
    assert properties["VersioningConfiguration"] == {"Status": "Enabled"}
    assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(properties["PublicAccessBlockConfiguration"]) == 4
    assert properties["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert "BucketEncryption" in properties
    (rule,) = properties["LifecycleConfiguration"]["Rules"]
    assert rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] > 0
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": {"Ref": "NoncurrentVersionDays"}}
    assert RESOURCES[bucket]["DeletionPolicy"] == RESOURCES[bucket]["UpdateReplacePolicy"] == "Retain"
    (statement,) = (
        statement
        for policy in of_type("AWS::S3::BucketPolicy").values()
        if policy["Bucket"] == {"Ref": bucket}
        for statement in policy["PolicyDocument"]["Statement"]
    )
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert statement["Resource"] == [{"Fn::GetAtt": f"{bucket}.Arn"}, {"Fn::Sub": f"${{{bucket}.Arn}}/*"}]


def test_no_action_is_a_pattern_and_no_resource_is_all_without_its_reason() -> None:
    for grant in Permissions(resources()).all_grants():
        assert "*" not in grant.action, grant
        if re.fullmatch(r"\*|arn:[^/]*\*", grant.resource):  # all of a service, or of a kind
            assert grant.role == MACHINE, grant
    lines = [line for line in TEXT.splitlines() if re.search(r"Resource: [\"']?\*", line)]
    assert lines
    for line in lines:
        assert re.search(r"# .{20}", line), line


def test_each_function_that_the_definition_calls_may_be_called() -> None:
    permissions = Permissions(resources())
    for function in STACK.functions.values():
        assert f"{function.logical_id}Arn" in STACK.substitutions
        assert permissions.allows(MACHINE, "lambda:InvokeFunction", function.arn)


def test_whatever_runs_has_a_log_that_ends_and_is_traced() -> None:
    groups = of_type(LOG_GROUP)
    assert all(group["RetentionInDays"] == {"Ref": "LogRetentionDays"} for group in groups.values())
    functions = of_type(FUNCTION)
    used = {function["LoggingConfig"]["LogGroup"]["Ref"] for function in functions.values()}
    assert len(used) == len(functions)
    (machine,) = of_type(STATE_MACHINE).values()
    (destination,) = machine["Logging"]["Destinations"]
    used.add(destination["CloudWatchLogsLogGroup"]["LogGroupArn"]["Fn::GetAtt"].removesuffix(".Arn"))
    assert used == groups.keys()
    assert machine["Tracing"] == {"Enabled": True}
    assert TEMPLATE["Globals"]["Function"]["Tracing"] == "Active"


def test_a_log_group_is_there_when_its_function_is() -> None:
    for name in of_type(FUNCTION):
        group = RESOURCES[name]["Properties"]["LoggingConfig"]["LogGroup"]["Ref"]
        assert RESOURCES[name].get("Condition") == RESOURCES[group].get("Condition")


def metrics_of(alarm: dict[str, Any]) -> list[dict[str, Any]]:
    """The metrics that an alarm watches, each with name and dimensions."""
    if "Metrics" in alarm:
        return [one["MetricStat"]["Metric"] for one in alarm["Metrics"] if "MetricStat" in one]
    return [alarm]


def watched(name: str) -> set[str]:
    """The resources of which an alarm watches a metric of this name."""
    return {
        str(next(iter(dimension["Value"].values()))).partition(".")[0]
        for alarm in of_type(ALARM).values()
        for metric in metrics_of(alarm)
        if metric["MetricName"] == name
        for dimension in metric["Dimensions"]
    }


def test_each_alarm_says_what_happened_and_tells_who_wants_to_hear() -> None:
    for name, alarm in of_type(ALARM).items():
        assert len(alarm["AlarmDescription"]) > 50, name
        assert alarm["TreatMissingData"] == ("ignore" if "DeadLetters" in name else "notBreaching")
        actions = ["HasNotificationEmail", [{"Ref": "NotificationTopic"}], {"Ref": "AWS::NoValue"}]
        assert alarm["AlarmActions"] == {"Fn::If": actions}, name


def test_whatever_can_go_wrong_has_its_alarm() -> None:
    assert watched("ApproximateNumberOfMessagesVisible") == of_type(QUEUE).keys()
    assert watched("Errors") == of_type(FUNCTION).keys()
    assert watched("Throttles") == {name for name in of_type(FUNCTION) if name.startswith("PredictBatch")}
    assert watched("Duration") == of_type(FUNCTION).keys() - {"HandleFailureFunction"}
    for name in ("ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted"):
        assert watched(name) == {MACHINE}


def test_the_alarms_of_a_fixed_timeout_know_it() -> None:
    stack = read_stack(stack_root())
    for name in ("PlanJob", "AggregateResults"):
        threshold_ms = RESOURCES[f"{name}DurationAlarm"]["Properties"]["Threshold"]
        assert threshold_ms == 0.9 * 1000 * stack.functions[f"{name}Function"].timeout_s


def test_the_dashboard_is_json_and_names_what_there_is() -> None:
    (dashboard,) = of_type(DASHBOARD).values()
    text, variables = dashboard["DashboardBody"]["Fn::Sub"]
    known = RESOURCES.keys() | TEMPLATE["Parameters"].keys() | variables.keys()
    for name in re.findall(r"\$\{([^}]+)\}", text):
        assert name.startswith("AWS::") or name.partition(".")[0] in known, name
    shown = set(re.findall(r"\$\{(\w+Alarm)\.Arn\}", text + json.dumps(variables)))
    assert shown == of_type(ALARM).keys()
    widgets = json.loads(re.sub(r"\$\{[^}]+\}", "1", text.replace("${TensorFlowAlarms}", "")))
    assert len(widgets["widgets"]) > 8
    for widget in widgets["widgets"]:
        assert widget["x"] + widget["width"] <= 24
        assert widget["properties"]["title"]


def test_the_dashboards_metrics_are_of_the_services_that_the_functions_are() -> None:
    (dashboard,) = of_type(DASHBOARD).values()
    text, _ = dashboard["DashboardBody"]["Fn::Sub"]
    services = {
        function["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"]["Fn::Sub"]
        for function in of_type(FUNCTION).values()
    }
    shown = set(re.findall(r'"fanwise", "\w+", "service", "([^"]+)"', text))
    assert shown
    assert shown <= services


def test_suppressions_of_checkov_have_reasons() -> None:
    for name, resource in RESOURCES.items():
        for skipped in resource.get("Metadata", {}).get("checkov", {}).get("skip", []):
            assert re.fullmatch(r"CKV2?_AWS_\d+", skipped["id"])
            assert len(skipped["comment"]) > 25, name


def test_an_e_mail_tells_of_a_job_of_this_stack_alone() -> None:
    cloud = JobCloud()
    cloud.run(cloud.start({"items": cloud.put_items("items.jsonl", b'{"inputs": {"x": 1}}')}))
    cloud.close()
    (told,) = cloud.events
    assert isinstance(told, dict)
    event = {"source": told["Source"], "detail-type": told["DetailType"], "detail": told["Detail"]}
    parameters = {"NotificationEmail": "somebody@example.com"}
    for name, is_told in (("fanwise", True), ("other", False)):
        stack = read_stack(stack_root(), stack_name=name, parameters=parameters)
        assert stack.rules["JobEndedRule"].matches(event) is is_told
    (target,) = RESOURCES["JobEndedRule"]["Properties"]["Targets"]
    paths = target["InputTransformer"]["InputPathsMap"]
    template = target["InputTransformer"]["InputTemplate"]["Fn::Sub"]
    assert set(re.findall(r"<(\w+)>", template)) == paths.keys()
    assert all(re.fullmatch(r'"[^"]+"', line) for line in template.splitlines())
    for path in paths.values():
        found: Any = event
        for key in path.removeprefix("$.").split("."):
            found = found[key]
