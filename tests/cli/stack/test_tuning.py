"""`fanwise tune --stack`: versions of PredictBatch come and go; invocations take what a formula says."""

import asyncio
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from aiohttp import web

from cli.stack.conftest import Deployed, Fanwise
from cloud_in_process import item, write_items
from fanwise_cli.stack.tune_bench import report_in
from fanwise_local.doors.lambda_functions import LambdaDoor
from fanwise_local.doors.lambda_versions import Refused, Versions
from fanwise_local.doors.wsgi import received
from fanwise_local.environment import FunctionFault, InvokeResult
from fanwise_local.functions import FunctionService
from fanwise_local.states.payloads import JSON, encode
from fanwise_local.template import Function

ITEMS = 60
INIT_MS, OWN_MS, ITEM_MS = 900.0, 50.0, 10.0  # an item at one vCPU


@dataclass
class Lambdas:
    """In place of processes: PredictBatch in this one, with durations by the memory size it is invoked at."""

    deployed: Deployed
    service: FunctionService
    sizes: list[tuple[str, int]] = field(default_factory=list)  # version and memory size of each invocation
    dies_below_mb: int = 0
    before: Callable[[int], None] = lambda number: None

    async def invoke(self, function: str, payload: JSON) -> InvokeResult:
        found: Function = self.service.find(function)
        cold = (found.version, found.memory_mb) not in self.sizes
        self.sizes.append((found.version, found.memory_mb))
        self.before(len(self.sizes))
        request_id = f"00000000-0000-4000-8000-{len(self.sizes):012d}"
        if found.memory_mb < self.dies_below_mb:
            fault = FunctionFault("Runtime.OutOfMemory", {"errorType": "Runtime.OutOfMemory"})
            return InvokeResult(request_id, b"null", fault, 1000.0, INIT_MS, cold)
        assert self.deployed.cloud is not None
        answer = await asyncio.to_thread(self.deployed.cloud._invoke, "PredictBatch", payload)
        duration_ms = OWN_MS + payload["entry"]["count"] * ITEM_MS * 1769 / found.memory_mb
        return InvokeResult(request_id, encode(answer), None, duration_ms, INIT_MS, cold)


@pytest.fixture
def lambdas(deployed: Deployed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lambdas]:
    """The stack's Lambda API, behind an endpoint of its own."""
    ready, made = threading.Event(), []

    async def serve() -> None:
        service = FunctionService(
            deployed.stack.functions, environments=1, extra_environment={}, work_dir=tmp_path / "functions"
        )
        await service.start()
        lambdas = Lambdas(deployed, service)
        door, over = LambdaDoor(service, lambdas, opened_at="2026-01-01T00:00:00.000Z"), asyncio.Event()

        async def handle(request: web.BaseRequest) -> web.Response:
            async with received(request) as body:
                return await door.handle(request, body)

        requests = web.Server(handle)
        server = await asyncio.get_running_loop().create_server(requests, "127.0.0.1", 0)
        monkeypatch.setenv(
            "AWS_ENDPOINT_URL_LAMBDA", "http://{}:{}".format(*server.sockets[0].getsockname()[:2])
        )
        made.append((lambdas, asyncio.get_running_loop(), over))
        ready.set()
        await over.wait()
        server.close()
        await requests.shutdown(0.1)
        await door.close()
        await service.close()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    assert ready.wait(30)
    lambdas, loop, over = made[0]
    yield lambdas
    loop.call_soon_threadsafe(over.set)
    thread.join(30)
    assert not thread.is_alive()


@pytest.fixture
def words(fanwise: Fanwise, lambdas: Lambdas, bundle: Path, tmp_path: Path) -> tuple[str | Path, ...]:
    """The command, of items of this machine and a model that is published."""
    items = write_items(tmp_path / "data/items.jsonl", [item(x) for x in range(ITEMS)])
    model = fanwise("push", bundle, "--version", "1").stdout.strip()
    return ("tune", items, "--model", model, "--stack", lambdas.deployed.name)


def as_before(lambdas: Lambdas) -> bool:
    """Whether PredictBatch has its memory size and no versions, and the results bucket nothing."""
    client = boto3.client("lambda")
    for function in lambdas.deployed.stack.functions.values():
        listed = client.list_versions_by_function(FunctionName=function.name)["Versions"]
        if [(one["Version"], one["MemorySize"]) for one in listed] != [("$LATEST", function.memory_mb)]:
            return False
    return lambdas.deployed.keys("ResultsBucket") == []


def test_each_memory_size_is_a_version_that_is_invoked_and_deleted(
    fanwise: Fanwise, lambdas: Lambdas, words: tuple[str | Path, ...]
) -> None:
    ended = fanwise(*words, "--memory", "1769,3538", "--batch-size", "10", "--batch-size", "30", "--json")
    assert ended.code == 0, ended
    found = json.loads(ended.stdout)
    figures = [
        (one["memory_mb"], one["batch_size"], one["item_ms"], one["is_deployed"])
        for one in found["combinations"]
    ]
    assert figures == [
        (1769, 10, 15.0, True),
        (1769, 30, pytest.approx(11.6667), True),
        (3538, 10, 10.0, False),
        (3538, 30, pytest.approx(6.6667), False),
    ]
    assert {one["cold_start_ms"] >= INIT_MS for one in found["combinations"]} == {True}
    assert (found["stands_in"], found["items"], found["repeats"]) == (False, ITEMS, 3)
    assert found["measured_on"].startswith("Lambda in us-east-1")
    assert lambdas.sizes == [("1", 1769)] * 7 + [("2", 3538)] * 7
    assert as_before(lambdas)


def test_what_dies_is_told_in_its_line(
    fanwise: Fanwise, lambdas: Lambdas, words: tuple[str | Path, ...]
) -> None:
    lambdas.dies_below_mb = 1769
    ended = fanwise(*words, "--memory", "1024,1769", "--batch-size", "30")
    assert ended.code == 0, ended
    told = " ".join(ended.stdout.split())
    assert "tensorflow 1,024 0.58 30 failed" in told
    assert "tensorflow at 1,024 MB, 30 items a batch: out of memory; larger batches were not tried" in told
    assert "--runtime tensorflow --batch-size 30" in told
    assert as_before(lambdas)
    lambdas.dies_below_mb = 10_000
    ended = fanwise(*words, "--memory", "1024,1769")
    assert (ended.code, ended.stdout) == (1, "")
    assert "nothing that was tried works" in ended.stderr.splitlines()[-1]
    assert as_before(lambdas)


def test_memory_is_not_changed_under_a_job_that_is_at_work(
    fanwise: Fanwise, lambdas: Lambdas, words: tuple[str | Path, ...]
) -> None:
    lambdas.deployed.predictions_allowed = 0
    submitted = json.loads(fanwise("submit", *words[1:4], "--json").stdout)
    ended = fanwise(*words, "--memory", "1769,3538")
    assert (ended.code, ended.stdout) == (2, "")
    assert "has jobs at work" in ended.stderr.splitlines()[-1]
    assert "--memory with the deployed size alone" in ended.stderr.splitlines()[-1]
    assert lambdas.sizes == []
    assert fanwise(*words, "--memory", "1769", "--batch-size", "10", "--repeats", "1").code == 0
    lambdas.deployed.predictions_allowed = 1000
    assert fanwise("watch", submitted["job_id"]).code == 0


def test_interrupted_it_takes_back_what_it_changed(
    fanwise: Fanwise, lambdas: Lambdas, words: tuple[str | Path, ...]
) -> None:
    def interrupt(at: int) -> None:
        if at == 3:
            os.kill(os.getpid(), signal.SIGINT)

    lambdas.before = interrupt
    ended = fanwise(*words, "--memory", "1769,3538")
    assert (ended.code, ended.stdout) == (130, "")
    assert ended.stderr.splitlines()[-1] == (
        "fanwise: interrupted; what was changed for it is as it was; the same command begins anew"
    )
    assert as_before(lambdas)


def test_what_cannot_be_taken_back_is_told_with_the_command_that_does(
    fanwise: Fanwise,
    lambdas: Lambdas,
    words: tuple[str | Path, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: Any) -> None:
        raise Refused("AccessDeniedException", 403, "not authorized to perform: lambda:DeleteFunction")

    monkeypatch.setattr(Versions, "delete", refuse)
    ended = fanwise(*words, "--memory", "3538", "--batch-size", "10", "--json")
    assert (ended.code, json.loads(ended.stdout)["best"]["memory_mb"]) == (0, 3538)
    name = f"{lambdas.deployed.name}-PredictBatchTensorFlowFunction"
    command = f"give: aws lambda delete-function --qualifier 1 --region us-east-1 --function-name {name}"
    assert f"{name}: version 1 is still there" in ended.stderr
    assert command in ended.stderr
    assert boto3.client("lambda").get_function_configuration(FunctionName=name)["MemorySize"] == 1769


def test_a_runtime_that_the_stack_has_not_is_said(
    fanwise: Fanwise, lambdas: Lambdas, words: tuple[str | Path, ...]
) -> None:
    ended = fanwise(*words, "--runtime", "litert")
    assert (ended.code, lambdas.sizes) == (2, [])
    assert "is not made for runtime 'litert'; it is for tensorflow" in ended.stderr


TEXT = (
    "START RequestId: a Version: 1\nEND RequestId: a\nREPORT RequestId: a\tDuration: 12.34 ms\t"
    "Billed Duration: 913 ms\tMemory Size: 1769 MB\tMax Memory Used: 88 MB\tInit Duration: 900.12 ms\t\n"
)
METRICS = {"durationMs": 5, "billedDurationMs": 5, "memorySizeMB": 1769, "maxMemoryUsedMB": 70}
REPORT = json.dumps({"time": "…", "type": "platform.report", "record": {"metrics": METRICS}})


@pytest.mark.parametrize(
    ("log", "figures"),
    [
        (TEXT, {"durationMs": 12.34, "initDurationMs": 900.12, "maxMemoryUsedMB": 88.0}),
        (
            f'cut in its middle"}}\n{{"level": "INFO"}}\n{REPORT}\n',
            {"durationMs": 5.0, "maxMemoryUsedMB": 70.0},
        ),
        ('{"level": "INFO"}\n[1]\n', {}),
        ("", {}),
    ],
)
def test_a_report_is_read_in_both_log_formats(log: str, figures: dict[str, float]) -> None:
    assert report_in(log) == figures
