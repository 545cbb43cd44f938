"""What the tests of the functions share: a function of `functions/`, and ways to wait for what a process does."""

import asyncio
import os
import sys
import time
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from fanwise_local.environment import InvokeResult
from fanwise_local.template import Function

FOLDERS = Path(__file__).parent / "functions"
GUARD_S = 60.0  # far beyond what any of it takes: a test that hangs fails instead

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells a process's memory")

_Result = TypeVar("_Result")


def made(
    folder: str | Path = "obedient",
    *,
    name: str = "obedient",
    handler: str = "handler.lambda_handler",
    variables: Mapping[str, str] | None = None,
    memory_mb: int = 512,
    timeout_s: int = 30,
) -> Function:
    """A function whose code lies in `functions/FOLDER`, or in any folder."""
    return Function(
        logical_id=f"{name.title()}Function",
        name=name,
        arn=f"arn:aws:lambda:eu-west-3:123456789012:function:{name}",
        task_root=FOLDERS / folder,
        handler=handler,
        layers=(),
        environment=variables or {},
        memory_mb=memory_mb,
        timeout_s=timeout_s,
        ephemeral_storage_mb=512,
    )


def run(main: Coroutine[Any, Any, _Result]) -> _Result:
    """Run a test's coroutine; raises TimeoutError where it would hang."""

    async def guarded() -> _Result:
        async with asyncio.timeout(GUARD_S):
            return await main

    return asyncio.run(guarded())


def encoded(do: str, value: Any = None) -> bytes:
    """An event of the obedient function."""
    return msgspec.json.encode({"do": do, "with": value})


def answer(result: InvokeResult) -> Any:
    """What the handler returned; fails where it did not."""
    assert result.fault is None, result.fault
    return msgspec.json.decode(result.payload)


def is_running(pid: int) -> bool:
    """Whether a process is there; one that ended and waits to be collected is not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return sys.platform != "linux"


def until_ended(pid: int) -> None:
    """Wait for the end of a child, with all its threads, without letting the event loop run."""
    with suppress(ChildProcessError):  # collected already
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


async def until_gone(pid: int) -> None:
    """Wait for the end of a process."""
    deadline_s = time.monotonic() + GUARD_S
    while is_running(pid):
        assert time.monotonic() < deadline_s, f"process {pid} is still there"
        await asyncio.sleep(0.005)


async def until_written(path: Path) -> None:
    """Wait for a file that a handler makes, and for what it writes there."""
    deadline_s = time.monotonic() + GUARD_S
    while not path.exists() or path.stat().st_size == 0:
        assert time.monotonic() < deadline_s, f"{path} has not come"
        await asyncio.sleep(0.005)
