"""`fanwise estimate` of items and models that a stack has."""

import json
from pathlib import Path

import msgspec
import pytest

from cli.stack.conftest import Deployed, Fanwise
from cloud_in_process import item, write_bundle, write_items
from fanwise.model.profile import Profile
from profiles import runtime_profile


@pytest.fixture
def model(fanwise: Fanwise, deployed: Deployed, tmp_path: Path) -> str:
    """A model that is published, with its profile."""
    bundle = write_bundle(tmp_path / "arithmetic", "weights that were measured")
    profile = Profile(runtimes={"tensorflow": runtime_profile()})
    (bundle / "profile.json").write_bytes(msgspec.json.encode(profile))
    return fanwise("push", bundle, "--version", "1").stdout.strip()


def test_items_and_model_of_a_stack(fanwise: Fanwise, deployed: Deployed, model: str) -> None:
    uri = deployed.put("data/items.jsonl", b"".join(b'{"inputs": {"x": 1}}\n' for _ in range(500)))
    ended = fanwise("estimate", uri, "--model", model, "--json")
    assert ended.code == 0, ended
    found = json.loads(ended.stdout)
    assert (found["items"], found["batches"]) == (500, 3)
    assert found["model"]["version"] == "1"
    assert found["cost_usd"]["prices"].startswith("us-east-1 x86_64")


def test_items_of_this_machine_and_a_model_of_the_stack(
    fanwise: Fanwise, deployed: Deployed, model: str, tmp_path: Path
) -> None:
    items = write_items(tmp_path / "items.jsonl", [item(x) for x in range(10)])
    assert json.loads(fanwise("estimate", items, "--model", model, "--json").stdout)["items"] == 10
    assert deployed.keys("InputBucket") == []  # nothing was uploaded


def test_what_items_may_not_be_is_refused(fanwise: Fanwise, deployed: Deployed, model: str) -> None:
    ended = fanwise("estimate", "s3://elsewhere/items.jsonl", "--model", model)
    assert (ended.code, ended.stdout) == (2, "")
    assert "s3://elsewhere/items.jsonl" in ended.stderr


def test_the_job_keeps_what_it_was_reckoned_to_take(fanwise: Fanwise, deployed: Deployed, model: str) -> None:
    uri = deployed.put("data/items.jsonl", b'{"inputs": {"x": 1}}\n' * 500)
    before = json.loads(fanwise("estimate", uri, "--model", model, "--json").stdout)
    submitted = json.loads(fanwise("submit", uri, "--model", model, "--json").stdout)
    assert fanwise("watch", submitted["job_id"]).code == 0
    key = f"jobs/{submitted['job_id']}/job.json"
    body = deployed.s3.get_object(Bucket=deployed.stack.buckets["ResultsBucket"], Key=key)["Body"].read()
    kept = json.loads(body)["estimate"]
    assert (kept["batches"], kept["billed_gb_s"]) == (
        before["batches"],
        pytest.approx(before["billed_gb_s"], rel=0.2),
    )
