"""Tries on Lambda: versions of PredictBatch, published for the time of a tuning, each with a memory size.

A deployed function has one memory size. It is changed for as long as it takes to publish a version, which keeps
it; versions have environments of their own, so the first invocation of each is a cold start. Durations are those
of the invocation's report (LogType Tail, API_Invoke).
"""

import base64
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from fanwise.errors import FanwiseError, StackError
from fanwise.reckoning.batching import TARGET_WORK_S
from fanwise.records import Entry, Runtime
from fanwise_cli.interruption import uninterrupted
from fanwise_cli.stack.aws_errors import aws_errors_told
from fanwise_cli.stack.connection import DeployedStack
from fanwise_cli.tuning.sample import Sample
from fanwise_cli.tuning.trials import Invoke, Setting, Trial, trial_of

DESCRIPTION = "to be deleted: fanwise tune"  # of versions; a run adds its own name, by which they are found
WAIT = {"Delay": 1, "MaxAttempts": 300}  # of botocore's waiters, in seconds
# An invocation that was interrupted goes on by itself; so long it is waited for, since it leaves results behind.
AT_WORK_S, LOOK_EVERY_S = TARGET_WORK_S + 10, 0.2
# A REPORT line, where the log format is text (python-logging); in JSON it is an event of its own.
_IN_TEXT = {
    "durationMs": r"\tDuration: ([\d.]+) ms",
    "initDurationMs": r"\tInit Duration: ([\d.]+) ms",
    "maxMemoryUsedMB": r"\tMax Memory Used: (\d+) MB",
}
_BEYOND = ("InvalidParameterValueException", "ValidationException")  # a size that the account may not have


@dataclass
class Published:
    """What was published: versions by setting, and sizes that Lambda refused."""

    versions: dict[Setting, str] = field(default_factory=dict)
    refused: dict[Setting, str] = field(default_factory=dict)


def memory_of(stack: DeployedStack, runtime: Runtime) -> int:
    """The memory size that PredictBatch with a runtime is deployed with."""
    told = stack.functions.get_function_configuration(FunctionName=stack.predict_batch[runtime])
    return int(told["MemorySize"])


@contextmanager
def published(
    stack: DeployedStack, settings: Sequence[Setting], left: Callable[[str], None]
) -> Iterator[Published]:
    """Publish a version for each setting; in the end they are deleted, whatever happens between.

    What cannot be cleaned up is told to `left`, with the command that does. Raises `StackError` where executions
    are at work, which would see the memory change.
    """
    found, undo = Published(), _Undo(stack)
    try:
        for runtime in dict.fromkeys(setting.runtime for setting in settings):
            _publish(stack, [one for one in settings if one.runtime == runtime], found, undo)
        yield found
    finally:
        with uninterrupted():
            undo.all(left)


def _publish(stack: DeployedStack, settings: Sequence[Setting], found: Published, undo: "_Undo") -> None:
    from botocore.exceptions import ClientError  # noqa: PLC0415 - only where AWS is talked to

    client, name = stack.functions, stack.predict_batch[settings[0].runtime]
    deployed_mb = memory_of(stack, settings[0].runtime)
    if any(setting.memory_mb != deployed_mb for setting in settings):
        _refuse_while_at_work(stack)
    undo.names.append(name)
    now_mb = deployed_mb
    for setting in settings:
        if setting.memory_mb != now_mb:
            undo.memory_mb[name] = deployed_mb
            try:
                client.update_function_configuration(FunctionName=name, MemorySize=setting.memory_mb)
            except ClientError as error:
                if error.response["Error"]["Code"] not in _BEYOND:
                    raise
                found.refused[setting] = "Lambda refuses this memory size to the account"
                continue
            client.get_waiter("function_updated").wait(FunctionName=name, WaiterConfig=WAIT)
            now_mb = setting.memory_mb
        # One that is there already, where nothing has changed since (API_PublishVersion): it stays.
        version = client.publish_version(FunctionName=name, Description=undo.description)
        if version["MemorySize"] != setting.memory_mb:
            raise StackError(
                f"{name}: was given another memory size meanwhile ({version['MemorySize']} MB); is somebody else"
                f" at work on it? Try again when they are done"
            )
        client.get_waiter("published_version_active").wait(
            FunctionName=name, Qualifier=version["Version"], WaiterConfig=WAIT
        )
        found.versions[setting] = version["Version"]
    undo.memory(name)


def _refuse_while_at_work(stack: DeployedStack) -> None:
    running = stack.step_functions.list_executions(
        stateMachineArn=stack.state_machine_arn, statusFilter="RUNNING", maxResults=1
    )["executions"]
    if running:
        raise StackError(
            f"stack {stack.name} has jobs at work ({running[0]['name']}), and would change their memory for some"
            f" seconds; wait for them, or give --memory with the deployed size alone"
        )


class _Undo:
    """What there is to take back: memory sizes, and versions of functions by name."""

    def __init__(self, stack: DeployedStack) -> None:
        self._stack = stack
        self.description = f"{DESCRIPTION} {time.time_ns():x}"
        self.memory_mb: dict[str, int] = {}
        self.names: list[str] = []

    def memory(self, name: str) -> None:
        """Give a function its memory size back, if it has another one."""
        if name not in self.memory_mb:
            return
        client = self._stack.functions
        client.get_waiter("function_updated").wait(FunctionName=name, WaiterConfig=WAIT)
        client.update_function_configuration(FunctionName=name, MemorySize=self.memory_mb[name])
        client.get_waiter("function_updated").wait(FunctionName=name, WaiterConfig=WAIT)
        del self.memory_mb[name]

    def all(self, left: Callable[[str], None]) -> None:
        """Take all back that can be, and say what cannot."""
        for name, memory_mb in list(self.memory_mb.items()):
            command = f"update-function-configuration --memory-size {memory_mb}"
            with self._telling(left, name, f"has not its {memory_mb} MB back", command):
                self.memory(name)
        for name in self.names:
            listing = (
                f"list-versions-by-function --query \"Versions[?Description=='{self.description}'].Version\""
            )
            with self._telling(left, name, "may have versions left", listing):
                for version in self._versions(name):
                    deletion = f"delete-function --qualifier {version}"
                    with self._telling(left, name, f"version {version} is still there", deletion):
                        self._stack.functions.delete_function(FunctionName=name, Qualifier=version)

    def _versions(self, name: str) -> list[str]:
        """Those of this run, also where its answer was not heard."""
        pages = self._stack.functions.get_paginator("list_versions_by_function").paginate(FunctionName=name)
        every = [one for page in pages for one in page["Versions"]]
        return [one["Version"] for one in every if one.get("Description") == self.description]

    @contextmanager
    def _telling(self, left: Callable[[str], None], name: str, what: str, command: str) -> Iterator[None]:
        """Tell of what AWS says no to, with the command that does it, in place of raising."""
        where = f"--region {self._stack.place.region} --function-name {name}"
        try:
            with aws_errors_told(self._stack.place):
                yield
        except FanwiseError as error:
            left(f"{name}: {what} ({error}); give: aws lambda {command} {where}")


class StackBench:
    """Invocations of published versions."""

    def __init__(self, stack: DeployedStack, sample: Sample, made: Published) -> None:
        self._stack = stack
        self._sample = sample
        self._made = made

    @contextmanager
    def at(self, setting: Setting) -> Iterator[Invoke]:
        """The setting's version."""
        if setting in self._made.refused:
            yield lambda _: Trial(failed=self._made.refused[setting])
        else:
            yield lambda entry: self._invoke(setting, entry)

    def _invoke(self, setting: Setting, entry: Entry) -> Trial:
        event, name = self._sample.event(setting.runtime, entry)
        began = time.monotonic()
        try:
            answer = self._stack.functions.invoke(
                FunctionName=self._stack.predict_batch[setting.runtime],
                Qualifier=self._made.versions[setting],
                LogType="Tail",
                Payload=json.dumps(event).encode(),
            )
        except KeyboardInterrupt:
            with uninterrupted():
                self._await_end(setting, name)
            raise
        took_ms = (time.monotonic() - began) * 1000
        payload = answer["Payload"].read()
        metrics = report_in(base64.b64decode(answer.get("LogResult", "")).decode(errors="replace"))
        commit = self._sample.commit(setting.runtime, name)
        invocation = commit.invocation if commit is not None else None
        # Without a report (a log level above INFO has none) the handler's own figures are the next best.
        duration_ms = metrics.get("durationMs", invocation.duration_ms if invocation else took_ms)
        own_init_ms = invocation.init_ms if invocation and invocation.cold else 0.0
        peak_mb = metrics.get("maxMemoryUsedMB")
        return trial_of(
            commit,
            entry.count,
            duration_ms=duration_ms,
            init_ms=metrics.get("initDurationMs", 0.0 if metrics else own_init_ms),
            peak_memory_mb=None if peak_mb is None else int(peak_mb),
            error=_error_in(payload) if answer.get("FunctionError") else None,
        )

    def _await_end(self, setting: Setting, name: str) -> None:
        """Wait until an invocation that nobody listens to has written its last, the commit; not for ever."""
        until = time.monotonic() + AT_WORK_S
        while self._sample.commit(setting.runtime, name) is None and time.monotonic() < until:
            time.sleep(LOOK_EVERY_S)


def report_in(log: str) -> Mapping[str, float]:
    """The figures of an invocation's report, by the names that it has in JSON; none where there is no report."""
    for line in reversed(log.splitlines()):
        if line.startswith("REPORT "):
            found = {name: re.search(pattern, line) for name, pattern in _IN_TEXT.items()}
            return {name: float(match[1]) for name, match in found.items() if match is not None}
        try:
            told: Any = json.loads(line)
        except ValueError:  # of a log in text, or cut at the beginning of its last 4 KB
            continue
        if isinstance(told, dict) and told.get("type") == "platform.report":
            metrics = told.get("record", {}).get("metrics", {})
            return {name: float(metrics[name]) for name in _IN_TEXT if name in metrics}
    return {}


def _error_in(payload: bytes) -> str:
    """The type of an error, as Step Functions would name it."""
    try:
        told = json.loads(payload)
        message = str(told.get("errorMessage", ""))
        return str(
            told.get("errorType") or ("Sandbox.Timedout" if "timed out" in message else "Lambda.Unknown")
        )
    except (ValueError, AttributeError):
        return "Lambda.Unknown"
