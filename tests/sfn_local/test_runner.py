"""The runner of `make test-sfn-local`, up to the container, for which our interpreter stands in."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

from fanwise_local.template import read_stack, stack_root
from sfn_local.__main__ import COMPOSE_FILE
from sfn_local.cases import CASES
from sfn_local.machines import CHILD, definitions
from sfn_local.mock_config import PATH, read_mock_config
from sfn_local.runner import RunnerError, client_of, differences, wait_until_ready
from sfn_local.stand_in import StandIn

_Result = TypeVar("_Result")
CONFIG = read_mock_config(PATH.read_bytes())
DEFINITIONS = definitions(read_stack(stack_root()))
TESTS = Path(__file__).parents[1]


def beside(work: Callable[[str], _Result]) -> _Result:
    """Has a thread work with a stand-in, by its `host:port`."""

    async def main() -> _Result:
        async with StandIn(CONFIG) as address:
            return await asyncio.to_thread(work, address)

    return asyncio.run(main())


def run(definitions: Any = None, cases: Any = CASES, **more: Any) -> dict[str, list[str]]:
    def work(address: str) -> dict[str, list[str]]:
        client = client_of(f"http://{address}")
        found = differences(client, definitions or DEFINITIONS, cases, CONFIG, poll_s=0.05, **more)
        return {case.name: lines for case, lines in found}

    return beside(work)


def test_every_case_comes_to_what_it_has_to() -> None:
    assert run() == {case.name: [] for case in CASES}


def test_what_comes_out_otherwise_is_said() -> None:
    (case,) = (case for case in CASES if case.name == "PartlyPredicted")
    told = run(cases=[replace(case, path="PredictBatch*2", last=None, output={"entry": "other"})])
    (path, output) = told["PartlyPredicted"]
    assert path == "path is PredictBatch, not PredictBatch*2"
    assert output.startswith("output is {'entry': '00000000', 'predicted': 180")
    assert output.endswith("not {'entry': 'other'}")


def test_a_definition_that_is_not_understood_is_one_line() -> None:
    with pytest.raises(
        RunnerError, match=r"the definition of FanwiseChild is not understood .*InvalidDef"
    ) as e:
        run({CHILD: '{"QueryLanguage": "JSONata",\n"StartAt": "A", "States": {"A": {"Type": "Magic"}}}'})
    assert "\n" not in str(e.value)


def test_a_case_that_does_not_end() -> None:
    (case,) = (case for case in CASES if case.name == "PlanUnavailable")
    with pytest.raises(RunnerError, match="still running after 0 s: PlanUnavailable"):
        run(cases=[case], limit_s=0)


def test_nobody_answers() -> None:
    with pytest.raises(RunnerError, match="no answer within 0 s"):
        wait_until_ready(client_of("http://127.0.0.1:9"), 0)
    with pytest.raises(RunnerError, match="http://HOST:PORT"):
        client_of("nonsense")


def command(*words: str, path: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": path, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}
    return subprocess.run(
        [sys.executable, "-m", "sfn_local", *words],
        env=environment,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=120,
        check=False,
    )


def fake_docker(folder: Path, script: str) -> str:
    """A PATH with a docker that writes down what it is called with."""
    docker = folder / "docker"
    docker.write_text(f'#!/bin/sh\necho "$*" >> "{folder}/calls"\n{script}\n')
    docker.chmod(0o755)
    return str(folder)


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (None, "there is no docker command"),
        ("exit 1", "no engine answers (`docker info`)"),
        ('test "$1" = info', "it has no compose (`docker compose version`)"),
    ],
)
def test_without_docker_it_says_so_in_one_line(script: str | None, why: str, tmp_path: Path) -> None:
    done = command(path=str(tmp_path) if script is None else fake_docker(tmp_path, script))
    assert done.returncode == 2
    assert done.stderr == (
        f"test-sfn-local: needs Docker, and {why}; `make test` runs the same cases on our own interpreter\n"
    )


def test_the_container_is_brought_up_and_down(tmp_path: Path) -> None:
    def work(address: str) -> subprocess.CompletedProcess[str]:
        docker = fake_docker(tmp_path, f'case "$*" in *" port "*) echo {address};; esac')
        return command("--jsonata", path=docker)

    done = beside(work)
    assert done.stderr == f"test-sfn-local: {len(CASES)} test cases, 0 failed\n"
    assert done.returncode == 0
    called = [line.partition("compose.yaml ")[2] for line in (tmp_path / "calls").read_text().splitlines()]
    assert called == ["", "", "up --detach", "port step-functions 8083", "down"]


def test_a_container_that_does_not_come_up(tmp_path: Path) -> None:
    done = command(path=fake_docker(tmp_path, 'case "$*" in *" up "*) exit 17;; esac'))
    assert done.stderr == "test-sfn-local: `docker compose up --detach` failed with 17\n"
    assert done.returncode == 1
    assert (tmp_path / "calls").read_text().endswith(" down\n")


def test_it_is_given_jsonpath_unless_it_knows_jsonata() -> None:
    """Our interpreter does not know JSONPath, and says so where Step Functions Local would go on."""
    done = beside(lambda address: command("--endpoint", f"http://{address}"))
    assert done.returncode == 1
    assert done.stderr.startswith("test-sfn-local: the definition of FanwiseJob is not understood there: ")
    assert "JSONPath" in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_endpoint_needs_no_docker() -> None:
    done = beside(lambda address: command("--jsonata", "--endpoint", f"http://{address}"))
    assert (done.returncode, done.stderr) == (0, f"test-sfn-local: {len(CASES)} test cases, 0 failed\n")


def test_the_compose_file_pins_the_image_and_stays_on_loopback() -> None:
    (service,) = yaml.safe_load(COMPOSE_FILE.read_text())["services"].values()
    name, _, tag = service["image"].rpartition(":")
    assert (name, tag) == ("amazon/aws-stepfunctions-local", "2.0.0")
    assert service["ports"] == ["127.0.0.1::8083"]
    (mount,) = service["volumes"]
    source, target, mode = mount.split(":")
    assert (COMPOSE_FILE.parent / source).resolve() == PATH.resolve()
    assert (target, mode) == (service["environment"]["SFN_MOCK_CONFIG"], "ro")
