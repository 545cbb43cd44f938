"""The rules of a fault plan: a fault each, and the invocations that it befalls (docs/faults.md)."""

from fnmatch import fnmatchcase
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

LONGEST_S = 900  # of a Lambda function (gettingstarted-limits)

Glob = Annotated[str, Meta(min_length=1)]
Seconds = Annotated[float, Meta(ge=0, le=LONGEST_S)]
Operation = Literal["head", "read", "write", "create", "list", "delete"]
OperationOrAny = Literal["head", "read", "write", "create", "list", "delete", "*"]
Moment = Literal["before work", "between part and commit", "after commit"]


class Rule(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag_field="fault",
):
    """Whom a fault befalls.

    `function` and `entry` are globs; `entry` and `attempt`, where they are said, want an event with an entry. Of
    the invocations with the same function, entry and attempt `skip` pass, then it befalls `times` (None: all),
    each with `probability`.
    """

    function: Glob = "*"
    entry: Glob | None = None
    attempt: Annotated[int, Meta(ge=1)] | None = None
    probability: Annotated[float, Meta(ge=0, le=1)] = 1.0
    times: Annotated[int, Meta(ge=1)] | None = 1
    skip: Annotated[int, Meta(ge=0)] = 0

    def matches(self, function: str, entry: str | None, attempt: int | None, number: int) -> bool:
        """Whether it may befall an invocation, the `number`-th (from 0) of those coordinates; chance aside."""
        return (
            fnmatchcase(function, self.function)
            and (self.entry is None or (entry is not None and fnmatchcase(entry, self.entry)))
            and (self.attempt is None or attempt == self.attempt)
            and self.skip <= number
            and (self.times is None or number < self.skip + self.times)
        )


# What Step Functions sees of Lambda: brought about in the cloud's process.


class Throttle(Rule, frozen=True, kw_only=True, tag="throttle"):
    """Lambda refuses the invocation: `Lambda.TooManyRequestsException`."""


class Error(Rule, frozen=True, kw_only=True, tag="error"):
    """Lambda fails before it runs the function; `error` is the name that Step Functions sees."""

    error: Annotated[str, Meta(min_length=1)]


class Delay(Rule, frozen=True, kw_only=True, tag="delay"):
    """The function is run so much later."""

    seconds: Seconds


class DropResponse(Rule, frozen=True, kw_only=True, tag="drop_response"):
    """The function runs to its end and nobody hears of it: `Lambda.SdkClientException`."""


class RepeatInvocation(Rule, frozen=True, kw_only=True, tag="repeat_invocation"):
    """The function runs twice with the same event, one after the other; the second answer counts."""


# What happens inside the invocation: brought about in the function's process.


class Kill(Rule, frozen=True, kw_only=True, tag="kill"):
    """The process ends by SIGKILL: `Runtime.ExitError`."""

    when: Moment = "before work"


class ExceedMemory(Rule, frozen=True, kw_only=True, tag="exceed_memory"):
    """The process takes more memory than the function has: `Runtime.OutOfMemory`."""


class ExceedTime(Rule, frozen=True, kw_only=True, tag="exceed_time"):
    """The process hangs, and the invocation's deadline comes after `seconds`: `Sandbox.Timedout`."""

    seconds: Annotated[float, Meta(gt=0, le=LONGEST_S)] = 1.0


class RepeatResponse(Rule, frozen=True, kw_only=True, tag="repeat_response"):
    """The process answers twice; the second time it is refused."""


class WriteLate(Rule, frozen=True, kw_only=True, tag="write_late"):
    """At its commit the process is taken for dead (`Sandbox.Timedout`), and `seconds` later it commits."""

    seconds: Seconds


# What the store does to the invocation: there too.


class StoreRule(Rule, frozen=True, kw_only=True):
    """`key` is a glob over `bucket/key`; `count` bounds how many operations of the invocation it hits."""

    key: Glob = "*"
    count: Annotated[int, Meta(ge=1)] | None = None

    def hits(self, operation: Operation, name: str) -> bool:
        """Whether it hits an operation on `bucket/key`, or a listing of what lies below it."""
        return self._acts_on(operation) and fnmatchcase(name, self.key)

    def _acts_on(self, operation: Operation) -> bool:
        raise NotImplementedError


class StoreError(StoreRule, frozen=True, kw_only=True, tag="store_error"):
    """The store does not answer; or, writing, its disk is full."""

    operation: OperationOrAny = "*"
    error: Literal["unavailable", "disk full"] = "unavailable"

    def __post_init__(self) -> None:
        if self.error == "disk full" and self.operation not in ("write", "create", "*"):
            raise ValueError(f'a disk that is full does not mind "{self.operation}"; use "write" or "create"')

    def _acts_on(self, operation: Operation) -> bool:
        if self.error == "disk full" and operation not in ("write", "create"):
            return False
        return self.operation in (operation, "*")


class SlowStore(StoreRule, frozen=True, kw_only=True, tag="slow_store"):
    """The operation takes so much longer."""

    seconds: Seconds
    operation: OperationOrAny = "*"

    def _acts_on(self, operation: Operation) -> bool:
        return self.operation in (operation, "*")


class Truncate(StoreRule, frozen=True, kw_only=True, tag="truncate"):
    """A read gives the first half of what it should."""

    def _acts_on(self, operation: Operation) -> bool:
        return operation == "read"


class UncertainCreate(StoreRule, frozen=True, kw_only=True, tag="uncertain_create"):
    """A conditional write answers with an error, although it is `done` or because it is not."""

    done: bool

    def _acts_on(self, operation: Operation) -> bool:
        return operation == "create"


OnlyOne: TypeAlias = (
    Throttle
    | Error
    | Kill
    | ExceedMemory
    | ExceedTime
    | DropResponse
    | RepeatResponse
    | RepeatInvocation
    | WriteLate
)
"""Deadly, or changing the answer: one befalls an invocation at most."""

Fault: TypeAlias = OnlyOne | Delay | StoreError | SlowStore | Truncate | UncertainCreate

KINDS: dict[str, type[Fault]] = {
    kind.__struct_config__.tag: kind  # type: ignore[misc]
    for kind in (
        Throttle,
        Error,
        Delay,
        DropResponse,
        RepeatInvocation,
        Kill,
        ExceedMemory,
        ExceedTime,
        RepeatResponse,
        WriteLate,
        StoreError,
        SlowStore,
        Truncate,
        UncertainCreate,
    )
}
"""By the name that a plan's "fault" has."""
