"""A state machine and its Standard executions: started, waited for, stopped, described."""

import asyncio
import logging
import random as randoms
import re
import uuid
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal as OneOf
from typing import TypeAlias

from fanwise_local.clock import Clock
from fanwise_local.states.arns import MachineArn, parse_machine_arn
from fanwise_local.states.distributed_map import DistributedMap
from fanwise_local.states.errors import (
    RUNTIME,
    TIMEOUT,
    ExecutionAlreadyExists,
    InvalidExecutionInput,
    InvalidName,
    StatesError,
)
from fanwise_local.states.expressions import plain
from fanwise_local.states.history import WHOLE, History, HistoryEvent
from fanwise_local.states.interpreter import run_flow
from fanwise_local.states.map_run import MapRun
from fanwise_local.states.observer import Observer
from fanwise_local.states.payloads import JSON, MAX_PAYLOAD_BYTES, encode, text, timestamp
from fanwise_local.states.run import Run
from fanwise_local.states.services import Services
from fanwise_local.states.syntax import StateMachineDefinition

__all__ = ["Execution", "ExecutionStatus", "Observer", "StateMachine"]

EXPRESS_TIMEOUT_S = 300.0  # an Express execution's five minutes (service-quotas)
MAX_NAME_LENGTH = 80
_NAME = re.compile(r"[^\s<>{}\[\]?*\"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f]+")  # API_StartExecution

ExecutionStatus: TypeAlias = OneOf["RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"]

_log = logging.getLogger(__name__)


class Execution:
    """One Standard execution (API_DescribeExecution). Dates are seconds since the epoch, by the machine's clock.

    `output` is set when it SUCCEEDED, `error` and `cause` when it did not.
    """

    def __init__(self, arn: str, name: str, execution_input: JSON, clock: Clock, observer: Observer) -> None:
        self.arn = arn
        self.name = name
        self.status: ExecutionStatus = "RUNNING"
        self.input = execution_input
        self.output: JSON = None
        self.error: str | None = None
        self.cause: str | None = None
        self.start_date = clock.now()
        self.stop_date: float | None = None
        self.map_runs: list[MapRun] = []
        self._clock = clock
        self._observer = observer
        self._history = History(clock)
        self._ended = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stop_reason = ("", "")

    @property
    def history(self) -> list[HistoryEvent]:
        """What has happened so far, in order."""
        return self._history.events

    async def wait(self) -> "Execution":
        """Waits for the end, however it ends, and returns itself."""
        await self._ended.wait()
        return self

    def stop(self, error: str = "", cause: str = "") -> None:
        """ABORTED, with its map runs and their children; nothing if it has ended (API_StopExecution)."""
        if self.status == "RUNNING" and self._task is not None:
            self._stop_reason = (error, cause)
            self._task.cancel()

    def _schedule(self, definition: StateMachineDefinition, run: Run, role: str) -> None:
        self._history.add("ExecutionStarted", input=text(self.input), inputDetails=WHOLE, roleArn=role)
        self._task = asyncio.get_running_loop().create_task(self._run(definition, run), name=self.arn)
        # Stopped before its first step, a task never runs, and nobody else would say that it ended.
        self._task.add_done_callback(lambda _task: self._end("ABORTED", *self._stop_reason))

    async def _run(self, definition: StateMachineDefinition, run: Run) -> None:
        limit = asyncio.timeout(definition.timeout_s)
        try:
            async with limit:
                self.output = await run_flow(definition.flow, self.input, run)
            self._end("SUCCEEDED")
        except StatesError as error:
            self._end("FAILED", error.error, error.cause)
        except asyncio.CancelledError:
            self._end("ABORTED", *self._stop_reason)
            raise
        except Exception as error:
            if isinstance(error, TimeoutError) and limit.expired():
                self._end(
                    "TIMED_OUT", TIMEOUT, f"The execution ran longer than {definition.timeout_s:.0f} s."
                )
                return
            _log.error("a service failed otherwise than with a StatesError", exc_info=error)
            self._end("FAILED", RUNTIME, f"{type(error).__name__}: {error}")

    def _end(self, status: ExecutionStatus, error: str = "", cause: str = "") -> None:
        if self.status != "RUNNING":
            return
        self.status, self.stop_date = status, self._clock.now()
        if status == "SUCCEEDED":
            self._history.append("ExecutionSucceeded", output=text(self.output), outputDetails=WHOLE)
        else:
            self.error, self.cause = error or None, cause or None
            told = {name: value for name, value in (("error", self.error), ("cause", self.cause)) if value}
            ending = {"FAILED": "Failed", "TIMED_OUT": "TimedOut", "ABORTED": "Aborted"}[status]
            self._history.append(f"Execution{ending}", **told)
        self._ended.set()
        self._observer.execution_ended(self)


class StateMachine:
    """A Standard state machine, with every execution it has had. To be used on one event loop."""

    def __init__(
        self,
        definition: StateMachineDefinition,
        *,
        arn: str,
        services: Services,
        clock: Clock,
        observer: Observer | None = None,
        random: randoms.Random | None = None,
        express_timeout_s: float = EXPRESS_TIMEOUT_S,
    ) -> None:
        """`random` gives jitter and UUIDs: with a seed, a run on a virtual loop is the same every time."""
        self.arn = arn
        self.definition = definition
        self._machine: MachineArn = parse_machine_arn(arn)
        self._services = services
        self._clock = clock
        self._observer = observer or Observer()
        self._random = random or randoms.Random()
        self._express_timeout_s = express_timeout_s
        self._executions: dict[str, Execution] = {}

    @property
    def executions(self) -> Mapping[str, Execution]:
        """All executions by ARN, in order of their start."""
        return MappingProxyType(self._executions)

    def start_execution(self, input: JSON, name: str | None = None) -> Execution:  # noqa: A002
        """Schedules an execution on the running loop (API_StartExecution).

        The name of one that runs, with the same input, gives that one. Raises `ExecutionAlreadyExists` if it has
        ended or has another input, `InvalidName`, or `InvalidExecutionInput`.
        """
        name = str(uuid.UUID(int=self._random.getrandbits(128), version=4)) if name is None else name
        if len(name) > MAX_NAME_LENGTH or not _NAME.fullmatch(name):
            raise InvalidName(
                f"{name!r}: 1 to {MAX_NAME_LENGTH} characters, without spaces, wildcards or brackets"
            )
        _check_input(input)
        arn = self._machine.execution(name)
        existing = self._executions.get(arn)
        if existing is not None:
            if existing.status == "RUNNING" and existing.input == input:
                return existing
            raise ExecutionAlreadyExists(f"{arn} exists, {existing.status}; start under another name")
        execution = Execution(arn, name, input, self._clock, self._observer)
        self._executions[arn] = execution
        execution._schedule(self.definition, self._run_of(execution), self._machine.role)
        return execution

    def _run_of(self, execution: Execution) -> Run:
        run_map = DistributedMap(
            machine=self._machine,
            execution_arn=execution.arn,
            services=self._services,
            clock=self._clock,
            random=self._random,
            history=execution._history,
            observer=self._observer,
            map_runs=execution.map_runs,
            express_timeout_s=self._express_timeout_s,
        )
        context = {
            "Id": execution.arn,
            "Input": execution.input,
            "Name": execution.name,
            "RoleArn": self._machine.role,
            "StartTime": timestamp(execution.start_date),
            "RedriveCount": 0,
        }
        return Run(
            services=self._services,
            clock=self._clock,
            random=self._random,
            execution_context=context,
            machine_context={"Id": self.arn, "Name": self._machine.name},
            history=execution._history,
            run_map=run_map,
            entered=lambda state_name, value: self._observer.state_entered(execution, state_name, value),
        )


def _check_input(value: JSON) -> None:
    try:
        size_bytes = len(encode(plain(value)))
    except (TypeError, ValueError) as error:
        raise InvalidExecutionInput(f"the input is not JSON: {error}") from error
    if size_bytes > MAX_PAYLOAD_BYTES:
        raise InvalidExecutionInput(
            f"the input has {size_bytes} bytes; at most {MAX_PAYLOAD_BYTES} (service-quotas)"
        )
