"""The Step Functions API of one state machine, on loopback: for the AWS CLI, SDKs, and tests.

Operations, members and errors are those of the API Reference (Welcome, states-2016-11-23). Of a Map Run's Express
children the API tells nothing beyond their counts.
"""

import asyncio
import logging
from collections.abc import Iterable
from typing import IO

import msgspec
from aiohttp import web

from fanwise_local.clock import Clock
from fanwise_local.doors.aws_json import JsonRequests, Members, ValidationException
from fanwise_local.doors.descriptions import (
    described_event,
    described_execution,
    described_map_run,
    listed_execution,
    listed_map_run,
)
from fanwise_local.doors.pages import page
from fanwise_local.states.errors import CallRefused, InvalidExecutionInput
from fanwise_local.states.executions import Execution, StateMachine
from fanwise_local.states.map_run import MapRun
from fanwise_local.states.payloads import JSON, MAX_PAYLOAD_BYTES

TARGET_PREFIX = "AWSStepFunctions"
CLOSING_S = (
    0.1  # for requests at work; to aiohttp 0 would be without end, as long as a client keeps its connection
)
MAX_WHOLE = 2**31 - 1  # the model's Integer
STATUSES = ("RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED", "PENDING_REDRIVE")
INCLUDED = ("ALL_DATA", "METADATA_ONLY")

_log = logging.getLogger(__name__)


class InvalidArn(CallRefused):
    """What is given as an ARN is none of that kind."""


class ResourceNotFound(CallRefused):
    """No Map Run has that ARN."""


class StateMachineDoesNotExist(CallRefused):
    """No state machine has that ARN."""


class StateMachineTypeNotSupported(CallRefused):
    """Express executions are not listed."""


class StepFunctionsDoor:
    """Serves a state machine on a port of 127.0.0.1; by default a free one."""

    def __init__(self, state_machine: StateMachine, *, port: int = 0, clock: Clock | None = None) -> None:
        self._machine = state_machine
        self._port = port
        self._clock = clock or Clock()
        self._requests = JsonRequests(
            TARGET_PREFIX,
            {
                "StartExecution": self._start_execution,
                "DescribeExecution": self._describe_execution,
                "ListExecutions": self._list_executions,
                "GetExecutionHistory": self._get_execution_history,
                "StopExecution": self._stop_execution,
                "RedriveExecution": self._redrive_execution,
                "DescribeMapRun": self._describe_map_run,
                "ListMapRuns": self._list_map_runs,
                "UpdateMapRun": self._update_map_run,
                "ListStateMachines": self._list_state_machines,
                "DescribeStateMachine": self._describe_state_machine,
                "DescribeStateMachineForExecution": self._describe_state_machine_for_execution,
            },
        )
        self._server: asyncio.Server | None = None
        self._connections: web.Server | None = None
        self._opened_at = self._clock.now()

    async def open(self) -> str:
        """Listen, on the state machine's loop; `host:port`. Raises `OSError` where the port is taken."""
        self._connections = web.Server(self.handle, access_log=None, logger=_log)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connections, "127.0.0.1", self._port)
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"{host}:{port}"

    async def close(self) -> None:
        """Drop every connection and free the port. Executions go on."""
        if self._server is not None and self._connections is not None:
            self._server.close()
            await self._connections.shutdown(CLOSING_S)
            await self._server.wait_closed()
            self._server = self._connections = None

    async def handle(self, request: web.BaseRequest, body: IO[bytes] | None = None) -> web.StreamResponse:
        """Answers one request; where another server shares its port among services, it is called from there.

        `body` is its body, where that was read already.
        """
        return await self._requests.handle(request, body)

    async def _start_execution(self, members: Members) -> JSON:
        self._check_machine(members)
        given = members.text("input")
        given = "{}" if given is None else given
        if len(given.encode()) > MAX_PAYLOAD_BYTES:
            raise InvalidExecutionInput(f"the input has over {MAX_PAYLOAD_BYTES} bytes (service-quotas)")
        try:
            value = msgspec.json.decode(given)
        except (msgspec.DecodeError, RecursionError) as error:
            raise InvalidExecutionInput(f"the input is not JSON: {error}") from error
        execution = self._machine.start_execution(value, members.text("name"))
        return {"executionArn": execution.arn, "startDate": execution.start_date}

    async def _describe_execution(self, members: Members) -> JSON:
        with_data = members.choice("includedData", INCLUDED) != "METADATA_ONLY"
        return described_execution(self._execution(members), self._machine.arn, with_data=with_data)

    async def _list_executions(self, members: Members) -> JSON:
        if members.text("mapRunArn") is not None:
            self._map_run(members)
            raise StateMachineTypeNotSupported(
                "the children of a Map Run are EXPRESS here; DescribeMapRun counts them"
            )
        self._check_machine(members)
        if members.text("redriveFilter") is not None:
            raise ValidationException("redriveFilter is only for the executions of a Map Run")
        status = members.choice("statusFilter", STATUSES)
        if status == "PENDING_REDRIVE":
            raise ValidationException("statusFilter PENDING_REDRIVE is only for the executions of a Map Run")
        executions, arn = list(self._machine.executions.values()), self._machine.arn

        def give(position: int) -> JSON:
            execution = executions[position]
            return None if status not in (None, execution.status) else listed_execution(execution, arn)

        return page(members, "executions", len(executions), give, backwards=True)

    async def _get_execution_history(self, members: Members) -> JSON:
        events = self._execution(members).history
        with_data = members.flag("includeExecutionData") is not False
        backwards = members.flag("reverseOrder") is True
        return page(
            members,
            "events",
            len(events),
            lambda i: described_event(events[i], with_data=with_data),
            backwards=backwards,
        )

    async def _stop_execution(self, members: Members) -> JSON:
        """Answers when it has ended, so that what is asked next finds it so."""
        execution = self._execution(members)
        execution.stop(members.text("error") or "", members.text("cause") or "")
        await execution.wait()
        # Whoever watches it may have redriven it already.
        return {"stopDate": self._clock.now() if execution.stop_date is None else execution.stop_date}

    async def _redrive_execution(self, members: Members) -> JSON:
        execution = self._machine.redrive_execution(self._execution(members).arn, members.text("clientToken"))
        return {"redriveDate": execution.redrive_date}

    async def _describe_map_run(self, members: Members) -> JSON:
        return described_map_run(self._map_run(members))

    async def _list_map_runs(self, members: Members) -> JSON:
        map_runs = self._execution(members).map_runs
        return page(members, "mapRuns", len(map_runs), lambda i: listed_map_run(map_runs[i]))

    async def _update_map_run(self, members: Members) -> JSON:
        map_run = self._map_run(members)
        concurrency = members.whole("maxConcurrency", MAX_WHOLE)
        percentage = members.number("toleratedFailurePercentage", 100)
        count = members.whole("toleratedFailureCount", MAX_WHOLE)
        if map_run.status != "RUNNING":
            raise ValidationException(f"{map_run.arn} is {map_run.status}; only one that runs is updated")
        map_run.update(
            max_concurrency=concurrency,
            tolerated_failure_percentage=percentage,
            tolerated_failure_count=count,
        )
        return {}

    async def _list_state_machines(self, members: Members) -> JSON:
        return page(members, "stateMachines", 1, lambda _: self._described_machine("creationDate", "type"))

    async def _describe_state_machine(self, members: Members) -> JSON:
        self._check_machine(members)
        described = ["creationDate", "type", "status", "roleArn"]
        return self._described_machine(*described, *_definition_if_asked(members))

    async def _describe_state_machine_for_execution(self, members: Members) -> JSON:
        self._execution(members)
        return self._described_machine("updateDate", "roleArn", *_definition_if_asked(members))

    def _described_machine(self, *names: str) -> dict[str, JSON]:
        """Its ARN and name, and what else is asked for."""
        told = {
            "creationDate": self._opened_at,
            "updateDate": self._opened_at,
            "type": "STANDARD",
            "status": "ACTIVE",
            "roleArn": self._machine.role_arn,
            "definition": self._machine.definition.text,
        }
        arn = self._machine.arn
        return {"stateMachineArn": arn, "name": arn.rpartition(":")[2]} | {name: told[name] for name in names}

    def _check_machine(self, members: Members) -> None:
        arn = _arn(members, "stateMachineArn", "stateMachine")
        if arn != self._machine.arn:
            raise StateMachineDoesNotExist(f"{arn} does not exist; here is {self._machine.arn}")

    def _execution(self, members: Members) -> Execution:
        return self._machine.execution(_arn(members, "executionArn", "execution", "express"))

    def _map_run(self, members: Members) -> MapRun:
        arn = _arn(members, "mapRunArn", "mapRun")
        for execution in self._machine.executions.values():
            for map_run in execution.map_runs:
                if map_run.arn == arn:
                    return map_run
        raise ResourceNotFound(f"{arn} does not exist; ListMapRuns says which an execution has")


def _arn(members: Members, name: str, *kinds: str) -> str:
    arn = members.needed(name)
    parts = arn.split(":")
    if len(parts) < 7 or parts[0] != "arn" or parts[2] != "states" or parts[5] not in kinds:
        raise InvalidArn(f"{name} is {arn[:300]!r}; arn:aws:states:REGION:ACCOUNT:{kinds[0]}:NAME…")
    return arn


def _definition_if_asked(members: Members) -> Iterable[str]:
    return () if members.choice("includedData", INCLUDED) == "METADATA_ONLY" else ("definition",)
