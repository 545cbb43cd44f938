"""Inside the measured process: a function that does nothing, invoked as the state machine invokes one.

`python -m benchmarks.runtime_hop_process INVOCATIONS` prints a `HopMeasure`. The function's processor time is its
process' own, as its handler tells it; the clock of `/proc` is too coarse, and there is none on macOS.
"""

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from benchmarks.errors import BenchmarkError
from fanwise_local.functions import FunctionService
from fanwise_local.states.payloads import JSON
from fanwise_local.template import Function

WARM_UP = 200  # invocations before the first that counts
HANDLER = """\
import time

def lambda_handler(event, context):
    return {"processor_s": time.process_time()}
"""
# As the ItemSelector of the shipped definition makes it.
EVENT: JSON = {
    "job_id": "0123456789abcdef0123456789abcdef",
    "runtime": "litert",
    "entry": {
        "entry": "000001",
        "start": 0,
        "end": 10_240,
        "first": 0,
        "first_line": 1,
        "count": 256,
        "attempt": 1,
    },
}


class HopMeasure(msgspec.Struct, frozen=True, kw_only=True):
    """Invocations one after the other: processor time of both processes, and the time that passed."""

    invocations: int
    cloud_s: float
    function_s: float
    duration_s: float

    @property
    def cloud_ms(self) -> float:
        """Milliseconds of processor time that an invocation costs the cloud's process."""
        return self.cloud_s * 1000 / self.invocations

    @property
    def function_ms(self) -> float:
        """Milliseconds of processor time that an invocation costs the function's process."""
        return self.function_s * 1000 / self.invocations

    @property
    def round_trip_ms(self) -> float:
        """Milliseconds between an invocation and its answer."""
        return self.duration_s * 1000 / self.invocations


async def measure(invocations: int, folder: Path) -> HopMeasure:
    """Invoke the function that often. Raises `BenchmarkError` where it fails, or its process is not kept."""
    service = FunctionService(
        {"IdleFunction": _idle_function(folder)},
        environments=1,
        extra_environment={},
        work_dir=folder / "work",
    )
    await service.start()
    try:
        for _ in range(WARM_UP):
            function_before_s = await _invoke(service)
        pids = service.pids()
        started_s, cloud_before_s = time.perf_counter(), time.process_time()
        for _ in range(invocations):
            function_s = await _invoke(service)
        cloud_s, duration_s = time.process_time() - cloud_before_s, time.perf_counter() - started_s
        if service.pids() != pids:
            raise BenchmarkError("the function's process did not last")
    finally:
        await service.close()
    return HopMeasure(
        invocations=invocations,
        cloud_s=round(cloud_s, 4),
        function_s=round(function_s - function_before_s, 6),
        duration_s=round(duration_s, 4),
    )


async def _invoke(service: FunctionService) -> float:
    """The processor time that the function's process has used so far, in seconds."""
    result = await service.invoke("idle", EVENT)
    if result.fault is not None:
        raise BenchmarkError(f"the function failed: {result.fault.payload}")
    return float(json.loads(result.payload)["processor_s"])


def _idle_function(folder: Path) -> Function:
    code = folder / "idle"
    code.mkdir()
    (code / "handler.py").write_text(HANDLER)
    return Function(
        logical_id="IdleFunction",
        name="idle",
        arn="arn:aws:lambda:us-east-1:123456789012:function:idle",
        task_root=code,
        handler="handler.lambda_handler",
        layers=(),
        environment={},
        memory_mb=512,
        timeout_s=30,
        ephemeral_storage_mb=512,
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        sys.stdout.buffer.write(msgspec.json.encode(asyncio.run(measure(int(sys.argv[1]), Path(made)))))
