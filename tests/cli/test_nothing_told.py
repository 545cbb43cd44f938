"""No credential, presigned URL or payload reaches logs, events, messages or the summary.

A dead letter has its item as it came, whatever is in it: to be used again is what it is for.
"""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from commands import TIMEOUT_S, run_process
from fake_model import FakeModel
from fanwise.errors import StoreUnavailable
from fanwise_local.cloud import LocalCloud
from fanwise_local.mounts import Mounts
from fanwise_local.states.executions import Execution
from fanwise_local.template import read_stack, stack_root
from jobs import RESULTS, JobCloud

SIGNATURE, PAYLOAD, PASSWORD = "5f3aSIGNATURE", "U0VDUkVUUEFZTE9BRA", "hunter2"
PRESIGNED = f"https://b.s3.amazonaws.com/k?X-Amz-Credential=AKIAIOSFODNN7EXAMPLE&X-Amz-Signature={SIGNATURE}"
DATA = f"data:image/png;base64,{PAYLOAD}"
SECRETS = (SIGNATURE, PAYLOAD, PASSWORD, "AKIAIOSFODNN7EXAMPLE")


def check_untold(told: str, where: object) -> None:
    for secret in SECRETS:
        assert secret not in told, where


def job_over(cloud: JobCloud, lines: list[Any]) -> tuple[Execution, str]:
    """Run a job and answer with everything that anybody was told of it."""
    uri = cloud.put_items("items.jsonl", "\n".join(json.dumps(line) for line in lines).encode())
    execution = cloud.run(cloud.start({"items": uri, "batch_size": 2}))
    cloud.close()
    told = [cloud.events, cloud.messages, execution.error, execution.cause, execution.output]
    told += [event.details for event in execution.history]
    home = f"s3://{RESULTS}/"
    kept = [
        cloud.storage.read(home + info.key)
        for info in cloud.storage.list(home)
        if "/failures/" not in info.key
    ]
    return execution, json.dumps(told) + b"".join(kept).decode()


class Telling(FakeModel):
    """A model that every item makes fail, with a message that has more in it than it should."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def _obey(self, order: str) -> None:
        if order:
            raise self._error


def test_items_that_carry_secrets() -> None:
    lines: list[dict[str, Any]] = [
        {"uri": PRESIGNED},
        {"uri": f"https://me:{PASSWORD}@host/x"},
        {"uri": DATA},
        {"uri": f"s3://other/k?X-Amz-Signature={SIGNATURE}"},
        {"id": [DATA], "inputs": {}},
        {"inputs": DATA},
        {"inputs": {"x": 1}},
    ]
    cloud = JobCloud()
    execution, told = job_over(cloud, lines)
    assert execution.output["items"] == {
        "total": 7,
        "predicted": 1,
        "dead_lettered": 6,
        "missing": 0,
        "duplicated": 0,
    }
    check_untold(told, "told")
    home = f"s3://{RESULTS}/"
    keys = [info.key for info in cloud.storage.list(home) if "/failures/" in info.key]
    rows = [json.loads(line) for key in keys for line in cloud.storage.read(home + key).splitlines()]
    for row in rows:
        check_untold(row["failure"]["message"], row)
    # A dead letter is the item as it came, to be used again: that is what it is for.
    assert [row.get("uri") for row in rows[:4]] == [line["uri"] for line in lines[:4]]


def test_a_store_that_tells_too_much() -> None:
    model = Telling(
        StoreUnavailable(f"error sending request for url ({PRESIGNED}): authorization: Bearer {PAYLOAD}")
    )
    cloud = JobCloud(model=model)
    execution, told = job_over(cloud, [{"inputs": {"x": 1, "order": "x"}}] * 3)
    assert execution.error == "JobFailed"
    assert "UnreadableObject 3" in told
    check_untold(told, "told")
    home = f"s3://{RESULTS}/"
    keys = [info.key for info in cloud.storage.list(home) if "/failures/" in info.key]
    kept = b"".join(cloud.storage.read(home + key) for key in keys).decode()
    assert kept.count("error sending request for url (https://b.s3.amazonaws.com/k?X-Amz-Credential=…") == 3
    check_untold(kept, "failures")


@pytest.mark.parametrize(
    "manifest", [PRESIGNED, f"https://me:{PASSWORD}@host/job.json", {"items": PRESIGNED, "model": "m@1"}]
)
def test_a_start_that_is_refused(manifest: Any, tmp_path: Path) -> None:
    """By the real handler in a process of its own: what it logs is what CloudWatch would keep."""
    stack = read_stack(stack_root())

    async def main() -> Execution:
        mounts = Mounts.of(stack, work_dir=tmp_path, folders=[], roots=[])
        async with LocalCloud(stack, work_dir=tmp_path, mounts=mounts, environments=1) as cloud:
            return await cloud.start_execution({"manifest": manifest}).wait()

    execution = asyncio.run(asyncio.wait_for(main(), TIMEOUT_S))
    assert execution.error == "ManifestError"
    check_untold(str(execution.cause), "cause")
    (log,) = (tmp_path / "logs").iterdir()
    assert "ManifestError" in log.read_text()
    for path in tmp_path.rglob("*"):
        if path.is_file():
            check_untold(path.read_text(), path)


def test_a_job_on_this_machine(made_models: Path, cache_dir: Path, tmp_path: Path) -> None:
    """Real processes and a real model: every file of OUT but the dead letters themselves."""
    (tmp_path / "data").mkdir()
    good = {"inputs": {"age": 1, "history": [1, 2, 3]}}
    bad = [
        {"uri": PRESIGNED, **good},
        {"inputs": {"age": DATA, "history": [1, 2, 3]}},
        {"inputs": {"age": PRESIGNED}},
    ]
    items = tmp_path / "data/items.jsonl"
    items.write_text("\n".join(map(json.dumps, [good, *bad, good])))
    ended = run_process("run", items, "--model", made_models / "tabular", "--out", tmp_path / "out")
    assert ended.code == 3, ended
    check_untold(ended.stdout + ended.stderr, "terminal")
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file() and "buckets" not in path.parts]
    assert {"summary.json", "events.jsonl", "fanwise-dead-letters.jsonl"} <= {path.name for path in files}
    assert any("logs" in path.parts for path in files)
    for path in files:
        if path.name != "failures.jsonl":
            check_untold(path.read_text(), path)
    rows = [json.loads(line) for line in (tmp_path / "out/failures.jsonl").read_text().splitlines()]
    assert len(rows) == 3
    for row in rows:
        check_untold(row["failure"]["message"], row)
