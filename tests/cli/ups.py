"""A `fanwise up` at work, for tests: real processes behind one endpoint, with a model published."""

import base64
import io
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from PIL import Image

from aws_cli import AWS, aws_environment
from commands import TIMEOUT_S, command, wait_until

MODEL_JSON = {
    "name": "digits",
    "inputs": {"pixels": {"kind": "image", "height": 8, "width": 8, "channels": 1, "scale": [0, 1]}},
}
ITEMS = 12


@dataclass
class Up:
    """A `fanwise up` at work, and what it said on stdout."""

    process: "subprocess.Popen[str]"
    told: dict[str, Any]
    stderr: Path
    folder: Path

    @property
    def environment(self) -> Mapping[str, str]:
        told: dict[str, str] = self.told["environment"]
        return told

    @property
    def outputs(self) -> Mapping[str, str]:
        told: dict[str, str] = self.told["outputs"]
        return told

    def aws(self, *words: str | Path) -> str:
        """Run the AWS CLI as a person would, with what `up` printed; its stdout."""
        done = subprocess.run(
            [AWS, *map(str, words)],
            env=aws_environment(self.environment, self.folder),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            region_name=self.environment["AWS_DEFAULT_REGION"],
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
            config=Config(proxies={}),
        )

    def ended(self) -> list[dict[str, Any]]:
        """Executions that have ended, the latest first, with their output."""
        states = self.client("stepfunctions")
        listed = states.list_executions(stateMachineArn=self.outputs["StateMachineArn"])["executions"]
        return [
            states.describe_execution(executionArn=one["executionArn"])
            for one in listed
            if one["status"] != "RUNNING"
        ]

    def next_job(self, start: Callable[[], object]) -> dict[str, Any]:
        """What comes of the job that `start` starts: its summary."""
        before = len(self.ended())
        start()
        wait_until(lambda: len(self.ended()) > before, self.process)
        latest, *_ = self.ended()
        assert latest["status"] == "SUCCEEDED", latest
        summary: dict[str, Any] = json.loads(latest["output"])
        return summary | {"executionArn": latest["executionArn"]}


@contextmanager
def started_up(folder: Path, *words: str | Path) -> Iterator[Up]:
    """Start it, and wait until it says that it is up."""
    folder.mkdir(exist_ok=True)
    with (folder / "stderr").open("w") as stderr:
        process = subprocess.Popen(
            command("up", "--json", "--logs", folder / "logs", *words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,
        )
    assert process.stdout is not None
    try:
        lines: list[str] = []
        while not lines or lines[-1] != "}\n":
            line = process.stdout.readline()
            assert line, (folder / "stderr").read_text()
            lines.append(line)
        yield Up(process, json.loads("".join(lines)), folder / "stderr", folder)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(TIMEOUT_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
        process.stdout.close()


@pytest.fixture(scope="module")
def up(made_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One for the module, with a model of images of 8 by 8 published."""
    folder = tmp_path_factory.mktemp("up")
    model = folder / "digits"
    model.mkdir()
    shutil.copy(made_models / "digits.keras", model / "model.keras")
    (model / "model.json").write_text(json.dumps(MODEL_JSON))
    with started_up(folder, "--model", model, "--environments", "1") as up:
        yield up


def png(shade: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (8, 8), shade).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def items(tmp_path: Path) -> Path:
    """An items file, with one that is no image."""
    pictures = [base64.b64encode(png(number)).decode() for number in range(ITEMS - 1)] + ["bm8gaW1hZ2U="]
    lines = [
        json.dumps({"id": n, "inputs": {"pixels": f"data:image/png;base64,{picture}"}})
        for n, picture in enumerate(pictures)
    ]
    path = tmp_path / "items.jsonl"
    path.write_text("\n".join(lines))
    return path
