"""What of a function can be changed through the Lambda door: its memory size, and versions that keep one.

A version is its function as it was when it was published, with environments of its own (configuration-versions).
All of it goes when the door does.
"""

import math
import uuid
from collections.abc import Mapping
from dataclasses import replace

from fanwise_local.environment import InvokeResult
from fanwise_local.functions import FunctionService
from fanwise_local.states.payloads import JSON
from fanwise_local.template import LATEST, Function
from fanwise_local.this_machine import peak_memory_mb

MIN_MEMORY_MB, MAX_MEMORY_MB = 128, 10_240  # API_UpdateFunctionConfiguration
_CHANGED, _PUBLISHED = ("MemorySize", "RevisionId"), ("Description", "RevisionId", "CodeSha256")


class Refused(Exception):
    """A request refused: the shape of the error, its status, and what to say."""

    def __init__(self, shape: str, status: int, message: str) -> None:
        super().__init__(message)
        self.shape = shape
        self.status = status


class Versions:
    """The published versions of a service's functions. Each method may raise `Refused`."""

    def __init__(self, functions: FunctionService) -> None:
        self._functions = functions
        self._published: dict[str, list[Function]] = {}  # by the function's name
        self._numbers: dict[str, int] = {}  # none is given twice
        self._revisions: dict[str, str] = {}  # by ARN, as the following
        self._descriptions: dict[str, str] = {}

    def find(self, function: Function, version: str) -> Function:
        """A version of a function, which may be $LATEST."""
        for one in (function, *self.of(function)):
            if one.version == version:
                return one
        there = ", ".join(one.version for one in (function, *self.of(function)))
        message = f"Function not found: {function.arn}:{version}; of {function.name} there is {there}"
        raise Refused("ResourceNotFoundException", 404, message)

    def of(self, function: Function) -> list[Function]:
        """Its published versions, the oldest first."""
        return self._published.get(function.name, [])

    def description_of(self, function: Function) -> str:
        """What it was described as when it was published."""
        return self._descriptions.get(function.arn, "")

    def revision_of(self, function: Function) -> str:
        """What changes with each change of it."""
        return self._revisions.setdefault(function.arn, str(uuid.uuid4()))

    def update(self, function: Function, members: Mapping[str, JSON]) -> Function:
        """UpdateFunctionConfiguration, of the memory size."""
        self._check(function, members, _CHANGED, "the memory size is all that can be changed")
        size_mb = members.get("MemorySize", function.memory_mb)
        if not isinstance(size_mb, int) or isinstance(size_mb, bool):
            raise Refused("SerializationException", 400, f"MemorySize is {size_mb!r}; a whole number")
        if not MIN_MEMORY_MB <= size_mb <= MAX_MEMORY_MB:
            message = f"MemorySize is {size_mb}; from {MIN_MEMORY_MB} to {MAX_MEMORY_MB}"
            raise Refused("InvalidParameterValueException", 400, message)
        changed = replace(function, memory_mb=size_mb)
        self._functions.put(changed)
        self._revisions[function.arn] = str(uuid.uuid4())
        return changed

    def publish(self, function: Function, members: Mapping[str, JSON]) -> Function:
        """PublishVersion: the last one again, where nothing has changed since (API_PublishVersion)."""
        self._check(function, members, _PUBLISHED, "a version is published with a description at most")
        published = self._published.setdefault(function.name, [])
        if published and published[-1].memory_mb == function.memory_mb:
            return published[-1]
        number = self._numbers[function.name] = self._numbers.get(function.name, 0) + 1
        version = replace(function, version=str(number), arn=f"{function.arn}:{number}")
        self._functions.put(version)
        self._descriptions[version.arn] = str(members.get("Description") or "")
        published.append(version)
        return version

    def delete(self, version: Function) -> None:
        """DeleteFunction, of a published version."""
        if version.version == LATEST:
            message = f"{version.name} is the template's; name a version of it (Qualifier)"
            raise Refused("InvalidParameterValueException", 400, message)
        self._functions.remove(version.arn)
        self._published[version.name].remove(version)

    def _check(
        self, function: Function, members: Mapping[str, JSON], known: tuple[str, ...], what: str
    ) -> None:
        unknown = sorted(members.keys() - {*known})
        if unknown:
            message = f"{unknown[0]} is not served on this machine; {what}"
            raise Refused("InvalidParameterValueException", 400, message)
        revision = members.get("RevisionId")
        if revision not in (None, self.revision_of(function)):
            message = (
                "The RevisionId provided does not match the latest RevisionId; read the configuration again"
            )
            raise Refused("PreconditionFailedException", 412, message)


def report_of(function: Function, result: InvokeResult) -> dict[str, JSON]:
    """What ends the log of an invocation, for a function whose log format is JSON (telemetry-schema-reference).

    The log itself is not told: it is in the function's file.
    """
    init_ms = result.init_ms if result.cold else 0.0
    peak_mb = None if result.pid is None else peak_memory_mb(result.pid)
    metrics: dict[str, JSON] = {
        "durationMs": round(result.duration_ms, 3),
        "billedDurationMs": math.ceil(result.duration_ms + init_ms),  # init too (since 2025-08-01)
        "memorySizeMB": function.memory_mb,
        "maxMemoryUsedMB": min(peak_mb or function.memory_mb, function.memory_mb),
        **({"initDurationMs": round(init_ms, 3)} if result.cold else {}),
    }
    status = "success" if result.fault is None else "error"
    if result.fault is not None and result.fault.error_type == "Sandbox.Timedout":
        status = "timeout"
    record = {"requestId": result.request_id, "metrics": metrics, "status": status}
    return {"type": "platform.report", "record": record}
