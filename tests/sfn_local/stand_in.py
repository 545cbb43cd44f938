"""A stand-in for Step Functions Local: our interpreter behind the same calls, for testing the runner.

CreateStateMachine, and `ARN#TestCase` in StartExecution, are of Step Functions Local alone; the rest is put
together from the parts of the Step Functions door. Time passes fast.
"""

import asyncio
import json

from aiohttp import web

from fanwise_local.clock import Clock
from fanwise_local.doors.aws_json import JsonRequests, Members
from fanwise_local.doors.descriptions import described_event, described_execution
from fanwise_local.doors.pages import page
from fanwise_local.doors.step_functions import TARGET_PREFIX, StateMachineDoesNotExist
from fanwise_local.states.definition import DefinitionError, parse_definition
from fanwise_local.states.errors import CallRefused, ExecutionDoesNotExist
from fanwise_local.states.executions import Execution, StateMachine
from fanwise_local.states.payloads import JSON
from fanwise_local.states.syntax import StateMachineDefinition
from sfn_local.mock_config import MockConfig
from sfn_local.mocked_services import MockedServices, told_by_state

_PREFIX = "arn:aws:states:us-east-1:123456789012:stateMachine:"


class InvalidDefinition(CallRefused):
    """As CreateStateMachine refuses one."""


class FastClock(Clock):
    """Two minutes are a moment."""

    async def sleep(self, seconds: float) -> None:
        """Waits a little."""
        await super().sleep(seconds / 2_000)


class StandIn:
    """Serves on a free port of loopback."""

    def __init__(self, config: MockConfig) -> None:
        self._config = config
        self._definitions: dict[str, StateMachineDefinition] = {}
        self._executions: dict[str, Execution] = {}
        self._requests = JsonRequests(
            TARGET_PREFIX,
            {
                "CreateStateMachine": self._create_state_machine,
                "ListStateMachines": self._list_state_machines,
                "StartExecution": self._start_execution,
                "DescribeExecution": self._describe_execution,
                "GetExecutionHistory": self._get_execution_history,
            },
        )

    async def __aenter__(self) -> str:
        """Its `host:port`."""
        self._connections = web.Server(self._requests.handle, access_log=None)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connections, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"{host}:{port}"

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for execution in self._executions.values():
            execution.stop()
            await execution.wait()
        await self._connections.shutdown(0.1)
        await self._server.wait_closed()

    async def _create_state_machine(self, members: Members) -> JSON:
        try:
            definition = parse_definition(members.needed("definition"))
        except DefinitionError as error:
            raise InvalidDefinition(str(error)) from error
        arn = _PREFIX + members.needed("name")
        self._definitions[arn] = told_by_state(definition)
        return {"stateMachineArn": arn, "creationDate": 0}

    async def _list_state_machines(self, _: Members) -> JSON:
        return {"stateMachines": []}

    async def _start_execution(self, members: Members) -> JSON:
        arn, _, case = members.needed("stateMachineArn").partition("#")
        name = arn.rpartition(":")[2]
        if arn not in self._definitions or case not in self._config.cases[name]:
            raise StateMachineDoesNotExist(f"{arn}#{case}")
        machine = StateMachine(
            self._definitions[arn],
            arn=arn,
            services=MockedServices(self._config.mocked(name, case)),
            clock=FastClock(),
        )
        execution = machine.start_execution(json.loads(members.needed("input")), members.text("name"))
        self._executions[execution.arn] = execution
        return {"executionArn": execution.arn, "startDate": execution.start_date}

    async def _describe_execution(self, members: Members) -> JSON:
        execution = self._execution(members)
        return described_execution(execution, execution.arn, with_data=True)

    async def _get_execution_history(self, members: Members) -> JSON:
        history = self._execution(members).history
        return page(members, "events", len(history), lambda i: described_event(history[i], with_data=True))

    def _execution(self, members: Members) -> Execution:
        arn = members.needed("executionArn")
        if arn not in self._executions:
            raise ExecutionDoesNotExist(arn)
        return self._executions[arn]
