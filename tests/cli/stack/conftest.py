"""A stack as boto3 sees it: S3 and CloudFormation by moto, Step Functions by our door, functions right here."""

import asyncio
import functools
import itertools
import json
import logging
import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import session
from moto.server import ThreadedMotoServer

from cloud_in_process import CloudInProcess, Machine, write_bundle
from commands import Ended
from fake_model import KeptModel, MendedModel
from fanwise.storage import Storage
from fanwise_cli.main import main
from fanwise_cli.stack import watch as watching
from fanwise_cli.stack.connection import StackOptions, connect
from fanwise_local.doors.step_functions import StepFunctionsDoor
from fanwise_local.states.observer import Observer
from fanwise_local.states.payloads import JSON
from fanwise_local.template import Stack, read_stack, stack_root

REGION = "us-east-1"
_NUMBERS = itertools.count(1)  # of stacks: moto keeps what it has as long as the process runs
Fanwise = Callable[..., Ended]


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    """The address of a moto server, for all tests: each has a stack of its own."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session", autouse=True)
def service_models() -> Iterator[None]:
    """Read botocore's models once: a session, of which every command makes one, takes 0.3 s for it."""
    with pytest.MonkeyPatch.context() as models:
        models.setattr(session, "create_loader", functools.cache(session.create_loader))
        yield


@pytest.fixture
def aws(moto: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The environment of a person who works with AWS, which is moto's address here."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setattr(watching, "EVERY_S", 0.02)
    return moto


@dataclass
class Buckets:
    """In place of the laptop's folders: buckets behind an endpoint."""

    stack: Stack
    kept: Storage

    def storage(self) -> Storage:
        """What the functions read and write."""
        return self.kept

    def readable(self) -> tuple[str, ...]:
        """What items may point at."""
        return (f"s3://{self.stack.buckets['InputBucket']}/",)


@dataclass
class Deployed:
    """A stack that is there. `machine` says what its functions do.

    `predictions_allowed` is how many invocations of PredictBatch may begin; the others wait for it to grow.
    """

    stack: Stack
    s3: Any
    machine: Machine = field(default_factory=Machine)
    cloud: CloudInProcess | None = None
    predictions_allowed: float = math.inf

    def mend(self, *orders: str) -> None:
        """Have the functions predict, from now on, what by these orders could not be."""
        assert self.cloud is not None
        kept = self.cloud._environment.kept
        assert isinstance(kept, KeptModel)
        kept.fake = MendedModel(*orders)

    @property
    def name(self) -> str:
        """What the stack is called."""
        return self.stack.name

    @property
    def input(self) -> str:
        """The input bucket."""
        return self.stack.buckets["InputBucket"]

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        """The keys of one of its buckets."""
        listed = self.s3.list_objects_v2(Bucket=self.stack.buckets[bucket], Prefix=prefix)
        return [one["Key"] for one in listed.get("Contents", ())]

    def put(self, key: str, body: bytes | str) -> str:
        """Put an object into the input bucket; its URI."""
        self.s3.put_object(Bucket=self.input, Key=key, Body=body)
        return f"s3://{self.input}/{key}"


class HeldCloud(CloudInProcess):
    """A cloud whose predictions a test holds back."""

    deployed: Deployed

    async def call(self, resource: str, arguments: JSON) -> JSON:
        """A Task's resource."""
        if "PredictBatch" in str(arguments.get("FunctionName")):
            while self.deployed.predictions_allowed <= 0:
                await asyncio.sleep(0.005)
            self.deployed.predictions_allowed -= 1
        return await super().call(resource, arguments)


def template_of(stack: Stack) -> str:
    """What moto is told of a stack: its buckets, and its outputs as they are."""
    lines = ["Resources:"]
    for logical_id, name in stack.buckets.items():
        lines += [
            f"  {logical_id}:",
            "    Type: AWS::S3::Bucket",
            f"    Properties: {{BucketName: {name}, VersioningConfiguration: {{Status: Enabled}}}}",
        ]
    lines += ["Outputs:", *(f"  {key}: {{Value: '{value}'}}" for key, value in stack.outputs.items())]
    return "\n".join(lines)


@pytest.fixture
def deployed(aws: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployed]:
    """A stack of the test's own, its state machine at work in a thread."""
    stack = read_stack(stack_root(), stack_name=f"cli{next(_NUMBERS)}")
    boto3.client("cloudformation").create_stack(StackName=stack.name, TemplateBody=template_of(stack))
    found = Deployed(stack, boto3.client("s3"))
    monkeypatch.setenv("FANWISE_STACK", stack.name)
    storage = connect(StackOptions()).storage
    opened, loops, is_over = threading.Event(), [], []

    async def serve() -> None:
        cloud = HeldCloud(found.machine, stack, Buckets(stack, storage), 4, Observer())  # type: ignore[arg-type]
        cloud.deployed, found.cloud = found, cloud
        door = StepFunctionsDoor(cloud.state_machine)
        async with cloud:
            monkeypatch.setenv("AWS_ENDPOINT_URL_SFN", f"http://{await door.open()}")
            over = asyncio.Event()
            loops.append(asyncio.get_running_loop())
            is_over.append(over)
            opened.set()
            await over.wait()
            await cloud.go_down("the test is over")  # type: ignore[misc]
            await door.close()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    assert opened.wait(30)
    yield found
    loops[0].call_soon_threadsafe(is_over[0].set)
    thread.join(30)
    assert not thread.is_alive()


@pytest.fixture
def fanwise(capsys: pytest.CaptureFixture[str]) -> Fanwise:
    """Runs the command in this process."""

    def run(*words: str | Path) -> Ended:
        capsys.readouterr()
        code = main([str(word) for word in words])
        return Ended(code, *capsys.readouterr())

    return run


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle of the model that the functions have."""
    return write_bundle(tmp_path / "arithmetic")


def wait_for_predictions(fanwise: Fanwise, job: str) -> None:
    """Wait until a job has its plan and its first Map Run; a test that holds predictions back has it there."""
    for _ in range(500):
        if json.loads(fanwise("status", job, "--json").stdout)["entries"] is not None:
            return
    raise AssertionError(f"{job} predicts nothing")
