"""What `sam build` makes of the zip functions and their layers: how large it is, and how it runs."""

import os
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from builds.lambda_process import BuildError, Built
from fanwise_local.template import Function, Stack, read_stack

ROOT = Path(__file__).parents[2]
MAX_UNZIPPED_BYTES = 250 * 2**20  # of a function with its layers (gettingstarted-limits)
WITHOUT_IMAGE = {"PredictBatchImageUri": ""}


@dataclass(frozen=True)
class Size:
    """A function's own bytes, and those of each of its layers."""

    function: str
    own_bytes: int
    layers_bytes: Mapping[str, int]

    @property
    def total_bytes(self) -> int:
        return self.own_bytes + sum(self.layers_bytes.values())


def sam_build(folder: Path, python_version: str) -> Stack:
    """`sam build` into a folder, for a version of Python; what it says is shown where it fails."""
    words = ["build", "--no-cached", "--template", str(ROOT / "template.yaml"), "--build-dir", str(folder)]
    done = subprocess.run(
        [str(ROOT / ".tools/sam/bin/sam"), *words],
        cwd=ROOT,
        env={**os.environ, "FANWISE_BUILD_PYTHON": python_version},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BuildError(f"sam build ended with {done.returncode}:\n{done.stdout}")
    return read_stack(folder, parameters=WITHOUT_IMAGE)


def sizes(stack: Stack) -> list[Size]:
    """What each function and its layers take, unzipped."""
    return [
        Size(
            function.logical_id,
            _bytes(function.task_root),
            {layer.name: _bytes(layer) for layer in function.layers},
        )
        for function in stack.functions.values()
    ]


def _bytes(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def table(found: Iterable[Size]) -> str:
    """The sizes in MB, a function a line."""
    lines = []
    for size in found:
        layers = " + ".join(f"{name} {_mb(size_bytes)}" for name, size_bytes in size.layers_bytes.items())
        lines.append(f"  {size.function:<28}{_mb(size.total_bytes):>6} MB = {_mb(size.own_bytes)} + {layers}")
    return "\n".join(lines)


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / 2**20:.1f}"


def check_sizes(found: Iterable[Size]) -> None:
    """Raises `BuildError` for a function that Lambda would not take."""
    for size in found:
        if size.total_bytes > MAX_UNZIPPED_BYTES:
            raise BuildError(
                f"{size.function} has {_mb(size.total_bytes)} MB unzipped with its layers; Lambda takes at most"
                f" {_mb(MAX_UNZIPPED_BYTES)} (gettingstarted-limits): leave something out of a layer"
            )


def built(function: Function, python: str) -> Built:
    """A function as Lambda would start it: its own code, its layers' `python` folders, and nothing else (-S)."""
    return Built(
        name=function.logical_id,
        python=python,
        isolation=("-I", "-S"),
        path=(function.task_root, *(layer / "python" for layer in function.layers)),
        handler=function.handler,
        environment=function.environment,
        memory_mb=function.memory_mb,
    )
