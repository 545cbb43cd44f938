"""Runs one measured program in a process of its own, and leaves none behind."""

import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from benchmarks.descendants import MemoryScale, adopted
from benchmarks.errors import BenchmarkError

ROOT = Path(__file__).parent.parent
GRACE_S = 20.0  # a fanwise that is interrupted ends its execution environments first
_SHOWN_LINES = 20
NOTHING: Mapping[str, str] = MappingProxyType({})

# Of the shell that started the benchmarks, and no part of what is measured: without compiled modules every
# process would compile fanwise's own again, and a FANWISE_ variable would be another configuration.
_DROPPED = ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED")
_DROPPED_PREFIX = "FANWISE_"


@dataclass(frozen=True, slots=True)
class Finished:
    """A process that ended well. Times are `time.monotonic()`, which all processes of a machine share.

    `peak_memory_mb` is that of it and its descendants together, 0 where it was not weighed.
    """

    started_s: float
    ended_s: float
    processor_s: float
    stdout: bytes
    peak_memory_mb: float = 0.0


def environment(**variables: str) -> dict[str, str]:
    """This process's environment for a measured one, with these variables on top."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in _DROPPED and not name.startswith(_DROPPED_PREFIX)
    }
    return kept | variables


def run_process(
    command: Sequence[str], variables: Mapping[str, str], *, cwd: Path | None = None, weighed: bool = False
) -> Finished:
    """Run a command to its end. Raises `BenchmarkError` with the last lines it said if it fails.

    Whatever ends this call, the process and all that it started are gone after it: interrupted first, and killed
    if they do not go. Processor time is that of all of them; it is right only while no other child of this process
    ends meanwhile. To be `weighed` takes some of it.
    """
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        before, started_s = _processor_s(), time.monotonic()
        with adopted(GRACE_S):
            process = subprocess.Popen(  # noqa: S603 - the benchmarks' own commands
                command, env=dict(variables), cwd=cwd, stdout=stdout, stderr=stderr, start_new_session=True
            )
            scale = MemoryScale(process.pid)
            try:
                with scale if weighed else nullcontext():
                    code = process.wait()
            except BaseException:
                _end(process)
                raise
            ended_s = time.monotonic()
        stdout.seek(0)
        if code != 0:
            stderr.seek(0)
            said = stderr.read().decode(errors="replace").splitlines()[-_SHOWN_LINES:]
            raise BenchmarkError("\n".join([f"{' '.join(command[:3])} … ended with {code}:", *said]))
        return Finished(started_s, ended_s, _processor_s() - before, stdout.read(), scale.peak_mb)


def run_module(
    module: str, *arguments: str, variables: Mapping[str, str] = NOTHING, weighed: bool = False
) -> Finished:
    """Run `python -m module` with this Python, from the folder that holds the benchmarks."""
    command = [sys.executable, "-m", module, *arguments]
    return run_process(command, environment(**variables), cwd=ROOT, weighed=weighed)


def _processor_s() -> float:
    """Processor time of the children that ended so far, and of those that they waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_S)
    with suppress(ProcessLookupError):  # its group: what a process that was killed left behind
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
