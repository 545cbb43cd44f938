"""Every test case of MockConfigFile.json on our interpreter, in virtual time; and that they leave no way out."""

import json
import random
from functools import cache

import pytest

from fanwise_local.clock import Clock, run_virtual
from fanwise_local.doors.descriptions import described_event
from fanwise_local.states.definition import parse_definition
from fanwise_local.states.executions import Execution, StateMachine
from fanwise_local.states.map_run import Child, MapRun
from fanwise_local.states.observer import Observer
from fanwise_local.template import read_stack, stack_root
from sfn_local.cases import CASES, CHILD_INPUT, CHILDREN, JOBS, Case
from sfn_local.machines import CHILD, JOB, definitions, substitutions
from sfn_local.mock_config import PATH, Response, read_mock_config
from sfn_local.mocked_services import MockedServices, told_by_state
from sfn_local.visits import Visit, path_of, visits_of
from sfn_local.ways import taken, ways

STACK = read_stack(stack_root())
CONFIG = read_mock_config(PATH.read_bytes())
SHIPPED = parse_definition(STACK.definition, substitutions(STACK))
MACHINES = {JOB: SHIPPED, CHILD: parse_definition(definitions(STACK)[CHILD])}
STATES = {name: json.loads(definition.text)["States"] for name, definition in MACHINES.items()}
PACKAGINGS = {"litert": "PredictBatchLiteRTFunction", "tensorflow": "PredictBatchTensorFlowFunction"}


def run(services: MockedServices, case: Case, observer: Observer | None = None) -> Execution:
    """A case on the definition as it is shipped; a child's on its ItemProcessor."""

    async def main() -> Execution:
        machine = StateMachine(
            told_by_state(MACHINES[case.machine]),
            arn=f"arn:aws:states:us-east-1:123456789012:stateMachine:{case.machine}",
            services=services,
            clock=Clock(),
            random=random.Random(3),
            observer=observer,
        )
        return await machine.start_execution(case.input, case.name).wait()

    return run_virtual(main())


def services_of(case: Case, child: str = "Predicted") -> MockedServices:
    children: dict[str, Response] = CONFIG.mocked(CHILD, child) if case.machine == JOB else {}
    return MockedServices(CONFIG.mocked(case.machine, case.name), children)


@cache
def ran(case_name: str, machine: str) -> tuple[Case, Execution, MockedServices, list[Visit]]:
    (case,) = (case for case in CASES if (case.name, case.machine) == (case_name, machine))
    services = services_of(case)
    execution = run(services, case)
    events = [described_event(event, with_data=True) for event in execution.history]
    return case, execution, services, visits_of(events)


@pytest.mark.parametrize(("machine", "name"), [(case.machine, case.name) for case in CASES])
def test_a_case_takes_its_path_to_its_end_and_uses_every_answer(machine: str, name: str) -> None:
    case, execution, services, visits = ran(name, machine)
    assert path_of(visits) == case.path
    end = case.end(CONFIG)
    told = {key: getattr(execution, key) for key in end}
    if case.last == services.map_state:  # its reader puts the place before the cause
        told["cause"] = told["cause"].rpartition(f"{execution.error}: ")[2]
    assert told == end
    used = {state: services.used[state] for state in services.responses}
    assert used == {state: response.count for state, response in services.responses.items()}


def test_the_cases_are_those_of_the_file() -> None:
    assert [case.name for case in JOBS] == list(CONFIG.cases[JOB])
    assert [case.name for case in CHILDREN] == list(CONFIG.cases[CHILD])
    used = {name for cases in CONFIG.cases.values() for states in cases.values() for name in states.values()}
    assert used == set(CONFIG.responses)


@pytest.mark.parametrize("machine", [JOB, CHILD])
def test_the_cases_leave_no_way_out(machine: str) -> None:
    found = {
        way
        for case in CASES
        if case.machine == machine
        for way in taken(STATES[machine], ran(case.name, machine)[3])
    }
    assert ways(STATES[machine]) - found == set()
    assert found - ways(STATES[machine]) == set()


@pytest.mark.parametrize("child", CHILDREN, ids=lambda case: case.name)
def test_a_child_comes_to_the_same_inside_the_map(child: Case) -> None:
    ended: list[Child] = []

    class Children(Observer):
        def child_ended(self, map_run: MapRun, child: Child) -> None:
            ended.append(child)

    execution = run(services_of(JOBS[0], child.name), JOBS[0], Children())
    assert execution.status == "SUCCEEDED"
    assert sorted(one.input["entry"]["entry"] for one in ended) == ["00000000", "00000001"]
    assert CHILD_INPUT in [one.input for one in ended]
    end = child.end(CONFIG)
    assert [{key: getattr(one, key) for key in end} for one in ended] == [end, end]


def test_the_runtime_chooses_the_function() -> None:
    called = [
        (json.loads(visit.input)["runtime"], json.loads(arguments)["FunctionName"].rpartition(":")[2])
        for case in CASES
        for visit in ran(case.name, case.machine)[3]
        if visit.state in ("ProbeModel", "LoadModel", "PredictBatch")
        for arguments in visit.arguments
    ]
    assert set(called) == set(PACKAGINGS.items())


def test_retries_and_waits_take_their_time() -> None:
    def duration_s(name: str) -> float:
        execution = ran(name, JOB)[1]
        assert execution.stop_date is not None
        return execution.stop_date - execution.start_date

    assert duration_s("NextRoundAfterAWait") == 30
    assert 0 < duration_s("PlanUnavailable") <= 2 + 4 + 8 + 16 + 32 + 60
    assert duration_s("AllPredicted") == 0
