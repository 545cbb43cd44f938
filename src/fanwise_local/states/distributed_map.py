"""Runs a Map state: a Map Run of Express children over its items (state-map-distributed).

As many workers as MaxConcurrency allows take items one by one, so a child exists from its start to its end, and
nothing but its result row afterwards. The run ends early where more children failed than are tolerated, or where
an item cannot be read or selected: running children are aborted, and those that wait never start.
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
from fanwise_local.states.history import History
from fanwise_local.states.interpreter import run_flow
from fanwise_local.states.item_reader import Items, read_items
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
class DistributedMap:
    """Runs the Map states of one execution. `map_runs` is that execution's list, in order of their start."""

    machine: MachineArn
    execution_arn: str
    services: Services
    clock: Clock
    random: randoms.Random
    history: History
    observer: Observer
    map_runs: list[MapRun]
    express_timeout_s: float

    async def __call__(self, state: MapState, state_input: JSON, scope: Scope) -> JSON:
        """Runs the state once over all its items and returns its result. Raises `StatesError`."""
        map_run = self._open(state, scope)
        destination = _destination(state, scope)
        self.history.add("MapStateStarted", length=_length(state, state_input))
        self.map_runs.append(map_run)
        self.history.add("MapRunStarted", mapRunArn=map_run.arn)
        try:
            items = await read_items(state, state_input, scope, self.services)
            map_run.expect(len(items))
            self.observer.map_run_started(map_run)
            result = await _Children(self, state, scope, items, map_run).run(destination)
        except StatesError as error:
            map_run.end("FAILED", self.clock.now())
            self.history.add("MapRunFailed", error=error.error, cause=error.cause)
            self.history.add("MapStateFailed")
            raise
        except asyncio.CancelledError:
            map_run.end("ABORTED", self.clock.now())
            self.history.append("MapRunAborted")
            self.history.append("MapStateAborted")
            raise
        except Exception:  # a defect of a service or an observer: the execution says which
            map_run.end("FAILED", self.clock.now())
            raise
        map_run.end("SUCCEEDED", self.clock.now())
        self.history.add("MapRunSucceeded")
        self.history.add("MapStateSucceeded")
        return result

    def new_uuid(self) -> str:
        """From the machine's random numbers, so that a seeded run is the same run again."""
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def _open(self, state: MapState, scope: Scope) -> MapRun:
        concurrency = 0 if state.max_concurrency is None else int(state.max_concurrency.evaluate(scope))
        percentage, count = state.tolerated_failure_percentage, state.tolerated_failure_count
        return MapRun(
            arn=self.machine.map_run(state.label, self.new_uuid()),
            execution_arn=self.execution_arn,
            state_machine_arn=self.machine.processor(state.label),
            label=state.label,
            max_concurrency=concurrency,
            tolerated_failure_percentage=0.0 if percentage is None else percentage.evaluate(scope),
            tolerated_failure_count=0 if count is None else int(count.evaluate(scope)),
            start_date=self.clock.now(),
        )


class _Children:
    """The children of one Map Run."""

    def __init__(
        self, host: DistributedMap, state: MapState, scope: Scope, items: Items, map_run: MapRun
    ) -> None:
        self._host = host
        self._state = state
        self._scope = scope
        self._items = items
        self._map_run = map_run
        self._results = Results(state.writer, map_run.state_machine_arn)
        self._waiting: Iterator[int] = iter(range(len(items)))
        self._machine_context = {
            "Id": map_run.state_machine_arn,
            "Name": map_run.state_machine_arn.rpartition(":")[2],
        }

    async def run(self, destination: tuple[str, str] | None) -> JSON:
        """Runs all of them and returns the state's result. Raises `StatesError`."""
        try:
            await self._run_workers()
        except StatesError:
            # What there is, is written all the same; that the run failed is what counts.
            with suppress(StatesError):
                await self._export(destination)
            raise
        result = await self._export(destination)
        if result is None:
            result = self._results.output()
        return checked(result, f"The state '{self._state.name}' returned a result")

    async def _run_workers(self) -> None:
        limit = min(self._map_run.max_concurrency or MAX_CONCURRENCY, MAX_CONCURRENCY, len(self._items))
        workers = [asyncio.create_task(self._work()) for _ in range(limit)]
        if not workers:
            return
        try:
            done, _ = await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        for worker in done:
            worker.result()

    async def _work(self) -> None:
        for index in self._waiting:
            await self._run_child(index, self._select(index))
            await asyncio.sleep(0)  # a service that answers at once must not keep the loop to itself

    def _select(self, index: int) -> JSON:
        """The input of a child: its item after ItemSelector."""
        item = self._items.item(index)
        selector = self._state.item_selector
        if selector is None:
            child_input = item["Value"]
        else:
            context = {**self._scope.states["context"], "Map": {"Item": item}}
            child_input = selector.evaluate(self._scope.with_states(context=context))
        return checked(child_input, f"The item {index} became a child's input")

    async def _run_child(self, index: int, child_input: JSON) -> None:
        child, run = self._start(index, child_input)
        limit = asyncio.timeout(self._host.express_timeout_s)
        try:
            async with limit:
                child.output = await run_flow(self._state.flow, child_input, run)
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
        if child.status != "SUCCEEDED" and self._intolerable():
            cause = "The specified tolerated failure threshold was exceeded"
            raise StatesError(EXCEED_TOLERATED_FAILURE_THRESHOLD, cause)

    def _start(self, index: int, child_input: JSON) -> tuple[Child, Run]:
        host = self._host
        name, now = host.new_uuid(), host.clock.now()
        arn = host.machine.child(self._map_run.label, name, host.new_uuid())
        self._map_run.child_started()
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

    def _intolerable(self) -> bool:
        """Over one of the thresholds that are given; without any, one failure is too many."""
        run, state = self._map_run, self._state
        by_count = state.tolerated_failure_count is not None
        over = by_count and run.failures > run.tolerated_failure_count
        if state.tolerated_failure_percentage is not None or not by_count:
            over = over or run.failures * 100 > run.tolerated_failure_percentage * run.total
        return over

    async def _export(self, destination: tuple[str, str] | None) -> JSON:
        if destination is None:
            return None
        pending = [self._pending_row(index) for index in self._waiting]
        result = await export(self._results, pending, destination, self._map_run, self._host.services)
        self._map_run.results_written = self._map_run.total - self._map_run.execution_counts["pending"]
        return result

    def _pending_row(self, index: int) -> dict[str, JSON]:
        row: dict[str, JSON] = {"StateMachineArn": self._map_run.state_machine_arn, "Status": "PENDING"}
        with suppress(StatesError):  # the item that ended the run may be among them
            row = {"Input": text(self._select(index)), "InputDetails": {"Included": True}, **row}
        return row


def _destination(state: MapState, scope: Scope) -> tuple[str, str] | None:
    """Bucket and prefix of a ResultWriter that exports."""
    writer = state.writer
    if writer is None or writer.bucket is None:
        return None
    return writer.bucket.evaluate(scope), "" if writer.prefix is None else writer.prefix.evaluate(scope)


def _length(state: MapState, state_input: JSON) -> int:
    """As AWS tells it before anything is read: of a file, 0."""
    plain = state.reader is None and state.items is None and isinstance(state_input, list | dict)
    return len(state_input) if plain else 0
