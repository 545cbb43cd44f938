"""A whole job in one process: the four stages as functions over one store, and the faults they may meet.

`JobCloud` is what the interpreter of the shipped definition calls. Its PredictBatch is the real one with
`FakeModel`. What goes wrong is said by a fault plan, or by a fault for each invocation of PredictBatch, in the
order in which they come.
"""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args

import msgspec
from obstore.store import MemoryStore

from fake_model import REFERENCE, Died, FakeModel, KeptModel, publish
from fanwise.aggregation import aggregate_results
from fanwise.commits import read_commit
from fanwise.errors import FanwiseError, StoreUnavailable
from fanwise.failures import handle_failure
from fanwise.planning import plan_job
from fanwise.prediction.batch import Environment, Request, predict_batch
from fanwise.prediction.kept import Kept
from fanwise.prediction.pipeline import Pipeline
from fanwise.records import Entry, Job, Part, Round, Runtime, home_of, job_prefix
from fanwise.storage import Backend, Body, FolderBackend, ObjectInfo, ObstoreBackend, Storage
from fanwise_local.clock import Clock, run_virtual
from fanwise_local.events import execution_status_event
from fanwise_local.faults.functions import DROPPED, delay_s, refusal_of
from fanwise_local.faults.plan import FaultPlan, Invocations, state_name
from fanwise_local.faults.rules import KINDS, DropResponse, RepeatInvocation
from fanwise_local.faults.rules import Fault as Rule
from fanwise_local.faults.store import FaultLayer, InvocationFaults
from fanwise_local.states.definition import parse_definition
from fanwise_local.states.errors import StatesError
from fanwise_local.states.executions import Execution, StateMachine
from fanwise_local.states.observer import Observer
from fanwise_local.states.payloads import JSON
from fanwise_local.template import read_stack, stack_root

INPUT, MODELS, RESULTS = "input", "models", "results"
MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:fanwise-batch-inference"
QUEUE_URL = "https://sqs.us-east-1.amazonaws.com/123456789012/fanwise-dead-letters"
TIMEOUT_S, MEMORY_MB = 120.0, 1769

FAULT_NAMES = {kind: name for name, kind in KINDS.items()}

# What may happen to an invocation of PredictBatch that has an entry.
Fault = Literal[
    "",
    "throttled",  # never ran
    "store",  # ran, and the store did not answer
    "forbidden",  # never ran, and Step Functions does not try again
    "commit refused",  # the conditional write did nothing and said so
    "commit's answer lost",  # it succeeded and nobody heard
    "twice",  # ran twice, as Express children may
    "killed after commit",
    "killed before commit",  # its parts are written
    "killed",  # at once
    "zombie",  # taken for dead, and commits later
]
FAULTS: tuple[Fault, ...] = get_args(Fault)
# Those that leave an entry as it is, to be tried again, or decided as it would have been.
HARMLESS: tuple[Fault, ...] = FAULTS[:8]


STACK = read_stack(stack_root())


def _definition() -> Any:
    return parse_definition(
        (stack_root() / "statemachine/batch_inference.asl.json").read_text(),
        {
            **{f"{logical_id}Arn": logical_id for logical_id in STACK.functions},
            "ResultsBucket": RESULTS,
            "DeadLetterQueueUrl": QUEUE_URL,
        },
    )


DEFINITION = _definition()


class FaultyBackend(ObstoreBackend):
    """A bucket whose next commit may go wrong; `hides` makes commits that are there look as if they were not."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.fault: Fault = ""
        self.hides = False

    def read(self, key: str, start: int, end: int | None, pin: ObjectInfo | None) -> Body:
        if self.hides and "/commits/" in key:
            raise FileNotFoundError(key)
        return super().read(key, start, end, pin)

    def create(self, key: str, body: bytes) -> bool:
        if "/commits/" not in key:
            return super().create(key, body)
        fault, self.fault, self.hides = self.fault, "", False
        if fault == "killed before commit":
            raise Died("Runtime.OutOfMemory")
        if fault == "commit refused":
            raise StoreUnavailable("409 Conflict")
        created = super().create(key, body)
        if fault == "commit's answer lost":
            raise StoreUnavailable("connection reset")
        if fault == "killed after commit":
            raise Died("Sandbox.Timedout")
        return created


def _die(error: str) -> NoReturn:
    raise Died(error)


@dataclass
class JobCloud:
    """Functions, buckets, queue and event bus. What was called and sent is kept."""

    faults: Sequence[Fault] = ()
    model: FakeModel = field(default_factory=FakeModel)
    load_fails: Exception | None = None
    seed: int = 0
    store: MemoryStore = field(default_factory=MemoryStore)
    folders: Mapping[str, Path] = field(default_factory=dict)  # buckets that are folders; with the models'
    bundles: Path | None = None  # the real model is loaded, and kept here
    fault_plan: FaultPlan | None = None  # of every function; beside `faults`
    input_bucket: Backend = field(default_factory=lambda: ObstoreBackend(MemoryStore()))
    buckets: Mapping[str, Backend] = field(default_factory=dict)  # further ones, or others in place of these
    readable: Sequence[str] = (f"s3://{INPUT}/",)
    runtime: Runtime = "tensorflow"  # of the model

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.results = FaultyBackend(self.store)
        backends: dict[str, Backend] = {
            INPUT: self.input_bucket,
            MODELS: ObstoreBackend(MemoryStore()),
            RESULTS: self.results,
        }
        backends |= {name: FolderBackend(path, writable=False) for name, path in self.folders.items()}
        self.backends = backends | dict(self.buckets)
        self.layer = FaultLayer()
        self.invocations = Invocations()
        self.befallen: Counter[str] = Counter()  # faults by name
        self.storage = Storage(self.layer.over(self.backends), s3=False)
        storage = self.storage_of("PredictBatch")
        self.kept = KeptModel(storage, self.model, self.load_fails)
        kept: Kept = self.kept
        if self.bundles is None:
            publish(self.storage, MODELS, self.runtime)
        else:
            kept = Kept(storage, self.bundles, memory_mb=MEMORY_MB)
        self.environment = Environment(storage, kept, Pipeline(storage, threads=3), RESULTS)
        self.waiting_faults: list[Fault] = list(self.faults)
        self.zombies: list[Callable[[], None]] = []
        self.calls: list[tuple[str, JSON]] = []
        self.decided_before: list[str] = []  # entries that had a commit when PredictBatch was given them
        self.messages: list[str] = []
        self.events: list[JSON] = []
        self.after_each: Callable[[], None] = lambda: None
        self._invocations = 0

    def close(self) -> None:
        """End the threads, and what hangs in them."""
        self.model.release.set()
        self.environment.pipeline._pool.shutdown()

    def storage_of(self, function: str) -> Storage:
        """The buckets as a function, by its state's name, sees them: here all functions see all."""
        return self.storage

    def put_items(self, name: str, data: bytes) -> str:
        """Upload an items file and answer with its URI."""
        uri = f"s3://{INPUT}/{name}"
        self.storage.write(uri, data)
        return uri

    async def call(self, resource: str, arguments: JSON) -> JSON:
        """A Task's resource, with values as JSON carries them."""
        arguments = json.loads(json.dumps(arguments))
        match resource.rpartition(":")[2]:
            case "sendMessage":
                assert arguments["QueueUrl"] == QUEUE_URL
                self.messages.append(arguments["MessageBody"])
                return {"MessageId": "m"}
            case "putEvents":
                self.events += arguments["Entries"]
                return {"FailedEntryCount": 0}
        await asyncio.sleep(self.random.random())
        name, payload = state_name(arguments["FunctionName"]), arguments["Payload"]
        self.calls.append((name, payload))
        at = self.invocations.next(name, payload)
        faults = self.fault_plan.faults_of(*at) if self.fault_plan is not None else ()
        self.befallen.update(FAULT_NAMES[type(fault)] for fault in faults)
        if refusal := refusal_of(faults):
            raise StatesError(*refusal)
        await asyncio.sleep(delay_s(faults))
        try:
            answer = self._answer(name, payload, faults)
        except Died as death:
            cause = {"errorType": death.error, "errorMessage": "RequestId: 1-2 Error: Runtime exited"}
            raise StatesError(death.error, json.dumps(cause)) from death
        except FanwiseError as error:
            cause = {"errorType": type(error).__name__, "errorMessage": str(error), "requestId": "1-2"}
            raise StatesError(type(error).__name__, json.dumps(cause)) from error
        finally:
            self.after_each()
        return {"StatusCode": 200, "Payload": json.loads(json.dumps(answer))}

    def _answer(self, name: str, payload: JSON, faults: Sequence[Rule]) -> JSON:
        """What a function answers, with what befalls this invocation of it."""

        def run() -> JSON:
            at_work = InvocationFaults(faults, die=_die, commit_late=self._commit_late, sleep=lambda _: None)
            with self.layer.invocation(at_work):
                return self._functions()[name](payload)

        if any(isinstance(fault, RepeatInvocation) for fault in faults):
            with suppress(Died, FanwiseError):
                run()
        if any(isinstance(fault, DropResponse) for fault in faults):
            with suppress(Died, FanwiseError):
                run()
            raise StatesError(*DROPPED)
        return run()

    def _commit_late(self, seconds: float, write: Callable[[], bool]) -> NoReturn:
        """The caller hears that it timed out; the commit comes later, or never, where the job ends before it."""

        def wake() -> None:
            if wake in self.zombies:
                self.zombies.remove(wake)
            with suppress(FanwiseError):
                write()

        self.zombies.append(wake)
        asyncio.get_running_loop().call_later(seconds, wake)
        raise Died("Sandbox.Timedout")

    def _functions(self) -> dict[str, Callable[[JSON], JSON]]:
        return {
            "PlanJob": self.plan,
            "PredictBatch": self._predict_with_fault,
            "HandleFailure": self.handle_failure,
            "AggregateResults": self.aggregate,
        }

    async def get_object(self, bucket: str, key: str) -> bytes:
        """For the ItemReader."""
        return self.storage.read(f"s3://{bucket}/{key}")

    async def put_object(self, bucket: str, key: str, body: bytes) -> None:
        """For the ResultWriter."""
        self.storage.write(f"s3://{bucket}/{key}", body)

    def plan(self, payload: JSON) -> JSON:
        """PlanJob."""
        return plan_job(
            payload,
            self.storage_of("PlanJob"),
            model_bucket=MODELS,
            results_bucket=RESULTS,
            readable=tuple(self.readable),
        )

    def handle_failure(self, payload: JSON) -> JSON:
        """HandleFailure."""
        return handle_failure(
            payload,
            self.storage_of("HandleFailure"),
            results_bucket=RESULTS,
            timeout_s=TIMEOUT_S,
            request_id=self._request_id(),
        )

    def aggregate(self, payload: JSON) -> JSON:
        """AggregateResults."""
        storage = self.storage_of("AggregateResults")
        return aggregate_results(payload, storage, results_bucket=RESULTS, memory_mb=MEMORY_MB)

    def predict(self, payload: JSON, **changes: Any) -> JSON:
        """PredictBatch, with all the time in the world unless `time_left_s` says otherwise."""
        request: dict[str, Any] = {
            "request_id": self._request_id(),
            "started": time.monotonic(),
            "time_left_s": lambda: 1000.0,
            "init_ms": 500.0,
            "cold": self._invocations == 1,
        }
        return predict_batch(payload, self.environment, Request(**request | changes))

    def _request_id(self) -> str:
        self._invocations += 1
        return f"{self._invocations:08x}-0000-4000-8000-000000000000"

    def _predict_with_fault(self, payload: JSON) -> JSON:
        if "entry" not in payload:
            return self.predict(payload)
        entry, home = payload["entry"]["entry"], f"s3://{RESULTS}/{job_prefix(payload['job_id'])}"
        if read_commit(self.storage, home, entry) is not None:
            self.decided_before.append(entry)
        if not self.waiting_faults:
            return self.predict(payload)
        fault = self.waiting_faults.pop(0)
        match fault:
            case "throttled":
                raise StatesError("Lambda.TooManyRequestsException", "Rate exceeded")
            case "store":
                raise StoreUnavailable("503 Slow Down")
            case "forbidden":
                raise StatesError("Lambda.AccessDeniedException", "not authorized to perform: InvokeFunction")
            case "killed":
                raise Died("Runtime.ExitError")
            case "twice":
                self.predict(payload)
            case "zombie":
                self.zombies.append(lambda: self._wake(payload))
                delay_s = self.random.choice([0, 0.5, 2, 100])
                asyncio.get_running_loop().call_later(delay_s, self.wake_one)
                raise Died("Sandbox.Timedout")
        self.results.fault = fault
        try:
            return self.predict(payload)
        finally:
            self.results.fault = ""

    def wake_one(self) -> None:
        """Let the zombie that waits longest write what it has."""
        if self.zombies:
            self.zombies.pop(0)()

    def _wake(self, payload: JSON) -> None:
        self.results.hides = True  # it looked for a commit before there was one
        try:
            with suppress(Died, FanwiseError):  # nobody is there to hear of it
                self.predict(payload)
        finally:
            self.results.hides = False

    def start(self, manifest: dict[str, Any], **more: Any) -> dict[str, Any]:
        """An execution's input."""
        return {"manifest": {"model": REFERENCE} | manifest, **more}

    def run(
        self,
        start: JSON,
        name: str = "first",
        *,
        stop: "Stop | None" = None,
        timeout_s: float = DEFINITION.timeout_s,
    ) -> Execution:
        """Run the shipped definition to its end, or until it is stopped, or runs out of `timeout_s`."""

        async def main() -> Execution:
            machine = StateMachine(
                replace(DEFINITION, timeout_s=timeout_s),
                arn=MACHINE,
                services=self,
                clock=Clock(),
                observer=stop,
                random=random.Random(self.seed),
            )
            execution = machine.start_execution(start, name)
            if stop is not None:
                self.after_each = lambda: stop.count(execution)
            await execution.wait()
            self.after_each = lambda: None
            return execution

        return run_virtual(main())

    def hear_of(self, execution: Execution) -> Execution:
        """Run what the template's rule starts when it hears of an execution's end."""
        event = execution_status_event(execution, MACHINE)
        assert STACK.rules["ExecutionEndedRule"].matches(event)
        return self.run(event, f"after-{execution.name}")


class Stop(Observer):
    """Stops the execution at the n-th thing that happens: a state entered, or an invocation ended."""

    def __init__(self, after: int) -> None:
        self.after = after

    def state_entered(self, execution: Execution, state_name: str, state_input: JSON) -> None:
        self.count(execution)

    def count(self, execution: Execution) -> None:
        """One more thing has happened."""
        self.after -= 1
        if self.after == 0:
            execution.stop(cause="somebody stopped it")


class JobResults:
    """What a job left behind, read through `parts.jsonl`, each line by its index."""

    def __init__(self, storage: Storage, home: str) -> None:
        self.storage = storage
        self.home = home
        self.job = msgspec.json.decode(self.storage.read(self.home + "job.json"), type=Job)
        self.summary = json.loads(self.storage.read(self.home + "summary.json"))
        lines = self.storage.read(self.home + "parts.jsonl").splitlines()
        self.parts = [msgspec.json.decode(line, type=Part) for line in lines]
        self.predictions = dict(self._lines("predictions/"))
        self.failures = dict(self._lines("failures/"))

    @classmethod
    def of(cls, cloud: JobCloud, job_id: str) -> "JobResults":
        """Those of a job of `cloud`."""
        return cls(cloud.storage, home_of(RESULTS, job_id))

    def _lines(self, folder: str) -> Iterator[tuple[int, dict[str, Any]]]:
        """Each line of a kind; asserts that the parts say what is in them, and that no index comes twice."""
        last = -1
        for part in self.parts:
            if not part.key.startswith(folder):
                continue
            body = self.storage.read(self.home + part.key)
            rows = [json.loads(line) for line in body.splitlines()]
            assert (len(body), len(rows)) == (part.size_bytes, part.count)
            assert rows[0]["index"] == part.first
            for row in rows:
                assert row["index"] > last
                last = row["index"]
                yield row["index"], row

    def text(self, folder: str) -> bytes:
        """The lines of all parts of a kind, in index order."""
        return b"".join(
            self.storage.read(self.home + part.key) for part in self.parts if part.key.startswith(folder)
        )

    def exists(self, key: str) -> bool:
        """Whether the job's home has that object."""
        try:
            self.storage.head(self.home + key)
        except FileNotFoundError:
            return False
        return True


def planned(cloud: JobCloud, items_uri: str, **manifest: Any) -> tuple[Round, list[Entry]]:
    """Plan a job by hand, and answer with its first round and entries."""
    start = cloud.start({"items": items_uri, **manifest})
    payload = {"execution": "arn:x", "started_at": "2026-01-01T00:00:00.000Z", "start": start}
    round_ = msgspec.convert(cloud.plan(payload), Round)
    work = cloud.storage.read(f"s3://{RESULTS}/{round_.work_key}")
    return round_, [msgspec.json.decode(line, type=Entry) for line in work.splitlines()]
