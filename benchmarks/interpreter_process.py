"""Inside the measured process: a job of the shipped definition over services that only answer.

`python -m benchmarks.interpreter_process virtual|real CHILDREN MAX_CONCURRENCY BATCH_S` prints a `MapRunMeasure`.
PredictBatch takes BATCH_S seconds, give or take a tenth (seeded): children end one by one, as they do.
"""

import asyncio
import random
import re
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.errors import BenchmarkError
from benchmarks.measured import pin_to_one_core
from fanwise.records import Entry, Round
from fanwise_cli.measuring import peak_memory_mb
from fanwise_local.clock import Clock, run_virtual
from fanwise_local.faults.plan import state_name
from fanwise_local.states.definition import parse_definition
from fanwise_local.states.errors import StatesError
from fanwise_local.states.executions import Execution, StateMachine
from fanwise_local.states.payloads import JSON

DEFINITION = Path(__file__).parent.parent / "statemachine/batch_inference.asl.json"
ARN = "arn:aws:states:us-east-1:123456789012:stateMachine:benchmark"
JOB_ID = "benchmark"
ITEMS_AN_ENTRY = 256
LINE_BYTES = 40
SEED = 0


class MapRunMeasure(msgspec.Struct, frozen=True, kw_only=True):
    """One Map Run of the shipped definition over stub services, in a process of its own.

    `processor_s` leaves out the imports; `peak_memory_mb` is that of the whole process.
    """

    children: int
    max_concurrency: int
    duration_s: float
    processor_s: float
    peak_memory_mb: float
    most_in_flight: int
    mean_in_flight: float
    pinned: bool

    @property
    def children_per_s(self) -> float:
        """Children started and ended, a second of real time."""
        return self.children / self.duration_s

    @property
    def processor_ms_per_child(self) -> float:
        """Milliseconds of processor time that a child costs."""
        return self.processor_s * 1000 / self.children


class StubServices:
    """A job of `children` entries whose functions answer as the real ones do, and do nothing."""

    def __init__(self, children: int, max_concurrency: int, batch_s: float) -> None:
        self._children = children
        self._max_concurrency = max_concurrency
        self._batch_s = batch_s
        self._random = random.Random(SEED)
        self.in_flight = 0
        self.most_in_flight = 0
        self.in_flight_s = 0.0  # child-seconds, on the running loop's clock

    async def call(self, resource: str, arguments: JSON) -> JSON:
        """The function's answer as lambda:invoke gives it; `{}` from any other service."""
        name = arguments.get("FunctionName")
        if name == "PredictBatch":
            return _invoked(await self._predict_batch(arguments["Payload"]["entry"]))
        if name == "PlanJob":
            return _invoked(self._round(entries=self._children))
        if name == "AggregateResults":
            summary = {"status": "SUCCEEDED", "items": {"dead_lettered": 0}}
            return _invoked(self._round(entries=0, summary=summary))
        if name is None:
            return {}
        raise StatesError("Lambda.ResourceNotFoundException", f"{name} has no part in a job that goes well")

    async def get_object(self, bucket: str, key: str) -> bytes:
        """The work of the only round: entries one after the other, as a plan cuts them."""
        size_bytes = ITEMS_AN_ENTRY * LINE_BYTES
        return msgspec.json.Encoder().encode_lines(
            [
                Entry(
                    entry=f"{i:06d}",
                    start=i * size_bytes,
                    end=(i + 1) * size_bytes,
                    first=i * ITEMS_AN_ENTRY,
                    first_line=i * ITEMS_AN_ENTRY + 1,
                    count=ITEMS_AN_ENTRY,
                )
                for i in range(self._children)
            ]
        )

    async def put_object(self, bucket: str, key: str, body: bytes) -> None:
        """Takes a file of the result writer and forgets it."""

    async def _predict_batch(self, entry: dict[str, Any]) -> JSON:
        now_s = asyncio.get_running_loop().time
        started_s = now_s()
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        await asyncio.sleep(self._batch_s * self._random.uniform(0.9, 1.1))
        self.in_flight -= 1
        self.in_flight_s += now_s() - started_s
        return {"entry": entry["entry"], "predicted": entry["count"], "dead_lettered": 0, "rest": 0}

    def _round(self, *, entries: int, summary: dict[str, Any] | None = None) -> JSON:
        return msgspec.to_builtins(
            Round(
                job_id=JOB_ID,
                duplicate=False,
                round=0,
                entries=entries,
                work_key=f"jobs/{JOB_ID}/work/0.jsonl",
                runtime="tensorflow",
                max_concurrency=self._max_concurrency,
                wait_s=0,
                decided=0,
                stalled=0,
                started_at="2026-01-01T00:00:00.000Z",
                execution=ARN,
                summary=summary,
            )
        )


def _invoked(answer: JSON) -> JSON:
    return {"ExecutedVersion": "$LATEST", "Payload": answer, "StatusCode": 200}


def shipped_machine(services: StubServices) -> StateMachine:
    """The shipped definition; what the template substitutes by an ARN or a name is here called as it is there."""
    text = DEFINITION.read_text()
    names = set(re.findall(r"\$\{(\w+)\}", text))
    substitutions = {name: state_name(name.removesuffix("Arn")) for name in names}
    return StateMachine(
        parse_definition(text, substitutions),
        arn=ARN,
        services=services,
        clock=Clock(),
        random=random.Random(SEED),
    )


Runner = Callable[[Coroutine[Any, Any, Execution]], Execution]
RUNNERS: dict[str, Runner] = {"virtual": run_virtual, "real": asyncio.run}


def measure(clock: str, children: int, max_concurrency: int, batch_s: float) -> MapRunMeasure:
    """Run the job and measure it. Raises `BenchmarkError` unless every child succeeded."""
    pinned = pin_to_one_core()
    services = StubServices(children, max_concurrency, batch_s)

    async def job() -> Execution:
        return (
            await shipped_machine(services).start_execution({"manifest": "s3://input/jobs/job.json"}).wait()
        )

    started_s, processor_s = time.perf_counter(), time.process_time()
    execution = RUNNERS[clock](job())
    duration_s, processor_s = time.perf_counter() - started_s, time.process_time() - processor_s
    succeeded = sum(map_run.execution_counts["succeeded"] for map_run in execution.map_runs)
    if execution.status != "SUCCEEDED" or succeeded != children:
        raise BenchmarkError(
            f"{execution.status} with {succeeded} of {children} children: {execution.error}: {execution.cause}"
        )
    map_run_s = sum((run.stop_date or run.start_date) - run.start_date for run in execution.map_runs)
    return MapRunMeasure(
        children=children,
        max_concurrency=max_concurrency,
        duration_s=round(duration_s, 3),
        processor_s=round(processor_s, 3),
        peak_memory_mb=round(peak_memory_mb(), 1),
        most_in_flight=services.most_in_flight,
        mean_in_flight=round(services.in_flight_s / map_run_s, 1),
        pinned=pinned,
    )


if __name__ == "__main__":
    words = sys.argv[1:]
    sys.stdout.buffer.write(
        msgspec.json.encode(measure(words[0], int(words[1]), int(words[2]), float(words[3])))
    )
