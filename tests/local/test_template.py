"""The template, read for this machine: the shipped one, copies of it with a change, small ones of each form."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from fanwise.errors import InputError
from fanwise.items.readable import prefixes_of
from fanwise_local.events import Rule
from fanwise_local.intrinsics import load_template
from fanwise_local.template import Function, Stack, TemplateError, read_stack, stack_root

ROOT = stack_root()
MACHINE = {
    "Type": "AWS::Serverless::StateMachine",
    "Properties": {"Name": "machine", "DefinitionUri": "machine.asl.json"},
}
ZIP = {"CodeUri": "code", "Handler": "handler.main", "Runtime": "python3.12"}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of all that the shipped template names."""
    shutil.copy(ROOT / "template.yaml", tmp_path)
    for folder in ("statemachine", "lambdas"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    return tmp_path


def changed(root: Path, *changes: tuple[str, str]) -> Stack:
    """The stack of a copy in which each text, found just once, is another."""
    path = root / "template.yaml"
    text = path.read_text()
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path.write_text(text)
    return read_stack(root)


def stack_of(folder: Path, template: dict[str, Any], **parameters: str) -> Stack:
    """The stack of a small template, with a state machine where it has none."""
    (folder / "code").mkdir(exist_ok=True)
    (folder / "lambdas").mkdir(exist_ok=True)
    (folder / "machine.asl.json").write_text("{}")
    resources = {"Machine": MACHINE, **template.get("Resources", {})}
    (folder / "template.yaml").write_text(yaml.safe_dump({**template, "Resources": resources}))
    return read_stack(folder, stack_name="s", parameters=parameters)


def function_of(folder: Path, properties: dict[str, Any], **sections: Any) -> Function:
    resource = {"Type": "AWS::Serverless::Function", "Properties": properties}
    return stack_of(folder, {"Resources": {"F": resource}, **sections}).functions["F"]


# The shipped template.


def test_the_shipped_stack_has_the_names_that_cloudformation_would_give() -> None:
    stack = read_stack(ROOT)
    assert stack.buckets == {
        "InputBucket": "fanwise-input-123456789012-us-east-1",
        "ModelBucket": "fanwise-models-123456789012-us-east-1",
        "ResultsBucket": "fanwise-results-123456789012-us-east-1",
    }
    queue = "https://sqs.us-east-1.amazonaws.com/123456789012/fanwise-dead-letters"
    machine = "arn:aws:states:us-east-1:123456789012:stateMachine:fanwise-batch-inference"
    assert stack.queues == {
        "DeadLetterQueue": queue,
        "EventDeadLetterQueue": queue.replace("dead-letters", "event-dead-letters"),
        "UploadDeadLetterQueue": queue.replace("dead-letters", "upload-dead-letters"),
    }
    rule = stack.rules["ExecutionEndedRule"]
    assert rule.targets == (machine,)
    assert rule.pattern["detail"] == {
        "stateMachineArn": [machine],
        "status": ["FAILED", "TIMED_OUT", "ABORTED"],
    }
    assert stack.rules["UploadRule"].targets == (machine,)
    assert stack.schedules == {}
    assert stack.state_machine_arn == machine
    assert (
        stack.outputs.items()
        > {
            **stack.buckets,
            "StateMachineArn": machine,
            "DeadLetterQueueUrl": queue,
            "PredictBatchLiteRTFunctionName": "fanwise-PredictBatchLiteRTFunction",
        }.items()
    )
    arns = {f"{logical_id}Arn": function.arn for logical_id, function in stack.functions.items()}
    assert stack.substitutions == {
        **arns,
        "ResultsBucket": stack.buckets["ResultsBucket"],
        "DeadLetterQueueUrl": queue,
    }
    assert stack.definition == (ROOT / "statemachine/batch_inference.asl.json").read_text()
    assert (stack.name, stack.region, stack.account_id) == ("fanwise", "us-east-1", "123456789012")


def test_another_stack_name_gives_other_names() -> None:
    stack = read_stack(ROOT, stack_name="other")
    assert stack.buckets["InputBucket"] == "other-input-123456789012-us-east-1"
    assert stack.functions["PlanJobFunction"].arn.endswith(":function:other-PlanJobFunction")


def test_a_zip_function_runs_its_handler_with_its_layers(copy: Path) -> None:
    (copy / "layers/core/python").mkdir(parents=True)
    function = read_stack(copy).functions["HandleFailureFunction"]
    assert function == Function(
        logical_id="HandleFailureFunction",
        name="fanwise-HandleFailureFunction",
        arn="arn:aws:lambda:us-east-1:123456789012:function:fanwise-HandleFailureFunction",
        task_root=copy / "lambdas/handle_failure",
        handler="handler.lambda_handler",
        layers=(copy / "layers/core/python",),
        environment={
            "FANWISE_RESULTS_BUCKET": "fanwise-results-123456789012-us-east-1",
            "FANWISE_PREDICT_BATCH_TIMEOUT_S": "120",
            "FANWISE_PREDICT_BATCH_MEMORY_MB": "1769",
            "POWERTOOLS_SERVICE_NAME": "fanwise-HandleFailure",
        },
        memory_mb=512,
        timeout_s=30,
        ephemeral_storage_mb=512,
    )


def test_an_image_function_runs_the_handler_that_its_image_config_names() -> None:
    function = read_stack(ROOT).functions["PredictBatchTensorFlowFunction"]
    assert function.handler == "predict_batch.handler.lambda_handler"
    assert function.task_root == ROOT / "lambdas"
    assert function.layers == ()
    assert function.ephemeral_storage_mb == 4096


def test_where_a_layers_folder_is_not_there_the_package_is_on_the_path_already(copy: Path) -> None:
    assert read_stack(copy).functions["PlanJobFunction"].layers == ()


def test_a_change_of_the_template_changes_the_function(copy: Path) -> None:
    stack = changed(
        copy,
        ("      Timeout: 30\n", "      Timeout: 45\n"),
        ("      MemorySize: 512\n", "      MemorySize: 768\n"),
        ("Size: 4096", "Size: 8192"),
        ('TF_CPP_MIN_LOG_LEVEL: "2"', "TF_CPP_MIN_LOG_LEVEL: 3\n          VERBOSE: true"),
        ("Command: [predict_batch.handler.lambda_handler]", "Command: [other.module.function]"),
        ('QueueName: !Sub "${AWS::StackName}-dead-letters"', "QueueName: dead"),
    )
    small, large = stack.functions["HandleFailureFunction"], stack.functions["PredictBatchTensorFlowFunction"]
    assert (small.timeout_s, small.memory_mb) == (45, 768)
    assert large.ephemeral_storage_mb == 8192
    assert large.environment["TF_CPP_MIN_LOG_LEVEL"] == "3"
    assert large.environment["VERBOSE"] == "true"
    assert large.handler == "other.module.function"
    assert stack.substitutions["DeadLetterQueueUrl"].endswith("/123456789012/dead")


def test_a_parameter_changes_what_refers_to_it() -> None:
    stack = read_stack(ROOT, parameters={"PredictBatchMemoryMb": "3008", "PredictBatchTimeoutS": "60"})
    assert stack.functions["PredictBatchTensorFlowFunction"].memory_mb == 3008
    assert stack.functions["PredictBatchTensorFlowFunction"].timeout_s == 60
    assert stack.functions["HandleFailureFunction"].environment["FANWISE_PREDICT_BATCH_TIMEOUT_S"] == "60"


def test_what_items_may_point_at_is_said_once() -> None:
    """PlanJob is told what the role of each function that reads items is allowed."""
    further = "arn:aws:s3:::photos/*,arn:aws:s3:::scans/2026/*"
    told = [
        read_stack(ROOT, parameters=parameters).functions["PlanJobFunction"].environment["FANWISE_READABLE"]
        for parameters in ({}, {"FurtherItems": further})
    ]
    own = "arn:aws:s3:::fanwise-input-123456789012-us-east-1/*"
    assert told == [f"{own},", f"{own},{further}"]
    template = load_template((ROOT / "template.yaml").read_text(), "template.yaml")
    for name in ("PlanJobFunction", "PredictBatchTensorFlowFunction", "HandleFailureFunction"):
        (policy,) = template["Resources"][name]["Properties"]["Policies"]
        allowed = {
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:GetObjectVersion"],
            "Resource": {"Fn::Split": [",", {"Ref": "FurtherItems"}]},
        }
        assert {"Fn::If": ["HasFurtherItems", allowed, {"Ref": "AWS::NoValue"}]} in policy["Statement"]


@pytest.mark.parametrize(
    "arns",
    [
        "",
        "arn:aws:s3:::photos/*",
        "arn:aws-cn:s3:::photos/a b/ü/*,arn:aws:s3:::scans/2026/*",
        "arn:aws:s3:::photos",
        "arn:aws:s3:::photos/a*",
        "arn:aws:s3:::photos/*,",
        "arn:aws:s3:::*/*",
        "s3://photos/",
    ],
)
def test_what_the_template_lets_through_is_what_the_functions_understand(arns: str) -> None:
    template = load_template((ROOT / "template.yaml").read_text(), "template.yaml")
    pattern = template["Parameters"]["FurtherItems"]["AllowedPattern"]
    try:
        understood = bool(prefixes_of(arns.split(","))) if arns else True
    except InputError:
        understood = False
    assert bool(re.fullmatch(pattern, arns)) == understood


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"PredictBatchMemoryMb": "512"}, "Parameters.PredictBatchMemoryMb: is 512; it must be from 1024 to"),
        ({"PredictBatchTimeoutS": "nan"}, "Parameters.PredictBatchTimeoutS: is 'nan', not a number"),
        ({"PredictBatchTimeoutS": "soon"}, "Parameters.PredictBatchTimeoutS: is 'soon', not a number"),
        ({"Colour": "red"}, "there is no parameter 'Colour'; there are: PredictBatchImageUri, "),
    ],
)
def test_a_parameter_that_does_not_fit_is_refused(parameters: dict[str, str], message: str) -> None:
    with pytest.raises(TemplateError, match=message):
        read_stack(ROOT, parameters=parameters)


# What is refused, with its place.


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "      Timeout: 30\n",
            "      Timeout: !ImportValue x\n",
            "Resources.HandleFailureFunction.Properties.Timeout: Fn::ImportValue is not supported",
        ),
        (
            "      Timeout: 30\n",
            "      Timeout: soon\n",
            "Resources.HandleFailureFunction.Properties.Timeout: is 'soon'; it must be a whole number from 1",
        ),
        (
            "      MemorySize: 512\n",
            "      MemorySize: 64\n",
            "Properties.MemorySize: is 64; it must be a whole number from 128 to 10240",
        ),
        (
            "      CodeUri: lambdas/plan_job\n",
            "      CodeUri: lambdas/plan\n",
            "Resources.PlanJobFunction.Properties.CodeUri: there is no folder",
        ),
        (
            "      CodeUri: lambdas/plan_job\n",
            "",
            "Resources.PlanJobFunction.Properties.CodeUri: is missing",
        ),
        (
            "        Command: [predict_batch.handler.lambda_handler]\n",
            "        WorkingDirectory: /\n",
            "Resources.PredictBatchTensorFlowFunction.Properties.ImageConfig.Command: is None; it must be",
        ),
        (
            'TF_CPP_MIN_LOG_LEVEL: "2"',
            "TF_CPP_MIN_LOG_LEVEL: [2]",
            "Resources.PredictBatchTensorFlowFunction.Properties.Environment.Variables: is {",
        ),
        (
            "      DefinitionUri: statemachine/batch_inference.asl.json\n",
            "      DefinitionUri: statemachine/none.json\n",
            "none.json: cannot be read",
        ),
        (
            "    Type: AWS::Serverless::StateMachine\n",
            "    Type: AWS::StepFunctions::StateMachine\n",
            "has 0 state machines; this machine runs one",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(copy: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(TemplateError) as raised:
        changed(copy, (old, new))
    assert message in str(raised.value)


def test_what_is_not_needed_is_not_looked_at(copy: Path) -> None:
    stack = changed(
        copy,
        (
            """}-dead-letters"
      MessageRetentionPeriod: 1209600
""",
            """}-dead-letters"
      KmsMasterKeyId: !ImportValue key
""",
        ),
    )
    assert stack.queues == read_stack(ROOT).queues


def test_a_template_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match=r"template.yaml: cannot be read"):
        read_stack(tmp_path)


# Forms that the shipped template does not use, or not yet.


def test_globals_lie_beneath_a_functions_own(tmp_path: Path) -> None:
    shared = {
        "Runtime": "python3.13",
        "MemorySize": 256,
        "Timeout": 9,
        "Environment": {"Variables": {"SHARED": "1", "BOTH": "shared"}},
    }
    own = {
        "CodeUri": "code",
        "Handler": "handler.main",
        "Timeout": 5,
        "Environment": {"Variables": {"BOTH": "own"}},
    }
    function = function_of(tmp_path, own, Globals={"Function": shared})
    assert (function.memory_mb, function.timeout_s, function.runtime) == (256, 5, "python3.13")
    assert function.environment == {"SHARED": "1", "BOTH": "own"}


def test_layers_of_globals_come_before_a_functions_own(tmp_path: Path) -> None:
    for folder in ("built", "plain/python"):
        (tmp_path / folder).mkdir(parents=True)
    layer = "AWS::Serverless::LayerVersion"
    built = {"Type": layer, "Metadata": {"BuildMethod": "makefile"}, "Properties": {"ContentUri": "built"}}
    plain = {"Type": layer, "Properties": {"ContentUri": "plain"}}
    function = {"Type": "AWS::Serverless::Function", "Properties": {**ZIP, "Layers": [{"Ref": "Plain"}]}}
    stack = stack_of(
        tmp_path,
        {
            "Globals": {"Function": {"Layers": [{"Ref": "Built"}]}},
            "Resources": {"F": function, "Built": built, "Plain": plain},
        },
    )
    assert stack.functions["F"].layers == (tmp_path / "built", tmp_path / "plain/python")


def test_a_layer_of_another_stack_is_refused(tmp_path: Path) -> None:
    layer = "arn:aws:lambda:us-east-1:1:layer:x:1"
    with pytest.raises(TemplateError, match=r"Resources.F.Properties.Layers: .*only layers of this template"):
        function_of(tmp_path, {**ZIP, "Layers": [layer]})


def test_a_function_without_numbers_has_lambdas_defaults(tmp_path: Path) -> None:
    function = function_of(tmp_path, {"CodeUri": "code", "Handler": "handler.main"})
    assert (function.memory_mb, function.timeout_s, function.ephemeral_storage_mb) == (128, 3, 512)
    assert function.environment == {}


def test_a_resource_whose_condition_does_not_hold_does_not_exist(tmp_path: Path) -> None:
    template = {
        "Parameters": {"Stage": {"Type": "String", "Default": "test", "AllowedValues": ["test", "prod"]}},
        "Conditions": {"IsProd": {"Fn::Equals": [{"Ref": "Stage"}, "prod"]}},
        "Resources": {
            "B": {"Type": "AWS::S3::Bucket", "Condition": "IsProd"},
            "C": {
                "Type": "AWS::S3::Bucket",
                "Properties": {"BucketName": {"Fn::If": ["IsProd", "c-prod", {"Ref": "AWS::NoValue"}]}},
            },
        },
        "Outputs": {"B": {"Value": {"Ref": "B"}, "Condition": "IsProd"}},
    }
    assert stack_of(tmp_path, template).buckets == {"C": "s-c"}
    prod = stack_of(tmp_path, template, Stage="prod")
    assert prod.buckets == {"B": "s-b", "C": "c-prod"}
    assert prod.outputs == {"B": "s-b"}
    with pytest.raises(TemplateError, match=r"Parameters.Stage: is 'dev'; allowed are test, prod"):
        stack_of(tmp_path, template, Stage="dev")


def test_a_reference_to_what_does_not_exist_is_refused(tmp_path: Path) -> None:
    outputs = {"B": {"Value": {"Ref": "B"}}}
    with pytest.raises(TemplateError, match=r"Outputs.B.Value.Ref: there is no parameter or resource 'B'"):
        stack_of(tmp_path, {"Outputs": outputs})


def test_resources_may_refer_to_later_ones(tmp_path: Path) -> None:
    resources = {
        "A": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": {"Fn::Sub": "${B}-too"}}},
        "B": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "b"}},
    }
    assert stack_of(tmp_path, {"Resources": resources}).buckets == {"A": "b-too", "B": "b"}


def test_a_name_that_refers_to_itself_is_refused(tmp_path: Path) -> None:
    resources = {
        name: {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": {"Fn::Sub": f"${{{other}}}-x"}}}
        for name, other in (("A", "B"), ("B", "A"))
    }
    with pytest.raises(TemplateError, match=r"Resources.A: its name refers to itself"):
        stack_of(tmp_path, {"Resources": resources})


def test_attributes_of_queues_and_functions(tmp_path: Path) -> None:
    queue = {"Type": "AWS::SQS::Queue"}
    function = {"Type": "AWS::Serverless::Function", "Properties": {**ZIP, "FunctionName": "f"}}
    asked = ["Q.Arn", "Q.QueueName", "Q.QueueUrl", "F.Arn", "Machine.Arn", "Machine.Name"]
    outputs = {name.replace(".", ""): {"Value": {"Fn::GetAtt": name.split(".")}} for name in asked}
    stack = stack_of(tmp_path, {"Resources": {"Q": queue, "F": function}, "Outputs": outputs})
    assert stack.outputs == {
        "QArn": "arn:aws:sqs:us-east-1:123456789012:s-Q",
        "QQueueName": "s-Q",
        "QQueueUrl": "https://sqs.us-east-1.amazonaws.com/123456789012/s-Q",
        "FArn": "arn:aws:lambda:us-east-1:123456789012:function:f",
        "MachineArn": "arn:aws:states:us-east-1:123456789012:stateMachine:machine",
        "MachineName": "machine",
    }
    with pytest.raises(TemplateError, match=r"Outputs.X.Value.Fn::GetAtt: Q.Colour is not known"):
        stack_of(
            tmp_path,
            {"Resources": {"Q": queue}, "Outputs": {"X": {"Value": {"Fn::GetAtt": ["Q", "Colour"]}}}},
        )


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ({"Parameters": {"P": {"Type": "String"}}}, "Parameters.P: has no default and was not given"),
        ({"Parameters": {"P": {"Type": "List<Number>", "Default": "1"}}}, "Parameters.P.Type: is 'List<Nu"),
        ({"Resources": {"B": "bucket"}}, "Resources: is not an object of objects"),
        ({"Resources": {"M": MACHINE}}, "has 2 state machines"),
        (
            {"Outputs": {"X": {"Value": 1, "Condition": "C"}}},
            "Outputs.X.Condition: there is no condition 'C'",
        ),
    ],
)
def test_a_template_of_another_form_is_refused(tmp_path: Path, template: Any, message: str) -> None:
    with pytest.raises(TemplateError) as raised:
        stack_of(tmp_path, template)
    assert message in str(raised.value)


# Rules.


@pytest.mark.parametrize(
    ("properties", "why"),
    [
        ({"EventPattern": {"a": [{"like": "x"}]}}, "EventPattern: a[0]: 'like' is no comparison"),
        ({"EventPattern": {}}, "EventPattern: {} is not an object of fields"),
        ({"EventPattern": {"a": [1]}, "EventBusName": "mine"}, "EventBusName: is not read on this machine"),
        ({"ScheduleExpression": "rate(1 day)"}, "ScheduleExpression: is not read on this machine"),
        (
            {"EventPattern": {"a": [1]}, "Targets": [{"Arn": {"Ref": "Machine"}, "InputPath": "$.detail"}]},
            "Targets[0].InputPath: is not read here; events go on as they are",
        ),
    ],
)
def test_a_rule_that_is_not_understood_is_refused_with_its_place(
    tmp_path: Path, properties: dict[str, Any], why: str
) -> None:
    rule = {"Type": "AWS::Events::Rule", "Properties": properties}
    with pytest.raises(TemplateError, match=re.escape(f"Resources.R.Properties.{why}")):
        stack_of(tmp_path, {"Resources": {"R": rule}})


def test_a_rule_that_is_disabled_is_none_and_targets_elsewhere_may_be_told_otherwise(tmp_path: Path) -> None:
    targets = [{"Arn": "arn:aws:sns:us-east-1:1:mail", "InputTransformer": {"InputTemplate": "x"}}]
    values = {"EventPattern": {"a": [1]}, "EventBusName": "default", "Targets": targets}
    rule = {"Type": "AWS::Events::Rule", "Properties": values}
    off = {"Type": "AWS::Events::Rule", "Properties": {**values, "State": "DISABLED"}}
    stack = stack_of(tmp_path, {"Resources": {"R": rule, "Off": off}})
    assert stack.rules == {"R": Rule("R", {"a": [1]}, ("arn:aws:sns:us-east-1:1:mail",))}
