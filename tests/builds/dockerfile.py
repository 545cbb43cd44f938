"""A Dockerfile's steps after its base, run as they stand without Docker, where a folder stands for the image.

What is known is what ours has: RUN, COPY, ENV and CMD. Anything else is refused, never skipped. The base is a
clean Python environment in `folder/lang` (for /var/lang) and an empty `folder/task` (for LAMBDA_TASK_ROOT).
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

# Of the caller's: where packages come from and are kept, which no image is to hold.
_KEPT_FROM_THE_CALLER = re.compile(r"HOME|XDG_CACHE_HOME|(PIP|UV|SSL)_.*|.*_(PROXY|proxy)")
_CACHE = re.compile(r"--mount=type=cache,\S+\s+")  # which only makes a build quicker
_VARIABLE = re.compile(r"\$\{(\w+)\}|\$(\w+)")


class DockerfileError(Exception):
    """A step that is not known here, or failed."""


@dataclass(frozen=True)
class Step:
    """An instruction with the rest of its line, continued lines joined."""

    line: int
    instruction: str
    words: str


def read_steps(text: str) -> list[Step]:
    """The steps after FROM. Raises `DockerfileError` where there is more than one FROM, or none."""
    steps, pending, first = [], "", 0
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        first = first if pending else number
        pending += line.strip()
        if pending.endswith("\\"):
            pending = pending.removesuffix("\\")
            continue
        instruction, _, words = pending.partition(" ")
        steps.append(Step(first, instruction.upper(), words.strip()))
        pending = ""
    if [step.instruction for step in steps].count("FROM") != 1 or steps[0].instruction != "FROM":
        raise DockerfileError("line 1: the Dockerfile has to begin with its one FROM")
    return steps[1:]


def context(root: Path, folder: Path) -> Path:
    """A copy of what .dockerignore lets into a build from `root` (docs.docker.com/build/concepts/context)."""
    rules = [line.strip() for line in (root / ".dockerignore").read_text().splitlines()]
    patterns = [
        (not rule.startswith("!"), _pattern(rule.removeprefix("!")))
        for rule in rules
        if rule and not rule.startswith("#")
    ]
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        path = PurePosixPath(name)
        ignored = False
        for ignores, pattern in patterns:
            if any(pattern.fullmatch(str(part)) for part in (path, *path.parents)):
                ignored = ignores
        if not ignored and (root / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / name, folder / name)
    return folder


def _pattern(rule: str) -> re.Pattern[str]:
    """A rule of .dockerignore, for a path or a folder above it."""
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile(re.sub(r"\*\*/|\*\*|\*|\?|[^*?]+", lambda m: parts.get(m[0], re.escape(m[0])), rule))


@dataclass
class Image:
    """What the steps make. `command` is CMD's; `variables` those that the base sets, and then ENV."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)
    command: Sequence[str] = ()

    @property
    def task_root(self) -> Path:
        return self.folder / "task"

    @property
    def python(self) -> Path:
        return self.folder / "lang/bin/python3"

    def build(self, steps: Sequence[Step], context: Path, python: str) -> None:
        """Make the base with a Python and run the steps. Raises `DockerfileError` with the line that failed."""
        self.task_root.mkdir(parents=True)
        subprocess.run([python, "-m", "venv", self.folder / "lang"], check=True, stdin=subprocess.DEVNULL)
        self.variables = {
            "PATH": f"{self.folder / 'lang/bin'}:/usr/bin:/bin",
            "LAMBDA_TASK_ROOT": str(self.task_root),
        }
        for step in steps:
            self.take(step, context)

    def take(self, step: Step, context: Path) -> None:
        """Run one step. Raises `DockerfileError`."""
        try:
            self._take(step, context)
        except DockerfileError as error:
            raise DockerfileError(f"line {step.line}: {step.instruction}: {error}") from error

    def _take(self, step: Step, context: Path) -> None:
        match step.instruction:
            case "RUN":
                self._shell(_CACHE.sub("", step.words))
            case "COPY":
                *sources, target = self._expanded(step.words).split()
                for source in sources:
                    self._copy(context, source, target)
            case "ENV":
                name, is_pair, value = step.words.partition("=")
                if not is_pair or not name.isidentifier() or " " in value:
                    raise DockerfileError(f"{step.words!r} is not NAME=VALUE, one a line")
                self.variables[name] = self._expanded(value)
            case "CMD":
                self.command = json.loads(step.words)
            case _:
                raise DockerfileError("is not known here (tests/builds/dockerfile.py)")

    def _shell(self, words: str) -> None:
        done = subprocess.run(
            ["/bin/sh", "-c", words],
            cwd=self.task_root,
            env={**_kept(os.environ), **self.variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise DockerfileError(f"ended with {done.returncode}\n{done.stdout}")

    def _copy(self, context: Path, source: str, target: str) -> None:
        """A file into a folder, or what a folder has (docs.docker.com/reference/dockerfile, COPY)."""
        found, into = context / source, Path(target)
        if not into.is_relative_to(self.task_root) or not target.endswith("/"):
            raise DockerfileError(f"{target} is no folder below LAMBDA_TASK_ROOT, with a slash at its end")
        if found.is_dir():
            shutil.copytree(found, into, dirs_exist_ok=True)
        elif found.is_file():
            into.mkdir(parents=True, exist_ok=True)
            shutil.copy(found, into)
        else:
            raise DockerfileError(f"{source} is not there, or .dockerignore leaves it out")

    def _expanded(self, words: str) -> str:
        return _VARIABLE.sub(lambda match: self.variables[match[1] or match[2]], words)


def _kept(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if _KEPT_FROM_THE_CALLER.fullmatch(name)}
