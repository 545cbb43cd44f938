"""The local cloud: the deployed state machine, its functions and its buckets, on this machine."""

import asyncio
import random as randoms
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from fanwise_local.buckets import Buckets
from fanwise_local.clock import Clock
from fanwise_local.event_bus import EventBus
from fanwise_local.events import event_of_entry, execution_status_event
from fanwise_local.function_process import BOOTSTRAP, FAULTY_BOOTSTRAP
from fanwise_local.functions import FunctionService, default_environments
from fanwise_local.outbox import FileOutbox, Outbox
from fanwise_local.services import Functions, LocalServices
from fanwise_local.states.definition import parse_definition
from fanwise_local.states.executions import Execution, StateMachine
from fanwise_local.states.map_run import Child, MapRun
from fanwise_local.states.observer import Observer
from fanwise_local.states.payloads import JSON
from fanwise_local.template import Stack

if TYPE_CHECKING:
    from fanwise_local.faults.functions import FaultyFunctions
    from fanwise_local.faults.plan import FaultPlan


class Told(Observer):
    """Tells the event bus of an execution that ended; all else it passes on."""

    def __init__(self, bus: EventBus, machine_arn: str, observer: Observer) -> None:
        self._bus = bus
        self._machine_arn = machine_arn
        self._observer = observer

    def state_entered(self, execution: Execution, state_name: str, state_input: JSON) -> None:
        self._observer.state_entered(execution, state_name, state_input)

    def map_run_started(self, map_run: MapRun) -> None:
        self._observer.map_run_started(map_run)

    def child_ended(self, map_run: MapRun, child: Child) -> None:
        self._observer.child_ended(map_run, child)

    def execution_ended(self, execution: Execution) -> None:
        self._observer.execution_ended(execution)
        self._bus.put(execution_status_event(execution, self._machine_arn))


class LocalCloud:
    """A stack at work, from `async with` to its end; nothing is left running after it, however it is left.

    `work_dir` is this cloud's alone: it gets logs and, while it runs, the environments' /tmp; without an `outbox`
    also queues and events. `mounts` are its buckets. `environments` bounds the processes of each function; by
    default as cores and memory allow. `faults` is what shall go wrong; what did is kept in `work_dir`. Raises
    `DefinitionError`.
    """

    def __init__(
        self,
        stack: Stack,
        *,
        work_dir: Path,
        mounts: Buckets,
        environments: int | None = None,
        observer: Observer | None = None,
        clock: Clock | None = None,
        random: randoms.Random | None = None,
        faults: "FaultPlan | None" = None,
        outbox: Outbox | None = None,
    ) -> None:
        self.functions = FunctionService(
            stack.functions,
            environments=default_environments(stack) if environments is None else environments,
            extra_environment=mounts.environment(),
            work_dir=work_dir,
            bootstrap=BOOTSTRAP if faults is None else FAULTY_BOOTSTRAP,
        )
        invoked: Functions = self.functions
        self.faults: FaultyFunctions | None = None
        if faults is not None:
            from fanwise_local.faults import functions as faulty  # noqa: PLC0415 - nobody pays for it else

            invoked = self.faults = faulty.FaultyFunctions(
                self.functions, faults, kept=work_dir / "faults.jsonl"
            )
        clock = clock or Clock()
        self.invoked = invoked
        self.event_bus = EventBus(stack.rules.values())
        self.services = LocalServices(
            invoked,
            mounts.storage(),
            queues=stack.queues,
            outbox=outbox or FileOutbox(work_dir),
            told=lambda entry, event_id: self.event_bus.put(event_of_entry(entry, event_id, clock.now())),
        )
        self.state_machine = StateMachine(
            parse_definition(stack.definition, stack.substitutions),
            arn=stack.state_machine_arn,
            services=self.services,
            clock=clock,
            observer=Told(self.event_bus, stack.state_machine_arn, observer or Observer()),
            random=random,
        )
        self.event_bus.connect(stack.state_machine_arn, self.state_machine.start_execution)

    async def __aenter__(self) -> Self:
        await self.functions.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.go_down("the local cloud was closed")
        finally:
            await self.functions.close()

    async def settled(self, execution: Execution) -> Execution:
        """Wait until an execution has ended, and whatever its end has started; answers with it."""
        await execution.wait()
        while running := self._running():
            await asyncio.gather(*(other.wait() for other in running))
        return execution

    async def go_down(self, cause: str) -> None:
        """Stop every execution, and start nothing more."""
        self.event_bus.close()
        running = self._running()
        for execution in running:
            execution.stop(cause=cause)
        await asyncio.gather(*(execution.wait() for execution in running))

    def _running(self) -> list[Execution]:
        return [e for e in self.state_machine.executions.values() if e.status == "RUNNING"]

    def put_event(self, event: Mapping[str, Any]) -> None:
        """Give an event to the rules of the template, which start what they start on the running loop."""
        self.event_bus.put(event)

    def start_execution(self, execution_input: JSON, name: str | None = None) -> Execution:
        """Start the stack's state machine on the running loop."""
        return self.state_machine.start_execution(execution_input, name)
