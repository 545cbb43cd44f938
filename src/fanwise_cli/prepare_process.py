"""The process that prepares a model, from its start to its end: it has a time limit, and leaves nothing behind.

It says nothing itself while it works: which part it is at is seen by what it has written.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from fanwise.errors import BundleError
from fanwise.model.bundle import LITE_FILE
from fanwise_cli.settings import PREPARE_TIMEOUT_S, prepare_timeout_s

_LOOKS_EVERY_S = 0.1
_FROZEN = "frozen"

Heard = Callable[[str, float], None]  # which part is at work, and seconds since the start
_heard: ContextVar[Heard | None] = ContextVar("heard", default=None)


@dataclass(frozen=True)
class Ended:
    """How the process ended: its exit status, and the last line that it wrote."""

    status: int
    last_line: str


@contextmanager
def hearing(heard: Heard) -> Iterator[None]:
    """Have whoever waits for a model hear how it goes."""
    before = _heard.set(heard)
    try:
        yield
    finally:
        _heard.reset(before)


def run_apart(
    words: Sequence[str], settings: Mapping[str, str], given: Path, folder: Path, report_path: Path
) -> Ended:
    """Run `fanwise_cli.prepare_bundle` with these words, on `folder`, up to the time limit.

    However this ends, also by Ctrl-C, nothing that it started is left. Raises `BundleError` at the limit.
    """
    limit_s = prepare_timeout_s()
    heard, has_litert = _heard.get(), (folder / LITE_FILE).exists()
    # -P: a file of the current folder named like a library is not to be imported in its place.
    command = [sys.executable, "-P", "-m", "fanwise_cli.prepare_bundle_apart", str(os.getpid()), *words]
    said = report_path.with_name("said")
    temporary = report_path.with_name("tmp")
    temporary.mkdir()
    began = time.monotonic()
    with said.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603
            command,
            env=os.environ | settings | {"TMPDIR": str(temporary)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        while (status := _status(process)) is None:
            seconds = time.monotonic() - began
            part = "trying it" if has_litert else _part(folder, report_path)
            if heard is not None:
                heard(part, seconds)
            if seconds > limit_s:
                raise BundleError(
                    f"{given}: was not prepared within {limit_s:g} s (it was {part}); give it more time with"
                    f" {PREPARE_TIMEOUT_S}=SECONDS, or try the model in its library by itself"
                )
    finally:
        _end(process)
    return Ended(status, _last_line(said))


def _status(process: "subprocess.Popen[bytes]") -> int | None:
    try:
        return process.wait(_LOOKS_EVERY_S)
    except subprocess.TimeoutExpired:
        return None


def _end(process: "subprocess.Popen[bytes]") -> None:
    """It and what it started; a child that is left may still write."""
    with suppress(ProcessLookupError, PermissionError):  # none is left; on macOS also where only zombies are
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _part(folder: Path, report_path: Path) -> str:
    """Which part of the work it is at."""
    if (folder / LITE_FILE).exists():
        return "measuring"
    return "converting" if report_path.exists() or (folder / _FROZEN).exists() else "loading"


def _last_line(said: Path) -> str:
    """The last that is not blank, of its last bytes: libraries may write without end."""
    with said.open("rb") as file:
        file.seek(max(0, said.stat().st_size - 4096))
        lines = file.read().decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else ""
