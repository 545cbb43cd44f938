"""The deployed template, read for this machine: functions, buckets, queues, rules, and the state machine.

Nothing is written down twice: change a timeout, a memory size or a variable in `template.yaml`, and it changes
here. What is needed and not understood is refused with its path; what is not needed (policies, alarms) is not
looked at.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fanwise_local.data_resources import data_template
from fanwise_local.event_patterns import UnknownPatternError, check_pattern
from fanwise_local.events import Rule
from fanwise_local.intrinsics import TemplateError, load_template
from fanwise_local.schedule_expressions import ScheduleError, parse_expression
from fanwise_local.schedules import Schedule
from fanwise_local.template_resources import (
    ACCOUNT_ID,
    BUCKET,
    FUNCTION,
    LAYER,
    QUEUE,
    REGION,
    RULE,
    SCHEDULE,
    STATE_MACHINE,
    Resources,
)

__all__ = ["LATEST", "Function", "Stack", "TemplateError", "read_stack", "stack_root"]

LATEST = "$LATEST"  # the version of a function that is not a published one
_TEMPLATE = "template.yaml"
# An image runs here from the folder that it is made of, so there always is one.
_ON_THIS_MACHINE = {"PredictBatchImageUri": "of-this-machine"}


@dataclass(frozen=True)
class Function:
    """A Lambda function, as this machine runs it. `handler` is found in `task_root`, `layers` go on the path.

    `runtime` is what AWS_EXECUTION_ENV tells, and so how awslambdaric writes its answers; an image's template does
    not say it. A published version (`version`) has an `arn` of its own.
    """

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
    runtime: str = "python3.12"
    version: str = LATEST


@dataclass(frozen=True)
class Stack:
    """The stack that the template would make, by logical ids, with the names that CloudFormation would give.

    `data_template` is what of it keeps data (`data_resources`).
    """

    name: str
    region: str
    account_id: str
    root: Path
    functions: Mapping[str, Function]
    buckets: Mapping[str, str]
    queues: Mapping[str, str]
    rules: Mapping[str, Rule]
    schedules: Mapping[str, Schedule]
    outputs: Mapping[str, str]
    data_template: Mapping[str, Any]
    definition: str
    substitutions: Mapping[str, str]
    state_machine_arn: str


def stack_root() -> Path:
    """Where `template.yaml` lies: in an installed wheel beside this module, else the source checkout's root."""
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
    template = load_template(_read(root / _TEMPLATE), _TEMPLATE)
    declared = template.get("Parameters") or {}
    values = {name: value for name, value in _ON_THIS_MACHINE.items() if name in declared}
    values |= parameters or {}
    return _Reader(root, Resources(template, _TEMPLATE, stack_name, values)).stack(stack_name)


class _Reader:
    def __init__(self, root: Path, resources: Resources) -> None:
        self._root = root
        self._resources = resources

    def stack(self, name: str) -> Stack:
        machines = self._resources.of_type(STATE_MACHINE)
        if len(machines) != 1:
            raise TemplateError(f"{_TEMPLATE}: has {len(machines)} state machines; this machine runs one")
        (machine,) = machines
        return Stack(
            name=name,
            region=REGION,
            account_id=ACCOUNT_ID,
            root=self._root,
            functions={
                logical_id: self._function(logical_id) for logical_id in self._resources.of_type(FUNCTION)
            },
            buckets={i: str(self._resources.reference(i)) for i in self._resources.of_type(BUCKET)},
            queues={i: str(self._resources.reference(i)) for i in self._resources.of_type(QUEUE)},
            rules={i: self._rule(i) for i in self._resources.of_type(RULE) if self._is_enabled(i)},
            schedules={
                i: self._schedule(i) for i in self._resources.of_type(SCHEDULE) if self._is_enabled(i)
            },
            outputs=self._resources.outputs(),
            data_template=data_template(self._resources),
            definition=_read(self._root / self._resources.text(machine, "DefinitionUri")),
            substitutions=self._resources.texts(machine, "DefinitionSubstitutions"),
            state_machine_arn=str(self._resources.reference(machine)),
        )

    def _function(self, logical_id: str) -> Function:
        is_image = self._resources.value(logical_id, "PackageType") == "Image"
        task_root, handler = self._image(logical_id) if is_image else self._zip(logical_id)
        runtime = None if is_image else self._resources.value(logical_id, "Runtime")
        return Function(
            logical_id=logical_id,
            name=str(self._resources.reference(logical_id)),
            arn=self._resources.attribute(logical_id, "Arn"),
            task_root=task_root,
            handler=handler,
            layers=() if is_image else self._layers(logical_id),
            environment=self._resources.texts(logical_id, "Environment", "Variables"),
            memory_mb=self._resources.whole(logical_id, "MemorySize", default=128, least=128, most=10_240),
            timeout_s=self._resources.whole(logical_id, "Timeout", default=3, least=1, most=900),
            ephemeral_storage_mb=self._resources.whole(
                logical_id, "EphemeralStorage", "Size", default=512, least=512, most=10_240
            ),
            runtime=Function.runtime if runtime is None else str(runtime),
        )

    def _is_enabled(self, logical_id: str) -> bool:
        return str(self._resources.value(logical_id, "State", default="ENABLED")) == "ENABLED"

    def _rule(self, logical_id: str) -> Rule:
        self._refuse_any(logical_id, "EventBusName", "ScheduleExpression")
        pattern = self._resources.value(logical_id, "EventPattern")
        try:
            check_pattern(pattern)
        except UnknownPatternError as error:
            raise self._resources.refuse(logical_id, "EventPattern", str(error)) from error
        targets = self._resources.value(logical_id, "Targets", default=[])
        for number, target in enumerate(targets):
            given = sorted(target.keys() & {"Input", "InputPath", "InputTransformer"})
            if given and target["Arn"] in map(
                self._resources.reference, self._resources.of_type(STATE_MACHINE)
            ):
                where = f"Targets[{number}].{given[0]}"
                raise self._resources.refuse(logical_id, where, "is not read here; events go on as they are")
        return Rule(logical_id, pattern, tuple(str(target["Arn"]) for target in targets))

    def _schedule(self, logical_id: str) -> Schedule:
        self._refuse_any(logical_id, "StartDate", "EndDate", "GroupName")
        timezone = self._resources.value(logical_id, "ScheduleExpressionTimezone", default="UTC")
        try:
            expression = parse_expression(
                self._resources.text(logical_id, "ScheduleExpression"), str(timezone)
            )
        except ScheduleError as error:
            raise self._resources.refuse(logical_id, "ScheduleExpression", str(error)) from error
        given = self._resources.value(logical_id, "Target", "Input")
        try:
            json.loads(given)
        except (TypeError, ValueError) as error:
            raise self._resources.refuse(
                logical_id, "Target.Input", f"is {given!r}, not JSON text"
            ) from error
        return Schedule(
            name=str(self._resources.reference(logical_id)),
            arn=self._resources.attribute(logical_id, "Arn"),
            expression=expression,
            target=str(self._resources.value(logical_id, "Target", "Arn")),
            input=given,
        )

    def _refuse_any(self, logical_id: str, *keys: str) -> None:
        """Properties that would change what comes when, and are not read here."""
        for key in keys:
            if self._resources.value(logical_id, key) not in (None, "default"):
                raise self._resources.refuse(logical_id, key, "is not read on this machine; leave it out")

    def _image(self, logical_id: str) -> tuple[Path, str]:
        """An image runs here by the handler that its ImageConfig names, in the folder that it is made of."""
        command = self._resources.value(logical_id, "ImageConfig", "Command")
        if not isinstance(command, list) or len(command) != 1:
            raise self._resources.refuse(
                logical_id, "ImageConfig.Command", f"is {command!r}; it must be [HANDLER], which runs here"
            )
        return self._folder(logical_id, "ImageConfig.Command", "lambdas"), str(command[0])

    def _zip(self, logical_id: str) -> tuple[Path, str]:
        folder = self._folder(logical_id, "CodeUri", self._resources.text(logical_id, "CodeUri"))
        return folder, self._resources.text(logical_id, "Handler")

    def _folder(self, logical_id: str, key: str, relative: str) -> Path:
        folder = self._root / relative
        if not folder.is_dir():
            raise self._resources.refuse(logical_id, key, f"there is no folder {folder}")
        return folder

    def _layers(self, logical_id: str) -> tuple[Path, ...]:
        """The folders of the layers; in an installed wheel the package is on the path already."""
        by_arn = {str(self._resources.reference(layer)): layer for layer in self._resources.of_type(LAYER)}
        folders = []
        for layer in self._resources.value(logical_id, "Layers", default=[]):
            if layer not in by_arn:
                message = f"{layer!r}: only layers of this template, by !Ref, run on this machine"
                raise self._resources.refuse(logical_id, "Layers", message)
            folder = self._root / self._resources.text(by_arn[layer], "ContentUri")
            # What is built goes into `python/` of the layer; what is not has that folder itself.
            folders.append(folder if self._resources.is_built(by_arn[layer]) else folder / "python")
        return tuple(folder for folder in folders if folder.is_dir())


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TemplateError(f"{path}: cannot be read: {error}") from error
