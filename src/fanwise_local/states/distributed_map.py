"""Runs a Map state: a Map Run of Express children over its items (state-map-distributed).

A run that ends otherwise than well stays with its visit to the state, so that a redrive goes on with it
(redrive-map-run): with its items as they were read, and without the children that succeeded. Where a child of the
same items would fail again (`BEGUN_ANEW`), and where the items were never read, a redrive begins a new run.
"""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass

from fanwise_local.states.errors import (
    DATA_LIMIT_EXCEEDED,
    ITEM_READER_FAILED,
    QUERY_EVALUATION_ERROR,
    RUNTIME,
    StatesError,
)
from fanwise_local.states.history import History
from fanwise_local.states.item_reader import read_items
from fanwise_local.states.map_children import Children, MapHost
from fanwise_local.states.map_run import MAX_REDRIVES, MapRun
from fanwise_local.states.payloads import JSON
from fanwise_local.states.run import Visit
from fanwise_local.states.scope import Scope
from fanwise_local.states.syntax import MapState

BEGUN_ANEW = frozenset({DATA_LIMIT_EXCEEDED, QUERY_EVALUATION_ERROR, ITEM_READER_FAILED})


@dataclass(frozen=True, slots=True)
class DistributedMap(MapHost):
    """Runs the Map states of one execution. `map_runs` is that execution's list, in order of their start."""

    execution_arn: str
    history: History
    map_runs: list[MapRun]

    async def __call__(self, state: MapState, visit: Visit, scope: Scope) -> JSON:
        """Runs the state once over all its items and returns its result. Raises `StatesError`."""
        map_run = self._open(state, scope)
        destination = _destination(state, scope)
        self.history.add("MapStateStarted", length=_length(state, visit.input))
        self.map_runs.append(map_run)
        self.history.add("MapRunStarted", mapRunArn=map_run.arn)
        return await self.ended(map_run, visit, self._first(state, visit, scope, map_run, destination))

    async def _first(
        self,
        state: MapState,
        visit: Visit,
        scope: Scope,
        map_run: MapRun,
        destination: tuple[str, str] | None,
    ) -> JSON:
        items = await read_items(state, visit.input, scope, self.services)
        map_run.expect(len(items))
        self.observer.map_run_started(map_run)
        children = Children(self, state, scope, items, map_run, destination)
        visit.unfinished = _Unfinished(self, visit, map_run, children)
        return await children.run()

    async def ended(self, map_run: MapRun, visit: Visit, work: Awaitable[JSON]) -> JSON:
        """Waits for the run's work, and says how it ended: in the run, the history, and the visit."""
        try:
            result = await work
        except StatesError as error:
            if error.error in BEGUN_ANEW:
                visit.unfinished = None
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
        visit.unfinished = None
        map_run.end("SUCCEEDED", self.clock.now())
        self.history.add("MapRunSucceeded")
        self.history.add("MapStateSucceeded")
        return result

    def _open(self, state: MapState, scope: Scope) -> MapRun:
        concurrency = 0 if state.max_concurrency is None else int(state.max_concurrency.evaluate(scope))
        percentage, count = state.tolerated_failure_percentage, state.tolerated_failure_count
        return MapRun(
            arn=self.machine.map_run(state.label, self.new_uuid()),
            execution_arn=self.execution_arn,
            state_machine_arn=self.machine.processor(state.label),
            label=state.label,
            max_concurrency=concurrency,
            tolerated_failure_percentage=None if percentage is None else percentage.evaluate(scope),
            tolerated_failure_count=None if count is None else int(count.evaluate(scope)),
            start_date=self.clock.now(),
        )


@dataclass(frozen=True, slots=True)
class _Unfinished:
    """A Map Run that did not end well, with all that a redrive of it needs."""

    host: DistributedMap
    visit: Visit
    map_run: MapRun
    children: Children

    async def redrive(self) -> JSON:
        """Runs the children that failed, from their first state, and those that never started."""
        if self.map_run.redrive_count >= MAX_REDRIVES:
            cause = f"The Map Run was redriven {MAX_REDRIVES} times already, the most that it may be."
            raise StatesError(RUNTIME, cause)
        self.map_run.redrive(self.host.clock.now())
        self.host.history.add(
            "MapRunRedriven", mapRunArn=self.map_run.arn, redriveCount=self.map_run.redrive_count
        )
        self.host.observer.map_run_started(self.map_run)
        return await self.host.ended(self.map_run, self.visit, self.children.run())


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
