"""A state machine and its Standard executions: started, waited for, stopped, described."""

import random as randoms
import re
import uuid
from collections.abc import Mapping
from types import MappingProxyType

from fanwise_local.clock import Clock
from fanwise_local.states.arns import MachineArn, parse_machine_arn
from fanwise_local.states.distributed_map import DistributedMap
from fanwise_local.states.errors import (
    ExecutionAlreadyExists,
    ExecutionDoesNotExist,
    InvalidExecutionInput,
    InvalidName,
)
from fanwise_local.states.execution import Execution, ExecutionStatus
from fanwise_local.states.expressions import plain
from fanwise_local.states.history import History
from fanwise_local.states.observer import Observer
from fanwise_local.states.payloads import JSON, MAX_PAYLOAD_BYTES, encode, timestamp
from fanwise_local.states.run import Run
from fanwise_local.states.services import Services
from fanwise_local.states.syntax import StateMachineDefinition

__all__ = ["Execution", "ExecutionStatus", "Observer", "StateMachine"]

EXPRESS_TIMEOUT_S = 300.0  # an Express execution's five minutes (service-quotas)
MAX_NAME_LENGTH = 80
_NAME = re.compile(r"[^\s<>{}\[\]?*\"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f]+")  # API_StartExecution


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
        child_starts_per_s: float | None = None,
    ) -> None:
        """`random` gives jitter and UUIDs: with a seed, a run on a virtual loop is the same every time.

        `child_starts_per_s` is how many children a Map Run starts a second, by default as many as it can.
        """
        self.arn = arn
        self.definition = definition
        self._machine: MachineArn = parse_machine_arn(arn)
        self._services = services
        self._clock = clock
        self._observer = observer or Observer()
        self._random = random or randoms.Random()
        self._express_timeout_s = express_timeout_s
        self._child_starts_per_s = child_starts_per_s
        self._executions: dict[str, Execution] = {}

    @property
    def role_arn(self) -> str:
        """The execution role that the context object names; nothing is assumed locally."""
        return self._machine.role

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
        history = History(self._clock)
        execution = Execution(arn, name, input, clock=self._clock, observer=self._observer, history=history)
        self._executions[arn] = execution
        execution.start(self.definition, self._run_of(execution, history), self._machine.role)
        return execution

    def execution(self, arn: str) -> Execution:
        """One execution. Raises `ExecutionDoesNotExist`."""
        if arn not in self._executions:
            raise ExecutionDoesNotExist(f"{arn} does not exist; ListExecutions says which do")
        return self._executions[arn]

    def redrive_execution(self, arn: str, client_token: str | None = None) -> Execution:
        """Goes on with an execution that did not end well, from the state that it did not get out of.

        Under the same name, with the input and the variables that the state had; its retries, and the time limits
        of state and machine, begin anew. A Map Run that failed goes on with the children that did not succeed
        (API_RedriveExecution, redrive-executions, redrive-map-run). The same `client_token` within 15 minutes is
        the same redrive. Raises `ExecutionDoesNotExist`, `ExecutionNotRedrivable`.
        """
        execution = self.execution(arn)
        token = str(uuid.uuid4()) if client_token is None else client_token
        if not execution.is_redriven_by(token):
            execution.redrive(self.definition, token)
        return execution

    def _run_of(self, execution: Execution, history: History) -> Run:
        run_map = DistributedMap(
            machine=self._machine,
            services=self._services,
            clock=self._clock,
            random=self._random,
            observer=self._observer,
            express_timeout_s=self._express_timeout_s,
            child_starts_per_s=self._child_starts_per_s,
            execution_arn=execution.arn,
            history=history,
            map_runs=execution.map_runs,
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
            history=history,
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
