"""`LocalCloud` without processes: the shipped definition and the four stages, in the process of the test.

PredictBatch is the real one with `FakeModel`, so the command around it can be tested without TensorFlow and in
fractions of a second. Everything lies in the same folders as it would with processes.
"""

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from fake_model import Died, FakeModel, KeptModel
from fanwise.aggregation import aggregate_results
from fanwise.errors import BadUri, FanwiseError, LocationError
from fanwise.failures import handle_failure
from fanwise.model.bundle import BundleFile, Digest, digest_of, sha256_of
from fanwise.model.model import Row
from fanwise.model.signature import Signature, TensorSpec
from fanwise.planning import plan_job
from fanwise.prediction.batch import Environment, Request, predict_batch
from fanwise.prediction.pipeline import Pipeline
from fanwise_local.clock import Clock
from fanwise_local.cloud import LocalCloud, Told
from fanwise_local.event_bus import EventBus
from fanwise_local.faults.plan import FaultPlan, state_name
from fanwise_local.mounts import Mounts
from fanwise_local.states.definition import parse_definition
from fanwise_local.states.errors import StatesError
from fanwise_local.states.executions import Execution, StateMachine
from fanwise_local.states.observer import Observer
from fanwise_local.states.payloads import JSON
from fanwise_local.template import Stack

TIMEOUT_S, MEMORY_MB = 120.0, 1769


class Arithmetic(FakeModel):
    """`FakeModel`, to which a URI that leads nowhere is the item's fault, as it is to a real one."""

    def encode(
        self,
        inputs: Mapping[str, msgspec.Raw],
        uri: str | None,
        read: Callable[[str], bytes],
        resolve_uri: Callable[[str], str],
    ) -> Row:
        try:
            return super().encode(inputs, uri, read, resolve_uri)
        except LocationError as error:
            raise BadUri(str(error)) from error


@dataclass
class Machine:
    """The machine that a test's clouds run on: what its functions do, and what they were asked to do."""

    model: FakeModel = field(default_factory=Arithmetic)
    load_fails: Exception | None = None
    before_call: Callable[[str], bool | None] = lambda function: (
        None
    )  # True: the call hangs until it is stopped
    calls: list[str] = field(default_factory=list)  # function names, in order
    clouds: int = 0
    environments: list[int | None] = field(default_factory=list)  # as each cloud was told
    faults: list[FaultPlan | None] = field(default_factory=list)  # likewise

    def interrupt_at(self, call: int) -> None:
        """Have this process get a Ctrl-C when the n-th call of a function begins, which then never ends."""

        def send(_: str) -> bool:
            if len(self.calls) != call:
                return False
            self.before_call = lambda _: False
            os.kill(os.getpid(), signal.SIGINT)
            return True

        self.before_call = send

    def cloud(
        self,
        stack: Stack,
        *,
        work_dir: Path,
        mounts: Mounts,
        environments: int | None,
        observer: Observer,
        faults: FaultPlan | None = None,
    ) -> "CloudInProcess":
        """In place of `LocalCloud`."""
        self.clouds += 1
        self.environments.append(environments)
        self.faults.append(faults)
        return CloudInProcess(self, stack, mounts, environments or 2, observer)


class CloudInProcess:
    """One cloud, from `async with` to its end."""

    def __init__(
        self, machine: Machine, stack: Stack, mounts: Mounts, environments: int, observer: Observer
    ) -> None:
        self._machine = machine
        self._storage = mounts.storage()
        self._readable = mounts.readable()
        self._models, self._results = stack.buckets["ModelBucket"], stack.buckets["ResultsBucket"]
        self._names = {function.arn: name for name, function in stack.functions.items()}
        self._slots = asyncio.Semaphore(environments)
        self._pipeline = Pipeline(self._storage, threads=2)
        self._environment = Environment(
            self._storage,
            KeptModel(self._storage, machine.model, machine.load_fails),
            self._pipeline,
            self._results,
        )
        self._invocations = 0
        self.event_bus = EventBus(stack.rules.values())
        self.state_machine = StateMachine(
            parse_definition(stack.definition, stack.substitutions),
            arn=stack.state_machine_arn,
            services=self,
            clock=Clock(),
            observer=Told(self.event_bus, stack.state_machine_arn, observer),
        )
        self.event_bus.connect(stack.state_machine_arn, self.state_machine.start_execution)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pipeline._pool.shutdown()

    def start_execution(self, execution_input: JSON) -> Execution:
        """As LocalCloud does."""
        return self.state_machine.start_execution(execution_input)

    settled, go_down, _running = LocalCloud.settled, LocalCloud.go_down, LocalCloud._running
    put_event = LocalCloud.put_event

    async def get_object(self, bucket: str, key: str) -> bytes:
        """For the ItemReader."""
        return self._storage.read(f"s3://{bucket}/{key}")

    async def put_object(self, bucket: str, key: str, body: bytes) -> None:
        """For the ResultWriter."""
        self._storage.write(f"s3://{bucket}/{key}", body)

    async def call(self, resource: str, arguments: JSON) -> JSON:
        """A Task's resource."""
        arguments = json.loads(json.dumps(arguments))
        match resource.rpartition(":")[2]:
            case "sendMessage":
                return {"MessageId": "m"}
            case "putEvents":
                return {"FailedEntryCount": 0}
        name = state_name(self._names[arguments["FunctionName"]])
        async with self._slots:
            self._machine.calls.append(name)
            if self._machine.before_call(name):
                await asyncio.Event().wait()
            return {"StatusCode": 200, "Payload": self._invoke(name, arguments["Payload"])}

    def _invoke(self, name: str, payload: JSON) -> JSON:
        try:
            return json.loads(json.dumps(self._answer(name, payload)))
        except Died as death:
            cause = {"errorType": death.error, "errorMessage": "RequestId: 1-2 Error: Runtime exited"}
            raise StatesError(death.error, json.dumps(cause)) from death
        except FanwiseError as error:
            cause = {"errorType": type(error).__name__, "errorMessage": str(error)}
            raise StatesError(type(error).__name__, json.dumps(cause)) from error

    def _answer(self, name: str, payload: JSON) -> JSON:
        self._invocations += 1
        request_id = f"{self._invocations:08x}-0000-4000-8000-{time.time_ns() % 10**12:012d}"
        match name:
            case "PlanJob":
                return plan_job(
                    payload,
                    self._storage,
                    model_bucket=self._models,
                    results_bucket=self._results,
                    readable=self._readable,
                )
            case "PredictBatch":
                request = Request(
                    request_id=request_id,
                    started=time.monotonic(),
                    time_left_s=lambda: TIMEOUT_S,
                    init_ms=500.0,
                    cold=self._invocations == 1,
                )
                return predict_batch(payload, self._environment, request)
            case "HandleFailure":
                return handle_failure(
                    payload,
                    self._storage,
                    results_bucket=self._results,
                    timeout_s=TIMEOUT_S,
                    request_id=request_id,
                )
            case "AggregateResults":
                return aggregate_results(
                    payload, self._storage, results_bucket=self._results, memory_mb=MEMORY_MB
                )
        raise AssertionError(name)


def write_bundle(folder: Path, weights: str = "as they are") -> Path:
    """A bundle that is made already, of the model that `FakeModel` stands for; other weights, another digest."""
    folder.mkdir(parents=True)
    (folder / "weights.txt").write_text(weights)
    sha256 = sha256_of(folder / "weights.txt")
    digest = Digest(
        digest=digest_of({"weights.txt": sha256}),
        files={"weights.txt": BundleFile(sha256, len(weights))},
        runtimes=("tensorflow",),
        signature=Signature(
            {"order": TensorSpec("string", (None,)), "x": TensorSpec("float32", (None,))},
            {"y": TensorSpec("float32", (None,))},
        ),
        prepared_by="a test",
    )
    (folder / "digest.json").write_bytes(msgspec.json.encode(digest))
    return folder


def item(x: int, order: str = "", **more: Any) -> dict[str, Any]:
    """An item of `FakeModel`."""
    return {"inputs": {"x": x} | ({"order": order} if order else {}), **more}


def write_items(path: Path, items: list[dict[str, Any]]) -> Path:
    """An items file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(one) + "\n" for one in items))
    return path


def read_lines(path: Path) -> list[dict[str, Any]]:
    """What a JSONL file holds."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]
