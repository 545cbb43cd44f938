"""`make test-sfn-local`: the test cases of MockConfigFile.json in AWS's Step Functions Local, in a container.

It knows no JSONata, so that it is given the machines in JSONPath, unless it is asked to take them as they are.
Exit code 0: every case came to what it has to. 1: one did not, or could not be run. 2: there is no Docker engine.
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fanwise_local.template import read_stack, stack_root
from sfn_local.cases import CASES
from sfn_local.jsonpath import Untranslated, in_jsonpath, in_jsonpath_comes_to
from sfn_local.machines import definitions
from sfn_local.mock_config import PATH, read_mock_config
from sfn_local.runner import RunnerError, client_of, differences, wait_until_ready

COMPOSE_FILE = Path(__file__).with_name("compose.yaml")
_SERVICE, _PORT = "step-functions", "8083"
_ANSWER_S = 30
_COMPOSE = ("docker", "compose", "--project-name", "fanwise-sfn-local", "--file", str(COMPOSE_FILE))


def main(words: Sequence[str] | None = None) -> int:
    """Run the cases, and say what came out otherwise."""
    parser = argparse.ArgumentParser(prog="sfn_local", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--endpoint", help="of an emulator that runs already and reads MockConfigFile.json; no Docker then"
    )
    parser.add_argument("--jsonata", action="store_true", help="give it the definition as it is shipped")
    given = parser.parse_args(words)
    try:
        if given.endpoint is not None:
            return _run(given.endpoint, jsonata=given.jsonata)
        if why := _no_docker():
            _say(f"needs Docker, and {why}; `make test` runs the same cases on our own interpreter")
            return 2
        with _container() as endpoint:
            return _run(endpoint, jsonata=given.jsonata)
    except (RunnerError, Untranslated) as error:
        _say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130


def _run(endpoint: str, *, jsonata: bool) -> int:
    client = client_of(endpoint)
    wait_until_ready(client)
    failed = 0
    config = read_mock_config(PATH.read_bytes())
    machines, cases = definitions(read_stack(stack_root())), CASES
    if not jsonata:
        machines = {name: in_jsonpath(text) for name, text in machines.items()}
        cases = tuple(in_jsonpath_comes_to(case) for case in CASES)
    for case, lines in differences(client, machines, cases, config):
        failed += bool(lines)
        for line in lines:
            _say(f"{case.machine}#{case.name}: {line}")
    _say(f"{len(CASES)} test cases, {failed} failed")
    return 1 if failed else 0


def _no_docker() -> str | None:
    """Why no container can be run."""
    if shutil.which("docker") is None:
        return "there is no docker command"
    for words, why in ((("info",), "no engine answers"), (("compose", "version"), "it has no compose")):
        asked = ["docker", *words]
        try:
            subprocess.run(
                asked, capture_output=True, stdin=subprocess.DEVNULL, timeout=_ANSWER_S, check=True
            )
        except subprocess.SubprocessError:  # it failed, or hangs
            return f"{why} (`{' '.join(asked)}`)"
    return None


@contextmanager
def _container() -> Iterator[str]:
    """The container, up; its endpoint, on a free port of loopback. Raises `RunnerError`."""
    try:
        _compose("up", "--detach")
        yield f"http://{_compose('port', _SERVICE, _PORT).strip()}"
    finally:
        subprocess.run([*_COMPOSE, "down"], capture_output=True, stdin=subprocess.DEVNULL, check=False)


def _compose(*words: str) -> str:
    """What it prints; it may pull the image first, and tells of that itself."""
    done = subprocess.run(
        [*_COMPOSE, *words], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, check=False
    )
    if done.returncode:
        raise RunnerError(f"`docker compose {' '.join(words)}` failed with {done.returncode}")
    return done.stdout


def _say(line: str) -> None:
    sys.stderr.write(f"test-sfn-local: {line}\n")


if __name__ == "__main__":
    sys.exit(main())
