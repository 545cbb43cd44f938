"""scripts/deploy.sh, in a clone of its own, with a SAM CLI and a Docker that write down what they are asked."""

import os
import shutil
from pathlib import Path

import pytest

from commands import Ended
from scripts.shell import SCRIPTS, run_script

URI = "123456789012.dkr.ecr.eu-west-3.amazonaws.com/fanwise/predict-batch@sha256:0123"

SAM = """#!/bin/sh
echo "sam $*" >>"$CALLS"
echo "$AWS_DEFAULT_REGION" >"$CALLS.region"
case $1 in "$FAILS") exit 3 ;; esac
"""
BUILD_IMAGE = f"""#!/bin/sh
echo build_image >>"$CALLS"
[ "$FAILS" != build_image ] || exit 1
echo {URI}
"""


class Clone:
    """A clone without environments, on a machine with the tools that are named."""

    def __init__(self, folder: Path, *tools: str) -> None:
        self._folder = folder
        self._calls = folder / "calls"
        (folder / "scripts").mkdir()
        (folder / "bin").mkdir()
        shutil.copy(SCRIPTS / "deploy.sh", folder / "scripts")
        shutil.copy(SCRIPTS.parent / "samconfig.toml", folder)
        self._write("scripts/build_image.sh", BUILD_IMAGE)
        for tool in tools:
            self._write(f"bin/{tool}", SAM)
        for tool in ("dirname", "sed", "tail", "cat", "sh"):  # the system's, and no other of it
            found = shutil.which(tool)
            assert found is not None
            os.symlink(found, folder / "bin" / tool)

    def _write(self, name: str, text: str) -> None:
        path = self._folder / name
        path.write_text(text)
        path.chmod(0o755)

    def name_stack(self, name: str) -> None:
        """As `sam deploy --guided` keeps it."""
        with (self._folder / "samconfig.toml").open("a") as config:
            config.write(f'stack_name = "{name}"\n')

    def run(self, *words: str, **variables: str) -> Ended:
        environment = {"PATH": str(self._folder / "bin"), "CALLS": str(self._calls), "FAILS": "", **variables}
        return run_script(self._folder / "scripts/deploy.sh", *words, environment=environment)

    @property
    def calls(self) -> list[str]:
        return self._calls.read_text().splitlines() if self._calls.exists() else []

    @property
    def region(self) -> str:
        return Path(f"{self._calls}.region").read_text().strip()


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path, "sam", "docker")


def test_it_builds_and_deploys_with_the_words_that_it_was_given(clone: Clone) -> None:
    done = clone.run("--stack-name", "mine", "--tags", "a=b c", AWS_REGION="eu-west-3")
    assert (done.code, done.stdout) == (0, "")
    assert clone.calls == ["sam build", "sam deploy --guided --stack-name mine --tags a=b c"]
    assert clone.region == "eu-west-3"
    assert "at most 26 lower-case letters, digits and hyphens" in done.stderr  # SAM asks for the name itself


def test_the_image_is_pushed_before_and_its_uri_handed_over(clone: Clone) -> None:
    assert clone.run("--image").code == 0
    assert clone.calls == [
        "sam build",
        "build_image",
        f"sam deploy --guided --parameter-overrides PredictBatchImageUri={URI}",
    ]


def test_the_image_stands_beside_other_parameters(clone: Clone) -> None:
    words = ("--parameter-overrides", "LogRetentionDays=7", "--stack-name", "mine")
    assert clone.run("--image", *words).code == 0
    *_, deploy = clone.calls
    overrides = f"--parameter-overrides PredictBatchImageUri={URI} LogRetentionDays=7"
    assert deploy == f"sam deploy --guided {overrides} --stack-name mine"


def test_what_fails_ends_it(clone: Clone, tmp_path: Path) -> None:
    assert clone.run(FAILS="build").code == 3
    assert clone.calls == ["sam build"]
    assert clone.run("--image", FAILS="build_image") == (
        1,
        "",
        "deploy: the image was not built; nothing was deployed\n",
    )
    assert clone.calls == ["sam build", "sam build", "build_image"]
    assert clone.run(FAILS="deploy").code == 3


@pytest.mark.parametrize(
    ("tools", "words", "why"),
    [
        ((), (), "deploy: there is no SAM CLI; 'make tools' installs one, locked, into .tools\n"),
        (("sam",), ("--image",), "deploy: --image needs Docker; without it, the stack runs LiteRT alone\n"),
    ],
)
def test_a_tool_that_is_missing_is_said_in_a_line(
    tmp_path: Path, tools: tuple[str, ...], words: tuple[str, ...], why: str
) -> None:
    clone = Clone(tmp_path, *tools)
    assert clone.run(*words) == (2, "", why)
    assert clone.calls == []


@pytest.mark.parametrize("name", ["Mine", "my_stack", "1st", "a" * 27, "mein-ä", "-a"])
@pytest.mark.parametrize("told", ["word", "one word", "samconfig.toml"])
def test_a_name_that_buckets_cannot_have_is_refused_before_anything_is_built(
    clone: Clone, name: str, told: str
) -> None:
    if told == "samconfig.toml":
        clone.name_stack(name)
        ended = clone.run()
    else:
        ended = clone.run(*([f"--stack-name={name}"] if told == "one word" else ["--stack-name", name]))
    (line,) = ended.stderr.splitlines()
    assert ended.code == 2
    assert f'the stack\'s name "{name}" has to be at most 26' in line
    assert clone.calls == []


def test_the_name_of_the_words_counts_before_that_of_the_file(clone: Clone) -> None:
    clone.name_stack("Not-This")
    assert clone.run("--stack-name", "a" * 26).code == 0


def test_help_is_what_the_script_says_of_itself(clone: Clone) -> None:
    ended = clone.run("--help")
    assert (ended.code, ended.stderr, clone.calls) == (0, "", [])
    assert "scripts/deploy.sh --image [OPTIONS OF sam deploy]" in ended.stdout
