"""The states of a definition, parsed: what `parsing` makes and `interpreter` runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal as OneOf
from typing import TypeAlias

from fanwise_local.states.fields import NumberField, TextField
from fanwise_local.states.templates import Computed, Template

Assignments: TypeAlias = tuple[tuple[str, Template], ...]


@dataclass(frozen=True, slots=True)
class Retrier:
    """One object of Retry; times in seconds."""

    error_equals: tuple[str, ...]
    interval_s: float
    max_attempts: int
    backoff_rate: float
    max_delay_s: float | None
    full_jitter: bool


@dataclass(frozen=True, slots=True)
class Catcher:
    """One object of Catch."""

    error_equals: tuple[str, ...]
    next: str
    output: Template | None
    assign: Assignments


@dataclass(frozen=True, slots=True)
class State:
    """What every state has. `next` is None where it ends its flow."""

    name: str
    type: str
    next: str | None
    output: Template | None
    assign: Assignments


@dataclass(frozen=True, slots=True)
class TaskState(State):
    """Calls a service."""

    resource: str
    arguments: Template
    timeout_s: NumberField | None
    retriers: tuple[Retrier, ...]
    catchers: tuple[Catcher, ...]


@dataclass(frozen=True, slots=True)
class ChoiceRule:
    """One object of Choices."""

    condition: Computed | Template
    next: str
    output: Template | None
    assign: Assignments


@dataclass(frozen=True, slots=True)
class ChoiceState(State):
    """Goes on at the first rule that is true, or at `next`, its Default."""

    rules: tuple[ChoiceRule, ...]


@dataclass(frozen=True, slots=True)
class PassState(State):
    """Passes on."""


@dataclass(frozen=True, slots=True)
class WaitState(State):
    """Waits for seconds, or until a time; one of the two is there."""

    seconds: NumberField | None
    timestamp: TextField | None


@dataclass(frozen=True, slots=True)
class SucceedState(State):
    """Ends its flow."""


@dataclass(frozen=True, slots=True)
class FailState(State):
    """Ends its flow with an error."""

    error: TextField | None
    cause: TextField | None


@dataclass(frozen=True, slots=True)
class ItemReader:
    """A JSONL file in S3 (input-output-itemreader)."""

    bucket: TextField
    key: TextField
    max_items: NumberField | None


@dataclass(frozen=True, slots=True)
class ResultWriter:
    """Where and how a Map Run's results go: without a bucket, to the output (input-output-resultwriter)."""

    bucket: TextField | None
    prefix: TextField | None
    transformation: OneOf["NONE", "COMPACT", "FLATTEN"]
    json_lines: bool


@dataclass(frozen=True, slots=True)
class MapState(State):
    """A Distributed Map with Express children (state-map-distributed)."""

    label: str
    flow: "Flow"
    reader: ItemReader | None
    items: Template | None
    item_selector: Template | None
    max_concurrency: NumberField | None
    tolerated_failure_percentage: NumberField | None
    tolerated_failure_count: NumberField | None
    writer: ResultWriter | None
    retriers: tuple[Retrier, ...]
    catchers: tuple[Catcher, ...]


@dataclass(frozen=True, slots=True)
class Flow:
    """States that lead to each other: a state machine's, or those of an ItemProcessor."""

    start_at: str
    states: Mapping[str, State]


@dataclass(frozen=True, slots=True)
class StateMachineDefinition:
    """A whole definition, checked; `text` is its JSON, with what its substitutions stand for."""

    flow: Flow
    timeout_s: float | None
    comment: str
    text: str
