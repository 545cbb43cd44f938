"""scripts/build_image.sh, with a Docker and an AWS CLI that write down what they are asked."""

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts/build_image.sh"
REGISTRY = "123456789012.dkr.ecr.eu-west-3.amazonaws.com"

DOCKER = """#!/bin/sh
echo "docker $*" >>"$CALLS"
case $1 in
    info) [ -z "$NO_ENGINE" ] ;;
    login) cat >/dev/null ;;
    push) : >"$CALLS.pushed" ;;
esac
"""
AWS = """#!/bin/sh
echo "aws $1 $2" >>"$CALLS"
case "$1 $2" in
    "sts get-caller-identity") [ -z "$NO_ACCOUNT" ] && echo 123456789012 ;;
    "ecr describe-repositories") [ -z "$NO_REPOSITORY" ] ;;
    "ecr describe-images") [ -e "$CALLS.pushed" ] && echo sha256:0123 ;;
    "ecr get-login-password") echo secret ;;
esac
"""


class Machine:
    """A machine with both tools; `calls` is what they were asked so far."""

    def __init__(self, folder: Path) -> None:
        self._calls = folder / "calls"
        self._folder = folder
        for name, text in (("docker", DOCKER), ("aws", AWS)):
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)

    def run(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": f"{self._folder}:/usr/bin:/bin",
            "CALLS": str(self._calls),
            "AWS_REGION": "eu-west-3",
        }
        return subprocess.run(
            [SCRIPT, *words],
            env={**environment, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def calls(self, tool: str) -> list[str]:
        told = self._calls.read_text().splitlines()
        self._calls.unlink()
        return [line.removeprefix(f"{tool} ") for line in told if line.startswith(tool)]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_it_builds_pushes_and_prints_the_uri_by_digest_alone(machine: Machine) -> None:
    done = machine.run()
    assert (done.returncode, done.stdout) == (0, f"{REGISTRY}/fanwise/predict-batch@sha256:0123\n"), (
        done.stderr
    )
    assert "secret" not in done.stderr
    _, build, login, push = machine.calls("docker")
    assert build.startswith(
        "build --platform linux/amd64 --provenance=false --file docker/predict_batch/Dockerfile"
    )
    assert login == f"login --username AWS --password-stdin {REGISTRY}"
    assert push.startswith(f"push {REGISTRY}/fanwise/predict-batch:")


def test_the_same_again_is_pushed_once(machine: Machine) -> None:
    first = machine.run("mine/image")
    machine.calls("docker")
    second = machine.run("mine/image")
    assert second.stdout == first.stdout == f"{REGISTRY}/mine/image@sha256:0123\n"
    assert machine.calls("docker") == ["info"]


def test_a_repository_that_is_not_there_is_made(machine: Machine) -> None:
    assert machine.run(NO_REPOSITORY="1").returncode == 0
    assert "ecr create-repository" in machine.calls("aws")


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({"NO_ENGINE": "1"}, "image: Docker's engine does not answer"),
        ({"NO_ACCOUNT": "1"}, "image: AWS does not take these credentials"),
        ({"AWS_REGION": ""}, "image: no Region is set; set AWS_REGION"),
        ({"PATH": "/usr/bin:/bin"}, "image: needs "),
    ],
)
def test_what_is_missing_is_told_in_one_line(machine: Machine, variables: dict[str, str], why: str) -> None:
    if "PATH" in variables and any(Path(folder, "docker").exists() for folder in ("/usr/bin", "/bin")):
        pytest.skip("there is a Docker among the system's own tools")
    done = machine.run(**variables)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(why)
