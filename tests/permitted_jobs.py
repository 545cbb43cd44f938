"""`JobCloud` in which each function, and the state machine, may do what its role in the template allows."""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fake_model import KeptModel, publish
from fanwise.model.bundle import fetch
from fanwise.model.model import Model
from fanwise.prediction.batch import Environment
from fanwise.prediction.pipeline import Pipeline
from fanwise.records import ModelRef
from fanwise.storage import Backend, Storage
from fanwise_local.states.errors import StatesError
from fanwise_local.states.payloads import JSON
from jobs import INPUT, MODELS, RESULTS, STACK, JobCloud
from permissions import GuardedBackend, Permissions
from versions import VersionedBackend

STATE_MACHINE = "BatchInferenceStateMachine"
FURTHER, UNVERSIONED = (
    "further",
    "unversioned",
)  # buckets of somebody else, of which FurtherItems names prefixes
FURTHER_ITEMS = f"arn:aws:s3:::{FURTHER}/some/*,arn:aws:s3:::{UNVERSIONED}/*"
BUCKETS = {INPUT: "InputBucket", MODELS: "ModelBucket", RESULTS: "ResultsBucket"}
BUS_ARN = "arn:aws:events:us-east-1:123456789012:event-bus/default"


class FetchedModel(KeptModel):
    """The fake, after its bundle was fetched as a real one is."""

    def model(self, ref: ModelRef) -> Model:
        with tempfile.TemporaryDirectory() as folder:
            fetch(self.storage, ref, Path(folder))
        return super().model(ref)


def _buckets() -> dict[str, Backend]:
    buckets: dict[str, Backend] = {name: VersionedBackend() for name in (*BUCKETS, FURTHER)}
    buckets[UNVERSIONED] = VersionedBackend(is_versioned=False)
    return buckets


@dataclass
class PermittedJobs(JobCloud):
    """Jobs of a stack with the template's roles; buckets keep versions, as those of the template do."""

    permissions: Permissions = field(kw_only=True)
    buckets: dict[str, Backend] = field(default_factory=_buckets)
    readable: tuple[str, ...] = (f"s3://{INPUT}/", f"s3://{FURTHER}/some/", f"s3://{UNVERSIONED}/")

    def __post_init__(self) -> None:
        super().__post_init__()
        publish(self.storage, MODELS, self.runtime, {"weights": b"1, 2, 3"})
        self.environment.pipeline._pool.shutdown()
        storage = self.storage_of("PredictBatch")
        self.kept = FetchedModel(storage, self.model, self.load_fails)
        self.environment = Environment(storage, self.kept, Pipeline(storage, threads=3), RESULTS)

    def storage_of(self, function: str) -> Storage:
        """The buckets as the function's role lets it see them."""
        runtime = {"tensorflow": "TensorFlow", "litert": "LiteRT"}[self.runtime]
        role = f"{function}{runtime if function == 'PredictBatch' else ''}Function"
        guarded = {
            bucket: GuardedBackend(self.permissions, role, _arn_of(bucket), backend)
            for bucket, backend in self.backends.items()
        }
        return Storage(self.layer.over(guarded), s3=False)

    async def call(self, resource: str, arguments: JSON) -> JSON:
        """A Task's resource, if the state machine may call it."""
        given: Any = arguments
        match resource.rpartition(":")[2]:
            case "invoke":
                self._check("lambda:InvokeFunction", STACK.functions[given["FunctionName"]].arn)
            case "sendMessage":
                assert given["QueueUrl"] == STACK.queues["DeadLetterQueue"]
                self._check("sqs:SendMessage", "arn:aws:sqs:us-east-1:123456789012:fanwise-dead-letters")
            case "putEvents":
                self._check("events:PutEvents", BUS_ARN)
        return await super().call(resource, arguments)

    async def get_object(self, bucket: str, key: str) -> bytes:
        """For the ItemReader."""
        self._check("s3:GetObject", f"{_arn_of(bucket)}/{key}")
        return await super().get_object(bucket, key)

    async def put_object(self, bucket: str, key: str, body: bytes) -> None:
        """For the ResultWriter."""
        self._check("s3:PutObject", f"{_arn_of(bucket)}/{key}")
        await super().put_object(bucket, key, body)

    def _check(self, action: str, resource: str) -> None:
        if not self.permissions.allows(STATE_MACHINE, action, resource):
            service = action.partition(":")[0].capitalize()
            raise StatesError(f"{service}.AccessDeniedException", f"not authorized to perform: {action}")


def _arn_of(bucket: str) -> str:
    return f"arn:aws:s3:::{STACK.buckets[BUCKETS[bucket]] if bucket in BUCKETS else bucket}"
