"""The deployed template, read for this machine: functions, buckets, queues, and the state machine's definition.

Nothing is written down twice: change a timeout, a memory size or a variable in `template.yaml`, and it changes here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fanwise_local.intrinsics import Resolver, TemplateError, load_template

ACCOUNT_ID = "123456789012"  # AWS's own example account
REGION = "us-east-1"
FUNCTION, LAYER, STATE_MACHINE = (
    "AWS::Serverless::Function",
    "AWS::Serverless::LayerVersion",
    "AWS::Serverless::StateMachine",
)
_TEMPLATE = "template.yaml"


@dataclass(frozen=True)
class Function:
    """A Lambda function, as this machine runs it. `task_root` is where `handler` is found, `layers` go on the path."""

    logical_id: str
    name: str
    arn: str
    task_root: Path
    handler: str
    layers: tuple[Path, ...]
    environment: Mapping[str, str]
    memory_mb: int
    timeout_s: int
    ephemeral_storage_mb: int


@dataclass(frozen=True)
class Stack:
    """The stack that the template would make, by logical ids, with the names that CloudFormation would give."""

    name: str
    region: str
    account_id: str
    root: Path
    functions: Mapping[str, Function]
    buckets: Mapping[str, str]
    queues: Mapping[str, str]
    outputs: Mapping[str, str]
    definition: str
    substitutions: Mapping[str, str]
    state_machine_arn: str


def stack_root() -> Path:
    """Where `template.yaml` lies: inside an installed wheel beside this module, else the source checkout's root."""
    for root in (Path(__file__).parent / "stack", Path(__file__).parents[2]):
        if (root / _TEMPLATE).is_file():
            return root
    raise TemplateError(
        f"{_TEMPLATE} is neither in the installed package nor in a checkout; install fanwise again"
    )


def read_stack(
    root: Path, *, stack_name: str = "fanwise", parameters: Mapping[str, str] | None = None
) -> Stack:
    """Read `root/template.yaml`; raises `TemplateError` with the place of what cannot be read."""
    return _Reader(root, stack_name, parameters or {}).stack()


class _Reader:
    def __init__(self, root: Path, stack_name: str, parameters: Mapping[str, str]) -> None:
        self._root = root
        self._name = stack_name
        try:
            text = (root / _TEMPLATE).read_text(encoding="utf-8")
        except OSError as error:
            raise TemplateError(f"{root / _TEMPLATE}: {error.strerror}") from error
        template = load_template(text, _TEMPLATE)
        self._template = template
        self._references: dict[str, Any] = {
            "AWS::StackName": stack_name,
            "AWS::AccountId": ACCOUNT_ID,
            "AWS::Region": REGION,
            "AWS::Partition": "aws",
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT_ID}:stack/{stack_name}/local",
        }
        self._resolver = Resolver(
            _TEMPLATE,
            self._references,
            self._attribute,
            template.get("Mappings", {}),
            template.get("Conditions", {}),
        )
        self._read_parameters(parameters)
        self._resources = {
            logical_id: resource
            for logical_id, resource in template["Resources"].items()
            if "Condition" not in resource
            or self._resolver.condition(resource["Condition"], f"Resources.{logical_id}.Condition")
        }
        for logical_id, resource in self._resources.items():
            self._references[logical_id] = _LazyName(logical_id)
            self._references[logical_id] = self._physical(logical_id, resource)

    def _read_parameters(self, given: Mapping[str, str]) -> None:
        declared: dict[str, Any] = self._template.get("Parameters", {})
        for name in given.keys() - declared.keys():
            raise TemplateError(
                f"{_TEMPLATE}: there is no parameter {name!r}; there are {', '.join(declared)}"
            )
        for name, parameter in declared.items():
            path = f"Parameters.{name}"
            value = given.get(name, parameter.get("Default"))
            if value is None:
                raise self._resolver.refuse(path, "has no default and was not given")
            self._references[name] = self._checked(value, parameter, path)

    def _checked(self, value: Any, parameter: dict[str, Any], path: str) -> Any:
        allowed = parameter.get("AllowedValues")
        if allowed is not None and str(value) not in map(str, allowed):
            raise self._resolver.refuse(path, f"is {value!r}; allowed are {', '.join(map(str, allowed))}")
        if parameter["Type"] != "Number":
            return str(value)
        try:
            number = float(value)
        except ValueError as error:
            raise self._resolver.refuse(path, f"is {value!r}, not a number") from error
        low, high = float(parameter.get("MinValue", "-inf")), float(parameter.get("MaxValue", "inf"))
        if not low <= number <= high:
            raise self._resolver.refuse(path, f"is {value}; it must be from {low:g} to {high:g}")
        return int(number) if number.is_integer() else number

    def _properties(self, logical_id: str) -> dict[str, Any]:
        properties: dict[str, Any] = self._resources[logical_id].get("Properties", {})
        return properties

    def _resolved(self, logical_id: str, *keys: str) -> Any:
        """A property of a resource with its functions resolved; None where it is not there."""
        node: Any = self._properties(logical_id)
        for key in keys:
            if not isinstance(node, dict) or key not in node:
                return None
            node = node[key]
        return self._resolver.value(node, ".".join(("Resources", logical_id, "Properties", *keys)))

    def _physical(self, logical_id: str, resource: dict[str, Any]) -> Any:
        """What Ref of a resource gives; for types that this machine does not make, a name as good as any."""
        kind = resource["Type"]
        unnamed = f"{self._name}-{logical_id}"
        if kind == "AWS::S3::Bucket":
            return self._resolved(logical_id, "BucketName") or unnamed.lower()
        if kind == "AWS::SQS::Queue":
            name = self._resolved(logical_id, "QueueName") or unnamed
            return f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT_ID}/{name}"
        if kind == FUNCTION:
            return self._resolved(logical_id, "FunctionName") or unnamed
        if kind == STATE_MACHINE:
            name = self._resolved(logical_id, "Name") or unnamed
            return f"arn:aws:states:{REGION}:{ACCOUNT_ID}:stateMachine:{name}"
        return unnamed

    def _attribute(self, logical_id: str, attribute: str) -> str:
        kind = self._resources[logical_id]["Type"]
        name = str(self._references[logical_id])
        if kind == "AWS::S3::Bucket" and attribute == "Arn":
            return f"arn:aws:s3:::{name}"
        if kind == "AWS::SQS::Queue" and attribute in ("Arn", "QueueName"):
            queue = name.rpartition("/")[2]
            return queue if attribute == "QueueName" else f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:{queue}"
        if kind == FUNCTION and attribute == "Arn":
            return f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{name}"
        if kind == STATE_MACHINE and attribute in ("Arn", "Name"):
            return name if attribute == "Arn" else name.rpartition(":")[2]
        raise KeyError(attribute)

    def _of_type(self, kind: str) -> list[str]:
        return [logical_id for logical_id, r in self._resources.items() if r["Type"] == kind]

    def stack(self) -> Stack:
        machines = self._of_type(STATE_MACHINE)
        if len(machines) != 1:
            raise TemplateError(f"{_TEMPLATE}: has {len(machines)} state machines; this machine runs one")
        (machine,) = machines
        definition = self._root / str(self._resolved(machine, "DefinitionUri"))
        try:
            text = definition.read_text(encoding="utf-8")
        except OSError as error:
            raise TemplateError(f"{definition}: {error.strerror}") from error
        substitutions = self._resolved(machine, "DefinitionSubstitutions") or {}
        return Stack(
            name=self._name,
            region=REGION,
            account_id=ACCOUNT_ID,
            root=self._root,
            functions={logical_id: self._function(logical_id) for logical_id in self._of_type(FUNCTION)},
            buckets={i: str(self._references[i]) for i in self._of_type("AWS::S3::Bucket")},
            queues={i: str(self._references[i]) for i in self._of_type("AWS::SQS::Queue")},
            outputs={
                name: str(self._resolver.value(output["Value"], f"Outputs.{name}.Value"))
                for name, output in self._template.get("Outputs", {}).items()
                if "Condition" not in output
                or self._resolver.condition(output["Condition"], f"Outputs.{name}.Condition")
            },
            definition=text,
            substitutions={name: str(value) for name, value in substitutions.items()},
            state_machine_arn=str(self._references[machine]),
        )

    def _function(self, logical_id: str) -> Function:
        shared = self._resolver.value(
            self._template.get("Globals", {}).get("Function", {}), "Globals.Function"
        )
        own = self._resolver.value(self._properties(logical_id), f"Resources.{logical_id}.Properties")
        merged = {**shared, **own}
        variables = {
            **shared.get("Environment", {}).get("Variables", {}),
            **own.get("Environment", {}).get("Variables", {}),
        }
        task_root, handler = self._code(logical_id, merged)
        return Function(
            logical_id=logical_id,
            name=str(self._references[logical_id]),
            arn=self._attribute(logical_id, "Arn"),
            task_root=task_root,
            handler=handler,
            layers=self._layers(logical_id),
            environment={name: str(value) for name, value in variables.items()},
            memory_mb=self._whole(merged, "MemorySize", 128, logical_id),
            timeout_s=self._whole(merged, "Timeout", 3, logical_id),
            ephemeral_storage_mb=int(merged.get("EphemeralStorage", {}).get("Size", 512)),
        )

    def _whole(self, properties: dict[str, Any], key: str, default: int, logical_id: str) -> int:
        try:
            number = int(properties.get(key, default))
        except (TypeError, ValueError) as error:
            path = f"Resources.{logical_id}.Properties.{key}"
            raise self._resolver.refuse(path, f"is {properties[key]!r}, not a whole number") from error
        return number

    def _code(self, logical_id: str, properties: dict[str, Any]) -> tuple[Path, str]:
        """Where the code lies and which handler runs; of an image, the one that its ImageConfig names."""
        path = f"Resources.{logical_id}.Properties"
        if properties.get("PackageType") == "Image":
            command = properties.get("ImageConfig", {}).get("Command")
            if not command:
                raise self._resolver.refuse(f"{path}.ImageConfig.Command", "is missing; it names the handler")
            return self._root / "lambdas", str(command[0])
        if "CodeUri" not in properties or "Handler" not in properties:
            raise self._resolver.refuse(path, "a zip function needs CodeUri and Handler")
        return self._root / properties["CodeUri"], properties["Handler"]

    def _layers(self, logical_id: str) -> tuple[Path, ...]:
        """The folders of the layers; in an installed wheel the package is on the path already."""
        folders = []
        for node in self._properties(logical_id).get("Layers", []):
            name = str(node.get("Ref")) if isinstance(node, dict) else ""
            if name not in self._resources or self._resources[name]["Type"] != LAYER:
                path = f"Resources.{logical_id}.Properties.Layers"
                raise self._resolver.refuse(
                    path, "only layers of this template, by !Ref, run on this machine"
                )
            folder = self._root / str(self._resolved(name, "ContentUri"))
            if folder.is_dir():
                folders.append(folder)
        return tuple(folders)


class _LazyName:
    """What Ref of a resource gives while its own name is being worked out: a cycle that would say nothing."""

    def __init__(self, logical_id: str) -> None:
        self._logical_id = logical_id

    def __str__(self) -> str:
        raise TemplateError(f"{_TEMPLATE}: Resources.{self._logical_id}: its name refers to itself")
