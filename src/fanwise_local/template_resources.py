"""The template's resources: which exist, what each is called, what Ref and GetAtt give, what a property says."""

import math
import re
from collections.abc import Mapping
from typing import Any

from fanwise_local.intrinsics import NO_VALUE, Resolver, TemplateError, as_text

ACCOUNT_ID = "123456789012"  # AWS's own example account
REGION = "us-east-1"
BUCKET, QUEUE, RULE, ROLE = "AWS::S3::Bucket", "AWS::SQS::Queue", "AWS::Events::Rule", "AWS::IAM::Role"
TOPIC, SCHEDULE = "AWS::SNS::Topic", "AWS::Scheduler::Schedule"
FUNCTION, LAYER, STATE_MACHINE = (
    "AWS::Serverless::Function",
    "AWS::Serverless::LayerVersion",
    "AWS::Serverless::StateMachine",
)

# The property that names a resource.
NAMES = {
    BUCKET: "BucketName",
    QUEUE: "QueueName",
    TOPIC: "TopicName",
    FUNCTION: "FunctionName",
    SCHEDULE: "Name",
    STATE_MACHINE: "Name",
}
_QUEUE_URL = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT_ID}/{{name}}"
_TOPIC_ARN = f"arn:aws:sns:{REGION}:{ACCOUNT_ID}:{{name}}"
_STATE_MACHINE_ARN = f"arn:aws:states:{REGION}:{ACCOUNT_ID}:stateMachine:{{name}}"
# What Ref gives where it is not the name.
_REFERENCES = {QUEUE: _QUEUE_URL, TOPIC: _TOPIC_ARN, STATE_MACHINE: _STATE_MACHINE_ARN}
_ATTRIBUTES = {
    (BUCKET, "Arn"): "arn:aws:s3:::{name}",
    (QUEUE, "Arn"): f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:{{name}}",
    (QUEUE, "QueueName"): "{name}",
    (QUEUE, "QueueUrl"): _QUEUE_URL,
    (TOPIC, "TopicArn"): _TOPIC_ARN,
    (TOPIC, "TopicName"): "{name}",
    (FUNCTION, "Arn"): f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{{name}}",
    (SCHEDULE, "Arn"): f"arn:aws:scheduler:{REGION}:{ACCOUNT_ID}:schedule/default/{{name}}",
    (ROLE, "Arn"): f"arn:aws:iam::{ACCOUNT_ID}:role/{{name}}",
    (STATE_MACHINE, "Arn"): _STATE_MACHINE_ARN,
    (STATE_MACHINE, "Name"): "{name}",
}


class Resources:
    """The resources of one template with its parameters set; all of it raises `TemplateError`."""

    def __init__(
        self, template: Mapping[str, Any], where: str, stack_name: str, parameters: Mapping[str, str]
    ) -> None:
        self._template = template
        self._where = where
        self._name = stack_name
        self._values: dict[str, Any] = {  # of Ref; a resource's once it has been asked for
            "AWS::StackName": stack_name,
            "AWS::AccountId": ACCOUNT_ID,
            "AWS::Region": REGION,
            "AWS::Partition": "aws",
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT_ID}:stack/{stack_name}/local",
        }
        self._being_named: set[str] = set()
        self._resolver = Resolver(
            where,
            self.reference,
            self.attribute,
            self._section("Mappings"),
            self._section("Conditions"),
        )
        self._resources: dict[str, dict[str, Any]] = {}
        self._read_parameters(parameters)
        self._resources = self._existing("Resources")
        self._shared = self._section("Globals").get("Function", {})

    def _section(self, name: str) -> dict[str, Any]:
        section = self._template.get(name, {})
        if not isinstance(section, dict) or not all(isinstance(part, dict) for part in section.values()):
            raise TemplateError(f"{self._where}: {name}: is not an object of objects")
        return section

    def _existing(self, section: str) -> dict[str, dict[str, Any]]:
        """The parts of a section, without those whose condition does not hold."""
        return {
            name: part
            for name, part in self._section(section).items()
            if "Condition" not in part
            or self._resolver.condition(part["Condition"], f"{section}.{name}.Condition")
        }

    def _read_parameters(self, given: Mapping[str, str]) -> None:
        declared = self._section("Parameters")
        for name in sorted(given.keys() - declared.keys()):
            raise TemplateError(
                f"{self._where}: there is no parameter {name!r}; there are: {', '.join(declared) or 'none'}"
            )
        for name, parameter in declared.items():
            path = f"Parameters.{name}"
            value = given.get(name, parameter.get("Default"))
            if value is None:
                raise self._resolver.refuse(path, "has no default and was not given")
            self._values[name] = self._checked(as_text(value), parameter, path)

    def _checked(self, value: str, parameter: dict[str, Any], path: str) -> str:
        allowed = [as_text(option) for option in parameter.get("AllowedValues", [value])]
        if value not in allowed:
            raise self._resolver.refuse(path, f"is {value!r}; allowed are {', '.join(allowed)}")
        kind = parameter.get("Type")
        if kind not in ("String", "Number"):
            raise self._resolver.refuse(f"{path}.Type", f"is {kind!r}; here String and Number are read")
        if kind == "Number":
            number = _number(value)
            if number is None:
                raise self._resolver.refuse(path, f"is {value!r}, not a number")
            low, high = float(parameter.get("MinValue", "-inf")), float(parameter.get("MaxValue", "inf"))
            if not low <= number <= high:
                raise self._resolver.refuse(path, f"is {value}; it must be from {low:g} to {high:g}")
        return value

    def reference(self, name: str) -> Any:
        """What Ref gives; raises KeyError for what the template does not have."""
        if name not in self._values:
            if name in self._being_named:
                raise TemplateError(f"{self._where}: Resources.{name}: its name refers to itself")
            resource = self._resources[name]
            self._being_named.add(name)
            self._values[name] = self._physical(name, resource)
        return self._values[name]

    def _physical(self, logical_id: str, resource: dict[str, Any]) -> str:
        """What Ref of a resource gives; for types that this machine does not make, a name as good as any."""
        kind = str(resource.get("Type"))
        unnamed = f"{self._name}-{logical_id}"
        if kind not in NAMES:
            return unnamed
        name = self.value(logical_id, NAMES[kind], default=unnamed.lower() if kind == BUCKET else unnamed)
        return _REFERENCES.get(kind, "{name}").format(name=name)

    def name(self, logical_id: str) -> str:
        """What the resource is called: the last part of an ARN or URL that refers to it."""
        return re.split("[/:]", str(self.reference(logical_id)))[-1]

    def attribute(self, logical_id: str, attribute: str) -> str:
        """What GetAtt gives; raises KeyError for what is not known here."""
        kind = str(self._resources[logical_id].get("Type"))
        return _ATTRIBUTES[kind, attribute].format(name=self.name(logical_id))

    def value(self, logical_id: str, *keys: str, default: Any = None) -> Any:
        """A property, resolved; a function's with SAM's Globals beneath it. `default` where it is absent."""
        resource = self._resources[logical_id]
        value = self._at(resource.get("Properties", {}), keys, f"Resources.{logical_id}.Properties")
        if resource.get("Type") == FUNCTION:
            value = _merged(self._at(self._shared, keys, "Globals.Function"), value)
        return default if value is None else value

    def _at(self, node: Any, keys: tuple[str, ...], path: str) -> Any:
        """What lies below `node`; nothing else beside the way is resolved. None where it is not there."""
        for key in keys:
            if isinstance(node, dict) and "Fn::If" in node:
                node = self._resolver.value(node, path)
            if not isinstance(node, dict) or key not in node:
                return None
            node, path = node[key], f"{path}.{key}"
        value = self._resolver.value(node, path)
        return None if value is NO_VALUE else value

    def of_type(self, kind: str) -> list[str]:
        """The logical ids of the resources of a type, in the template's order."""
        return [logical_id for logical_id, r in self._resources.items() if r.get("Type") == kind]

    def outputs(self) -> dict[str, str]:
        """The stack's outputs."""
        return {
            name: as_text(self._resolver.value(output.get("Value"), f"Outputs.{name}.Value"))
            for name, output in self._existing("Outputs").items()
        }

    def description(self) -> str:
        """What the template says of itself."""
        return as_text(self._template.get("Description", ""))

    def parameters(self) -> dict[str, str]:
        """Every parameter with its value: what was given, else its default."""
        return {name: as_text(self._values[name]) for name in self._section("Parameters")}

    def is_kept(self, logical_id: str) -> bool:
        """Whether the resource outlives its stack (DeletionPolicy)."""
        return bool(self._resources[logical_id].get("DeletionPolicy") == "Retain")

    def is_built(self, logical_id: str) -> bool:
        """Whether `sam build` makes the resource's content (Metadata.BuildMethod)."""
        return "BuildMethod" in (self._resources[logical_id].get("Metadata") or {})

    def refuse(self, logical_id: str, keys: str, message: str) -> TemplateError:
        """The error for a property."""
        return self._resolver.refuse(f"Resources.{logical_id}.Properties.{keys}", message)

    def text(self, logical_id: str, key: str) -> str:
        """A property that has to be there, as text."""
        value = self.value(logical_id, key)
        if not isinstance(value, str):
            raise self.refuse(logical_id, key, "is missing" if value is None else f"is {value!r}, not a text")
        return value

    def texts(self, logical_id: str, *keys: str) -> dict[str, str]:
        """A property that is an object of texts; empty where it is absent."""
        values = self.value(logical_id, *keys, default={})
        if not isinstance(values, dict) or any(isinstance(v, dict | list) for v in values.values()):
            raise self.refuse(logical_id, ".".join(keys), f"is {values!r}, not an object of texts")
        return {name: as_text(value) for name, value in values.items()}

    def whole(self, logical_id: str, *keys: str, default: int, least: int, most: int) -> int:
        """A whole number within Lambda's limits (gettingstarted-limits)."""
        value = self.value(logical_id, *keys, default=default)
        number = _number(value)
        if number is None or not number.is_integer() or not least <= number <= most:
            message = (
                f"is {value!r}; it must be a whole number from {least} to {most} (gettingstarted-limits)"
            )
            raise self.refuse(logical_id, ".".join(keys), message)
        return int(number)


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and not isinstance(value, bool) else None


def _merged(shared: Any, own: Any) -> Any:
    """Globals beneath a function's own: objects key by key, lists one after the other."""
    if isinstance(shared, dict) and isinstance(own, dict):
        return {**shared, **{key: _merged(shared.get(key), value) for key, value in own.items()}}
    if isinstance(shared, list) and isinstance(own, list):
        return [*shared, *own]
    return shared if own is None else own
