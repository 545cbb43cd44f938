"""A job starts once: out of what is on this machine, or in the bucket; and what is wrong is said before that."""

import json
from pathlib import Path
from typing import Any

import boto3
import pytest

from cli.stack.conftest import Deployed, Fanwise
from cli.stack.test_connection import refused
from cloud_in_process import item, write_items
from fanwise.model.bundle import sha256_of
from fanwise.storage import Storage
from fanwise_cli.stack import items as uploading
from fanwise_cli.stack import jobs, transfers


def submitted(fanwise: Fanwise, *words: str | Path) -> dict[str, Any]:
    """What a submit says that is to succeed."""
    ended = fanwise("submit", *words, "--json")
    assert ended.code == 0, ended
    told: dict[str, Any] = json.loads(ended.stdout)
    return told


@pytest.fixture
def model(fanwise: Fanwise, deployed: Deployed, bundle: Path) -> str:
    """A model that is published."""
    return fanwise("push", bundle, "--version", "1").stdout.strip()


@pytest.fixture
def items(tmp_path: Path) -> Path:
    return write_items(tmp_path / "my data/items.jsonl", [item(x) for x in range(10)])


def test_items_and_model_of_this_machine(
    fanwise: Fanwise, deployed: Deployed, items: Path, bundle: Path
) -> None:
    told = submitted(fanwise, items, "--model", bundle)
    assert told["is_new"]
    assert told["job_id"].startswith("items-")
    assert told["execution"].endswith(f":{told['job_id']}")
    (key,) = deployed.keys("InputBucket")
    assert key.startswith("submitted/items-")
    assert told["items_uri"] == f"s3://{deployed.input}/{key}"
    assert fanwise("watch", told["job_id"]).code == 0


def test_the_same_again_is_the_same_job_and_uploads_nothing(
    fanwise: Fanwise, deployed: Deployed, items: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = submitted(fanwise, items, "--model", model)
    fanwise("watch", first["job_id"])
    sent: list[Any] = []
    monkeypatch.setattr(uploading, "upload", lambda *words, **_: sent.extend(words[2]))
    ended = fanwise("submit", items, "--model", model)
    assert ended.code == 0
    assert "This job is there already; nothing was started (--again runs it anew)" in ended.stdout
    assert first["job_id"] in ended.stdout
    assert sent == []
    again = submitted(fanwise, items, "--model", model, "--again")
    assert again["is_new"]
    assert again["job_id"] != first["job_id"]
    assert sent == []


def test_an_execution_is_started_once_though_it_is_asked_twice_at_once(
    fanwise: Fanwise, deployed: Deployed, items: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed.predictions_allowed = 0
    monkeypatch.setattr("fanwise_cli.stack.submit.read_claim", lambda *_: None)  # neither knows of the other
    first, second = (submitted(fanwise, items, "--model", model) for _ in range(2))
    assert first["execution"] == second["execution"]


def test_a_name_that_a_failed_execution_had_is_no_hindrance(
    fanwise: Fanwise, deployed: Deployed, items: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = submitted(fanwise, items, "--model", model)
    assert fanwise("watch", first["job_id"]).code == 0
    monkeypatch.setattr("fanwise_cli.stack.submit.read_claim", lambda *_: None)
    second = submitted(fanwise, items, "--model", model)
    assert second["execution"].startswith(first["execution"] + "-")
    name = second["execution"].rpartition(":")[2]
    assert len(name) <= 80


def test_relative_uris_keep_working(fanwise: Fanwise, deployed: Deployed, model: str, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    items = write_items(
        folder / "items.jsonl", [{"uri": "a b.txt"}, {"uri": "sub/ü%20.txt"}, {"uri": "no.txt"}]
    )
    (folder / "a b.txt").write_text("3")
    (folder / "sub").mkdir()
    (folder / "sub/ü%20.txt").write_text("4")
    ended = fanwise("submit", items, "--model", model, "--watch")
    assert "names 1 file that cannot be read here (no.txt); their items will be dead letters" in ended.stderr
    assert ended.code == 3
    assert "2 of 3 items predicted, 1 dead letter" in ended.stdout
    again = fanwise("submit", items, "--model", model)
    assert "items.jsonl: is in s3://" in again.stderr  # and nothing was uploaded, whatever the names are
    assert "is there already" in again.stdout


def test_a_folder(fanwise: Fanwise, deployed: Deployed, model: str, tmp_path: Path) -> None:
    folder = tmp_path / "scans"
    (folder / "sub").mkdir(parents=True)
    for number in range(40):
        (folder / f"sub/{number}.txt").write_text(str(number))
    (folder / ".hidden").write_text("1")
    (folder / "_SUCCESS").touch()
    told = submitted(fanwise, folder, "--model", model)
    assert told["items_uri"].endswith("/")
    keys = deployed.keys("InputBucket", "submitted/scans-")
    assert len(keys) == 40
    assert all("/sub/" in key for key in keys)
    assert fanwise("watch", told["job_id"]).code == 0
    assert submitted(fanwise, folder, "--model", model)["is_new"] is False
    (folder / "sub/7.txt").write_text("8")
    assert submitted(fanwise, folder, "--model", model)["is_new"]


def test_an_interrupted_upload_is_gone_on_with(
    fanwise: Fanwise, deployed: Deployed, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "scans"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.txt").write_text(str(number))
    sent: list[str] = []
    real = transfers.upload

    def cut_short(s3: Any, bucket: str, uploads: Any, *rest: Any, **more: Any) -> None:
        real(s3, bucket, uploads[:2], *rest, **more)
        raise KeyboardInterrupt

    def counted(s3: Any, bucket: str, uploads: Any, *rest: Any, **more: Any) -> None:
        sent.extend(one.path.name for one in uploads)
        real(s3, bucket, uploads, *rest, **more)

    monkeypatch.setattr(uploading, "upload", cut_short)
    assert fanwise("submit", folder, "--model", model).code == 130
    monkeypatch.setattr(uploading, "upload", counted)
    submitted(fanwise, folder, "--model", model)
    assert sent == ["2.txt", "3.txt", "4.txt"]


def test_what_is_in_the_bucket(fanwise: Fanwise, deployed: Deployed, items: Path, model: str) -> None:
    uri = deployed.put("my/items.jsonl", items.read_bytes())
    told = submitted(fanwise, uri, "--model", model, "--batch-size", "3", "--name", "nightly")
    assert told["items_uri"] == uri
    assert told["job_id"].startswith("nightly-")
    for key in ("my/folder/1.txt", "my/folder/2.txt"):
        deployed.put(key, "1")
    folder = submitted(fanwise, f"s3://{deployed.input}/my/folder/", "--model", model)
    assert fanwise("watch", folder["job_id"]).code == 0
    manifest = deployed.put(
        "my/job.json", json.dumps({"items": "items.jsonl", "model": model, "batch_size": 2})
    )
    over = submitted(fanwise, manifest, "--tolerate", "50")
    assert over["items_uri"] == uri
    job = json.loads(_result(deployed, over["job_id"], fanwise, "job.json"))
    assert (job["batch_size"], job["tolerated_failure_percentage"]) == (2, 50)


def _result(deployed: Deployed, job_id: str, fanwise: Fanwise, name: str) -> bytes:
    fanwise("watch", job_id)
    bucket = deployed.stack.buckets["ResultsBucket"]
    body: bytes = deployed.s3.get_object(Bucket=bucket, Key=f"jobs/{job_id}/{name}")["Body"].read()
    return body


def test_a_manifest_of_this_machine(
    fanwise: Fanwise, deployed: Deployed, items: Path, model: str, bundle: Path
) -> None:
    manifest = items.parent / "job.json"
    manifest.write_text(json.dumps({"items": "items.jsonl", "model": model, "name": "mine"}))
    told = submitted(fanwise, manifest)
    assert told["job_id"].startswith("mine-")
    assert told["model"] == model
    bundle.rename(items.parent / "sums")
    manifest.write_text(json.dumps({"items": "items.jsonl", "model": "sums"}))
    assert submitted(fanwise, manifest)["model"].startswith("sums@")
    uri = deployed.put("there.jsonl", items.read_bytes())
    manifest.write_text(json.dumps({"items": uri, "model": model}))
    assert submitted(fanwise, manifest)["items_uri"] == uri


def test_and_watch(fanwise: Fanwise, deployed: Deployed, items: Path, model: str) -> None:
    ended = fanwise("submit", items, "--model", model, "--watch", "--json")
    assert ended.code == 0
    assert json.loads(ended.stdout)["items"]["predicted"] == 10
    assert "next" in ended.stderr


WRONG: list[tuple[list[str], list[str]]] = [
    (["nowhere.jsonl", "--model", "a@1"], ["nowhere.jsonl: no such file or folder"]),
    (["ITEMS"], ["which model?", "--model NAME@VERSION"]),
    (
        ["ITEMS", "--model", "digits"],
        ["digits: neither a model on this machine nor NAME@VERSION", "fanwise push"],
    ),
    (["ITEMS", "--model", "sums@9"], ["model 'sums@9' is not published", "arithmetic@1"]),
    (["ITEMS", "--model", "a@1", "--batch-size", "0"], ["--batch-size", "at least 1"]),
    (["ITEMS", "--model", "a@1", "--tolerate", "101"], ["--tolerate", "from 0 to 100"]),
    (["s3://BUCKET/nothing.jsonl", "--model", "arithmetic@1"], ["there is no such items file"]),
    (["s3://BUCKET/nothing.json"], ["there is no such manifest"]),
    (["s3://BUCKET/nothing.txt", "--model", "arithmetic@1"], ["items are read from .jsonl"]),
    (
        ["s3://elsewhere/a.jsonl", "--model", "arithmetic@1"],
        ["outside of what this job may read", "FurtherItems"],
    ),
    (["s3://elsewhere/a.json"], ["outside of what this job may read"]),
]


def test_what_is_wrong_is_said_before_anything_is_started(
    fanwise: Fanwise, deployed: Deployed, items: Path, model: str
) -> None:
    for words, says in WRONG:
        told = [word.replace("ITEMS", str(items)).replace("BUCKET", deployed.input) for word in words]
        refused(fanwise("submit", *told), *says)
    machine = boto3.client("stepfunctions").list_executions(stateMachineArn=deployed.stack.state_machine_arn)
    assert machine["executions"] == []


@pytest.mark.parametrize("created_up_to", [0, uploading.MAX_CREATED_BYTES])
def test_a_file_that_changes_while_it_is_uploaded_is_not_left_there(
    fanwise: Fanwise,
    deployed: Deployed,
    items: Path,
    model: str,
    monkeypatch: pytest.MonkeyPatch,
    created_up_to: int,
) -> None:
    def then_changed(path: Path) -> str:
        found = sha256_of(path)
        path.write_bytes(path.read_bytes() + b"\n")
        return found

    monkeypatch.setattr(uploading, "MAX_CREATED_BYTES", created_up_to)
    monkeypatch.setattr(uploading, "sha256_of", then_changed)
    refused(fanwise("submit", items, "--model", model), "items.jsonl: changed while it was uploaded")
    assert deployed.keys("InputBucket") == []


def test_who_submits_the_same_at_the_same_time_has_the_same_job(
    fanwise: Fanwise, deployed: Deployed, items: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = {"Status": "Enabled"}  # moto's CloudFormation leaves it out
    deployed.s3.put_bucket_versioning(Bucket=deployed.input, VersioningConfiguration=versions)
    deployed.predictions_allowed = 0
    first = submitted(fanwise, items, "--model", model)
    # As it was for the other one: it looked before the first one's items were there.
    monkeypatch.setattr(Storage, "list", lambda *_: iter(()))
    second = submitted(fanwise, items, "--model", model)
    assert second == {**first, "is_new": False}


def test_what_watch_tells_is_of_the_job_that_was_planned(
    fanwise: Fanwise, deployed: Deployed, items: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = deployed.put("mine.jsonl", items.read_bytes())
    real = jobs.start

    def changed_before(*words: Any) -> Any:
        deployed.put("mine.jsonl", items.read_bytes() + items.read_bytes())
        return real(*words)

    monkeypatch.setattr("fanwise_cli.stack.submit.start", changed_before)
    ended = fanwise("submit", uri, "--model", model, "--watch", "--json")
    assert ended.code == 0, ended.stderr
    assert json.loads(ended.stdout)["items"]["predicted"] == 2 * len(items.read_text().splitlines())
