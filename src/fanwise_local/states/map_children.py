"""The children of a Map Run: started, bounded in number, counted, and what they gave written.

As many workers as MaxConcurrency allows take items one by one, so a child exists from its start to its end; of one
that succeeded only its result row stays. The run ends early where more children failed than are tolerated, or
where an item cannot be read or selected: running children are aborted, and those that wait never start.
"""

import asyncio
import logging
import random as randoms
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from fanwise_local.clock import Clock
from fanwise_local.states.arns import MachineArn
from fanwise_local.states.errors import EXCEED_TOLERATED_FAILURE_THRESHOLD, RUNTIME, TIMEOUT, StatesError
from fanwise_local.states.interpreter import run_flow
from fanwise_local.states.item_reader import Items
from fanwise_local.states.map_run import Child, MapRun
from fanwise_local.states.observer import Observer
from fanwise_local.states.payloads import JSON, checked, text, timestamp
from fanwise_local.states.result_writer import Results, export
from fanwise_local.states.run import Run
from fanwise_local.states.scope import Scope
from fanwise_local.states.services import Services
from fanwise_local.states.syntax import MapState

MAX_CONCURRENCY = 10_000  # the hard cap; 0 and unset mean it, and more is not more (state-map-distributed)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MapHost:
    """What children run on; the execution's own."""

    machine: MachineArn
    services: Services
    clock: Clock
    random: randoms.Random
    observer: Observer
    express_timeout_s: float
    child_starts_per_s: float | None

    def new_uuid(self) -> str:
        """From the machine's random numbers, so that a seeded run is the same run again."""
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))


class Children:
    """The children of one Map Run, with what they gave. `destination` is bucket and prefix of the result files."""

    def __init__(
        self,
        host: MapHost,
        state: MapState,
        scope: Scope,
        items: Items,
        map_run: MapRun,
        destination: tuple[str, str] | None,
    ) -> None:
        self._host = host
        self._state = state
        self._scope = scope
        self._items = items
        self._map_run = map_run
        self._destination = destination
        self._results = Results(state.writer, map_run.state_machine_arn)
        self._waiting: Iterator[int] = iter(())
        self._tasks: set[asyncio.Task[None]] = set()
        self._workers = 0  # those of the tasks that will take another item
        self._next_start_s = 0.0  # when a child may start, where their rate is bounded
        self._all_done: asyncio.Future[None] | None = None
        self._machine_context = {
            "Id": map_run.state_machine_arn,
            "Name": map_run.state_machine_arn.rpartition(":")[2],
        }

    async def run(self) -> JSON:
        """Runs all that have not succeeded and returns the state's result. Raises `StatesError`."""
        self._waiting = iter([i for i in range(len(self._items)) if i not in self._results.succeeded])
        try:
            await self._run_workers()
        except StatesError:
            # What there is, is written all the same; that the run failed is what counts.
            with suppress(StatesError):
                await self._export()
            raise
        result = await self._export()
        if result is None:
            result = self._results.output()
        return checked(result, f"The state '{self._state.name}' returned a result")

    async def _run_workers(self) -> None:
        self._all_done = asyncio.get_running_loop().create_future()
        self._workers = 0
        self._map_run.concurrency_changed = self._hire
        self._hire()
        try:
            if self._tasks:
                await self._all_done
        finally:
            self._map_run.concurrency_changed = None
            self._all_done.cancel()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def _limit(self) -> int:
        return min(self._map_run.max_concurrency or MAX_CONCURRENCY, MAX_CONCURRENCY)

    def _hire(self) -> None:
        """Takes on as many workers as MaxConcurrency and items allow; none once the work is over."""
        places = min(self._limit, len(self._items) - len(self._results.succeeded))
        while self._all_done is not None and not self._all_done.done() and self._workers < places:
            task = asyncio.create_task(self._work())
            self._tasks.add(task)
            self._workers += 1
            task.add_done_callback(self._let_go)

    def _let_go(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if self._all_done is None or self._all_done.done():
            return
        if error is not None:
            self._all_done.set_exception(error)
        elif not self._tasks:
            self._all_done.set_result(None)

    async def _work(self) -> None:
        try:
            for index in self._waiting:
                await self._wait_to_start()
                await self._run_child(index)
                await asyncio.sleep(0)  # a service that answers at once must not keep the loop to itself
                if self._workers > self._limit:
                    break
        finally:
            self._workers -= 1

    def _input(self, index: int) -> JSON:
        """The input of a child: its item after ItemSelector; of one that is started again, what it had."""
        before = self._results.failed.get(index)
        if before is not None:
            return before.input
        item = self._items.item(index)
        selector = self._state.item_selector
        if selector is None:
            child_input = item["Value"]
        else:
            context = {**self._scope.states["context"], "Map": {"Item": item}}
            child_input = selector.evaluate(self._scope.with_states(context=context))
        return checked(child_input, f"The item {index} became a child's input")

    async def _wait_to_start(self) -> None:
        """Holds children to their rate of starts: one after the other, after as many at once as a second has."""
        per_s = self._host.child_starts_per_s
        if per_s is None:
            return
        now_s = self._host.clock.now()
        self._next_start_s = max(self._next_start_s, now_s - 1) + 1 / per_s
        if self._next_start_s > now_s:
            await self._host.clock.sleep(self._next_start_s - now_s)

    async def _run_child(self, index: int) -> None:
        child, run = self._start(index, self._input(index))
        limit = asyncio.timeout(self._host.express_timeout_s)
        try:
            async with limit:
                child.output = await run_flow(self._state.flow, child.input, run)
            child.end("SUCCEEDED", self._host.clock.now())
        except StatesError as error:
            child.end("FAILED", self._host.clock.now(), error.error, error.cause)
        except asyncio.CancelledError:
            child.end("ABORTED", self._host.clock.now())
            self._ended(child)
            raise
        except Exception as error:
            self._defect(child, error, timed_out=isinstance(error, TimeoutError) and limit.expired())
        self._ended(child)
        if self._map_run.is_intolerable:
            cause = "The specified tolerated failure threshold was exceeded"
            raise StatesError(EXCEED_TOLERATED_FAILURE_THRESHOLD, cause)

    def _start(self, index: int, child_input: JSON) -> tuple[Child, Run]:
        host, now = self._host, self._host.clock.now()
        before = self._results.failed.get(index)
        if before is None:
            name = host.new_uuid()
            arn = host.machine.child(self._map_run.label, name, host.new_uuid())
        else:
            name, arn = before.name, before.arn  # the same again (redrive-map-run)
        self._map_run.child_started(None if before is None else before.status)
        context = {
            "Id": arn,
            "Input": child_input,
            "Name": name,
            "RoleArn": host.machine.role,
            "StartTime": timestamp(now),
            "RedriveCount": 0,
        }
        run = Run(host.services, host.clock, host.random, context, self._machine_context)
        return Child(arn, name, index, child_input, now), run

    def _defect(self, child: Child, error: Exception, *, timed_out: bool) -> None:
        now = self._host.clock.now()
        if timed_out:
            limit_s = self._host.express_timeout_s
            child.end("TIMED_OUT", now, TIMEOUT, f"The Express execution ran longer than {limit_s:.0f} s.")
            return
        _log.error("a service failed otherwise than with a StatesError", exc_info=error)
        child.end("FAILED", now, RUNTIME, f"{type(error).__name__}: {error}")

    def _ended(self, child: Child) -> None:
        self._map_run.child_ended(child.status)
        self._results.add(child)
        self._host.observer.child_ended(self._map_run, child)

    async def _export(self) -> JSON:
        if self._destination is None:
            return None
        pending = [self._pending_row(index) for index in self._waiting if index not in self._results.failed]
        result = await export(self._results, pending, self._destination, self._map_run, self._host.services)
        self._map_run.results_written = self._map_run.total - self._map_run.execution_counts["pending"]
        return result

    def _pending_row(self, index: int) -> dict[str, JSON]:
        row: dict[str, JSON] = {"StateMachineArn": self._map_run.state_machine_arn, "Status": "PENDING"}
        with suppress(StatesError):  # the item that ended the run may be among them
            row = {"Input": text(self._input(index)), "InputDetails": {"Included": True}, **row}
        return row
