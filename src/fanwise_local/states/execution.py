"""One Standard execution: its status, its history, its end, and how it is redriven."""

import asyncio
import logging
from collections import deque
from typing import Literal as OneOf
from typing import TypeAlias

from fanwise_local.clock import Clock
from fanwise_local.states.errors import RUNTIME, TIMEOUT, ExecutionNotRedrivable, StatesError
from fanwise_local.states.history import MAX_EVENTS, WHOLE, History, HistoryEvent
from fanwise_local.states.interpreter import run_flow
from fanwise_local.states.map_run import MapRun
from fanwise_local.states.observer import Observer
from fanwise_local.states.payloads import JSON, text, timestamp
from fanwise_local.states.run import Run
from fanwise_local.states.syntax import StateMachineDefinition

REDRIVABLE_S = 14 * 24 * 3600.0  # after its end (redrive-executions)
MAX_OPEN_S = 365 * 24 * 3600.0  # from the first start of an execution to its last end (service-quotas)
TOKENS_KEPT, TOKEN_VALID_S = 10, 15 * 60.0  # a redrive's client tokens (API_RedriveExecution)

ExecutionStatus: TypeAlias = OneOf["RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"]

_log = logging.getLogger(__name__)


class Execution:
    """One Standard execution (API_DescribeExecution). Dates are seconds since the epoch, by the machine's clock.

    `output` is set when it SUCCEEDED, `error` and `cause` when it did not. What a redrive needs (variables; of a
    Map Run its items and results) is kept while it may be redriven.
    """

    def __init__(
        self,
        arn: str,
        name: str,
        execution_input: JSON,
        *,
        clock: Clock,
        observer: Observer,
        history: History,
    ) -> None:
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
        self.redrive_count = 0
        self.redrive_date: float | None = None
        self._clock = clock
        self._observer = observer
        self._history = history
        self._ended = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stop_reason = ("", "")
        self._run: Run | None = None  # while a redrive may go on with it
        self._forgetting: asyncio.TimerHandle | None = None
        self._redrive_tokens: deque[tuple[str, float]] = deque(maxlen=TOKENS_KEPT)

    @property
    def history(self) -> list[HistoryEvent]:
        """What has happened so far, in order."""
        return self._history.events

    @property
    def not_redrivable(self) -> str | None:
        """Why it cannot be redriven now, in the words of redriveStatusReason; None if it can."""
        if self.status in ("RUNNING", "SUCCEEDED") or self.stop_date is None:
            return f"Execution is {self.status} and cannot be redriven"
        now = self._clock.now()
        if now - self.stop_date > REDRIVABLE_S or self._run is None:
            return "Execution redrivable period exceeded"
        if now - self.start_date > MAX_OPEN_S:
            return "Execution has exceeded the max execution time"
        # Its own event and another one have to find room (redrive-executions).
        return "Execution history event limit exceeded" if len(self.history) >= MAX_EVENTS - 1 else None

    async def wait(self) -> "Execution":
        """Waits for the end, however it ends, and returns itself."""
        await self._ended.wait()
        return self

    def stop(self, error: str = "", cause: str = "") -> None:
        """ABORTED, with its map runs and their children; nothing if it has ended (API_StopExecution)."""
        if self.status == "RUNNING" and self._task is not None:
            self._stop_reason = (error, cause)
            self._task.cancel()

    def start(self, definition: StateMachineDefinition, run: Run, role: str) -> None:
        """Its first start; StateMachine's to call."""
        self._history.add("ExecutionStarted", input=text(self.input), inputDetails=WHOLE, roleArn=role)
        self._schedule(definition, run)

    def redrive(self, definition: StateMachineDefinition, token: str) -> None:
        """Goes on; StateMachine's to call. Raises `ExecutionNotRedrivable`."""
        run = self._run
        if run is None or self.not_redrivable is not None:
            raise ExecutionNotRedrivable(f"{self.arn}: {self.not_redrivable}")
        if self._forgetting is not None:
            self._forgetting.cancel()
        self.status, self.stop_date, self.error, self.cause = "RUNNING", None, None, None
        self._stop_reason = ("", "")
        self._ended.clear()
        self.redrive_count, self.redrive_date = self.redrive_count + 1, self._clock.now()
        self._redrive_tokens.append((token, self.redrive_date))
        run.execution_context = {
            **run.execution_context,
            "RedriveCount": self.redrive_count,
            "RedriveTime": timestamp(self.redrive_date),
        }
        self._history.add("ExecutionRedriven", redriveCount=self.redrive_count)
        self._schedule(definition, run)

    def is_redriven_by(self, token: str) -> bool:
        """Whether a redrive with that client token was just begun."""
        since = self._clock.now() - TOKEN_VALID_S
        return any(used == token and at >= since for used, at in self._redrive_tokens)

    def _schedule(self, definition: StateMachineDefinition, run: Run) -> None:
        self._run = run
        self._task = asyncio.get_running_loop().create_task(self._work(definition, run), name=self.arn)
        self._task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        # Stopped before its first step, a task never runs, and nobody else would say that it ended. One that said
        # so itself may be done only after it was redriven.
        if task is self._task:
            self._end("ABORTED", *self._stop_reason)

    async def _work(self, definition: StateMachineDefinition, run: Run) -> None:
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
            self._forget()
        else:
            loop = asyncio.get_running_loop()
            self._forgetting = loop.call_later(REDRIVABLE_S + 1, self._forget)
            self.error, self.cause = error or None, cause or None
            told = {name: value for name, value in (("error", self.error), ("cause", self.cause)) if value}
            ending = {"FAILED": "Failed", "TIMED_OUT": "TimedOut", "ABORTED": "Aborted"}[status]
            self._history.append(f"Execution{ending}", **told)
        self._ended.set()
        self._observer.execution_ended(self)

    def _forget(self) -> None:
        """Let go of what only a redrive needs."""
        self._run = None
