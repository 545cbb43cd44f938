"""Runs the test cases where the Step Functions API is spoken, through boto3, and says what came out otherwise.

All cases are started at once: retries and waits take their real time there, up to some minutes each.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from fanwise_local.states.payloads import JSON
from sfn_local.cases import Case
from sfn_local.mock_config import MockConfig
from sfn_local.visits import path_of, visits_of

LIMIT_S = 900.0  # for all cases together; the longest waits 2 + 4 + 8 + 16 + 32 + 60 s
READY_S = 60.0
_ROLE = "arn:aws:iam::123456789012:role/unused"


class RunnerError(Exception):
    """The cases could not be run; one line of why."""


def client_of(endpoint: str) -> Any:
    """A boto3 client with credentials that open nothing. Raises `RunnerError` where nobody answers."""
    try:
        return boto3.client(
            "stepfunctions",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="none",
            aws_secret_access_key="none",  # noqa: S106
            config=Config(retries={"max_attempts": 1}, connect_timeout=5, read_timeout=30),
        )
    except ValueError as error:
        raise RunnerError(f"{error}; an endpoint is http://HOST:PORT") from error


def wait_until_ready(client: Any, limit_s: float = READY_S) -> None:
    """Waits until the endpoint answers. Raises `RunnerError`."""
    until_s = time.monotonic() + limit_s
    while True:
        try:
            client.list_state_machines()
        except (BotoCoreError, ClientError) as error:
            if time.monotonic() > until_s:
                raise RunnerError(f"no answer within {limit_s:.0f} s: {error}") from error
            time.sleep(0.5)
        else:
            return


def differences(
    client: Any,
    definitions: Mapping[str, str],
    cases: Sequence[Case],
    config: MockConfig,
    *,
    poll_s: float = 1.0,
    limit_s: float = LIMIT_S,
) -> Iterator[tuple[Case, list[str]]]:
    """Each case as it ends, with a line for each difference from what it has to come to. Raises `RunnerError`."""
    try:
        machines = {name: _create(client, name, text) for name, text in definitions.items()}
        running = {_start(client, machines[case.machine], case): case for case in cases}
        until_s = time.monotonic() + limit_s
        while running:
            for arn, case in list(running.items()):
                described = client.describe_execution(executionArn=arn)
                if described["status"] == "RUNNING":
                    continue
                del running[arn]
                yield case, _differences_of(case, config, described, _events(client, arn))
            if running and time.monotonic() > until_s:
                names = ", ".join(case.name for case in running.values())
                raise RunnerError(f"still running after {limit_s:.0f} s: {names}")
            time.sleep(poll_s if running else 0)
    except (BotoCoreError, ClientError) as error:
        raise RunnerError(" ".join(str(error).split())) from error


def _create(client: Any, name: str, definition: str) -> str:
    """Its ARN. What answers may know less of the States Language than AWS, and then refuses the definition."""
    try:
        created = client.create_state_machine(name=name, definition=definition, roleArn=_ROLE)
    except ClientError as error:
        told = " ".join(str(error).split())
        raise RunnerError(f"the definition of {name} is not understood there: {told}") from error
    return str(created["stateMachineArn"])


def _start(client: Any, machine_arn: str, case: Case) -> str:
    """The test case is named behind the machine's ARN (sfn-local-test-sm-exec)."""
    started = client.start_execution(
        stateMachineArn=f"{machine_arn}#{case.name}", name=case.name, input=json.dumps(case.input)
    )
    return str(started["executionArn"])


def _events(client: Any, arn: str) -> list[JSON]:
    pages = client.get_paginator("get_execution_history").paginate(executionArn=arn)
    return [event for page in pages for event in page["events"]]


def _differences_of(
    case: Case, config: MockConfig, described: Mapping[str, JSON], events: Sequence[JSON]
) -> list[str]:
    told = {name: described.get(name) for name in ("status", "error", "cause")}
    told["output"] = json.loads(described["output"]) if described.get("output") else None
    told["path"] = path_of(visits_of(events))
    expected = {"path": case.path, **case.end(config)}
    return [f"{name} is {told[name]}, not {value}" for name, value in expected.items() if told[name] != value]
