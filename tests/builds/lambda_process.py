"""A built function in a process as Lambda starts it: only the build on its path, and the Runtime API to talk to.

`runtime` is a folder with awslambdaric, which on Lambda comes with the runtime itself.
"""

import asyncio
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fanwise_local.runtime_api import Answered, Failed, Invocation, Polled, RuntimeApi, RuntimeEvent

PATIENCE_S = 120.0  # for an answer; far beyond what any takes

# -I: nothing of the caller's environment and folder; the build first on the path, as Lambda has it.
_START = "import sys; sys.path[:0] = {first!r}; sys.path += {last!r}; "
_IMPORT = "import importlib, time; t = time.perf_counter(); importlib.import_module({module!r}); "
_SAY_MS = "print(round((time.perf_counter() - t) * 1000))"
_SERVE = "from awslambdaric.__main__ import main; main(['bootstrap', {handler!r}])"


class BuildError(Exception):
    """What was built does not do what it should."""


@dataclass(frozen=True)
class Built:
    """A built function. `path` are its folders, in Lambda's order; `isolation` keeps all else away."""

    name: str
    python: str
    isolation: Sequence[str]
    path: Sequence[Path]
    handler: str
    environment: Mapping[str, str]
    memory_mb: int

    async def imported_ms(self) -> int:
        """Import the handler in a new process; how long it took. Raises `BuildError` with what Python says."""
        start = _START.format(first=[str(folder) for folder in self.path], last=[])
        code = start + _IMPORT.format(module=self.handler.rpartition(".")[0]) + _SAY_MS
        said, status = await self._process(code, {})
        if status:
            raise BuildError(
                f"{self.name}: its handler cannot be imported from what was built alone:\n{said}"
            )
        return int(said.split()[-1])

    async def answer(self, event: Mapping[str, Any], runtime: Path, mounts: Mapping[str, Any]) -> Any:
        """Invoke it once in a new process, over the Runtime API. Raises `BuildError`."""
        told: asyncio.Queue[RuntimeEvent] = asyncio.Queue()
        api = RuntimeApi(told.put_nowait)
        address = await api.open()
        deadline_ms = int((time.time() + PATIENCE_S) * 1000)
        api.offer(Invocation("r-1", f"arn:aws:lambda:x:1:function:{self.name}", _json(event), deadline_ms))
        code = _START.format(first=[str(folder) for folder in self.path], last=[str(runtime)])
        code += _SERVE.format(handler=self.handler)
        variables = {"AWS_LAMBDA_RUNTIME_API": address, "FANWISE_MOUNTS": json.dumps(mounts)}
        process = asyncio.create_task(self._process(code, variables))
        try:
            answer = asyncio.create_task(_answer(told))
            await asyncio.wait({process, answer}, return_when=asyncio.FIRST_COMPLETED, timeout=PATIENCE_S)
            if not answer.done():
                answer.cancel()
                why = process.result()[0] if process.done() else f"nothing came in {PATIENCE_S:g} s"
                raise BuildError(f"{self.name} did not answer:\n{why}")
            outcome = answer.result()
            if isinstance(outcome, Failed):
                raise BuildError(f"{self.name} failed:\n{outcome.body.decode(errors='replace')}")
            return json.loads(outcome.body)
        finally:
            process.cancel()
            await asyncio.gather(process, return_exceptions=True)
            await api.close()

    async def _process(self, code: str, variables: Mapping[str, str]) -> tuple[str, int]:
        with tempfile.TemporaryDirectory(prefix="fanwise-lambda-") as folder:
            process = await asyncio.create_subprocess_exec(
                self.python,
                *self.isolation,
                "-B",  # /var/task, /opt and an image are read-only
                "-c",
                code,
                cwd=folder,
                env={**self._variables(folder), **variables},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            try:
                said, _ = await process.communicate()
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        return said.decode(errors="replace"), process.returncode or 0

    def _variables(self, folder: str) -> dict[str, str]:
        return {
            "PATH": "/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "TMPDIR": folder,
            **self.environment,
            "AWS_REGION": "us-east-1",
            "AWS_LAMBDA_FUNCTION_NAME": self.name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self.memory_mb),
            "LAMBDA_TASK_ROOT": str(self.path[0]),
            "_HANDLER": self.handler,
        }


async def _answer(told: "asyncio.Queue[RuntimeEvent]") -> Answered | Failed:
    while True:
        event = await told.get()
        if isinstance(event, Answered | Failed):
            return event
        if not isinstance(event, Polled):
            raise BuildError(f"answered with {event}")


def _json(event: Mapping[str, Any]) -> bytes:
    return json.dumps(event).encode()
