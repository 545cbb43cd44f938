"""The peers' environment: `.tools/peers`, made by `make bench` from requirements/peers.txt, apart from ours."""

import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec

from benchmarks.errors import BenchmarkError
from benchmarks.processes import NOTHING, ROOT, Finished, environment, run_process

PYTHON = ROOT / ".tools/peers/bin/python"
NAMES = ("ray", "lithops", "keras", "tensorflow-cpu", "numpy", "pillow", "pyarrow")
_VERSIONS = (
    "import json, sys; from importlib.metadata import version;"
    " print(json.dumps({name: version(name) for name in sys.argv[1:]}))"
)


def versions() -> dict[str, str]:
    """What is installed there, by name; nothing where there is no such environment."""
    if not PYTHON.exists():
        return {}
    try:
        said = subprocess.run(  # noqa: S603 - our own environment
            [PYTHON, "-c", _VERSIONS, *NAMES], capture_output=True, check=True
        ).stdout
    except subprocess.CalledProcessError:
        return {}
    return msgspec.json.decode(said, type=dict[str, str])


def run_peer(
    module: str, *arguments: str, variables: Mapping[str, str] = NOTHING, weighed: bool = False
) -> Finished:
    """Run `python -m module` in that environment. What a peer keeps in HOME or TMPDIR is gone afterwards.

    Raises `BenchmarkError` where the environment is missing.
    """
    if not PYTHON.exists():
        raise BenchmarkError("the peers are not installed: scripts/environment.sh tool peers (make bench)")
    # Below the system's own folder and short: Ray's sockets lie in it, and their paths have at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="peer-", ignore_cleanup_errors=True) as folder:
        kept = {"HOME": folder, "TMPDIR": folder, "RAY_TMPDIR": folder, "PYTHONPATH": str(ROOT)}
        kept["PATH"] = os.pathsep.join([str(PYTHON.parent), os.environ.get("PATH", os.defpath)])
        command = [str(PYTHON), "-m", module, *arguments]
        return run_process(command, environment(**kept, **variables), cwd=Path(folder), weighed=weighed)
