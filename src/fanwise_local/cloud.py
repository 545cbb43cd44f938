"""The local cloud: the deployed state machine, its functions and its buckets, on this machine."""

import asyncio
import random as randoms
from pathlib import Path
from types import TracebackType
from typing import Self

from fanwise_local.clock import Clock
from fanwise_local.functions import FunctionService, default_environments
from fanwise_local.mounts import Mounts
from fanwise_local.services import LocalServices
from fanwise_local.states.definition import parse_definition
from fanwise_local.states.executions import Execution, StateMachine
from fanwise_local.states.observer import Observer
from fanwise_local.states.payloads import JSON
from fanwise_local.template import Stack


class LocalCloud:
    """A stack at work, from `async with` to its end; nothing is left running after it, however it is left.

    `work_dir` is this cloud's alone: it gets logs, queues, events and, while it runs, the environments' /tmp.
    `environments` bounds the processes of each function; by default as cores and memory allow. Raises
    `DefinitionError`.
    """

    def __init__(
        self,
        stack: Stack,
        *,
        work_dir: Path,
        mounts: Mounts,
        environments: int | None = None,
        observer: Observer | None = None,
        clock: Clock | None = None,
        random: randoms.Random | None = None,
    ) -> None:
        self.functions = FunctionService(
            stack.functions,
            environments=default_environments(stack) if environments is None else environments,
            extra_environment=mounts.environment(),
            work_dir=work_dir,
        )
        self.services = LocalServices(
            self.functions, mounts.storage(), queues=stack.queues, work_dir=work_dir
        )
        self.state_machine = StateMachine(
            parse_definition(stack.definition, stack.substitutions),
            arn=stack.state_machine_arn,
            services=self.services,
            clock=clock or Clock(),
            observer=observer,
            random=random,
        )

    async def __aenter__(self) -> Self:
        await self.functions.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        running = [e for e in self.state_machine.executions.values() if e.status == "RUNNING"]
        for execution in running:
            execution.stop(cause="the local cloud was closed")
        try:
            await asyncio.gather(*(execution.wait() for execution in running))
        finally:
            await self.functions.close()

    def start_execution(self, execution_input: JSON, name: str | None = None) -> Execution:
        """Start the stack's state machine on the running loop."""
        return self.state_machine.start_execution(execution_input, name)
