"""`fanwise profile JOB --stack NAME`: the published profile is replaced, and nobody else's work undone."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cli.stack.conftest import Deployed, Fanwise
from fanwise.model.profile import Profile
from fanwise_cli.stack import feeding_back
from profiles import runtime_profile


@pytest.fixture
def job(fanwise: Fanwise, deployed: Deployed, bundle: Path) -> str:
    """A job that has ended, of a model without a profile."""
    model = fanwise("push", bundle, "--version", "1").stdout.strip()
    uri = deployed.put("data/items.jsonl", b'{"inputs": {"x": 1}}\n' * 20)
    submitted = json.loads(fanwise("submit", uri, "--model", model, "--json").stdout)
    assert fanwise("watch", submitted["job_id"]).code == 0
    return str(submitted["job_id"])


def key_of(model: str) -> str:
    return f"models/{model.replace('@', '/')}/profile.json"


def published(deployed: Deployed) -> Profile:
    body = deployed.s3.get_object(Bucket=deployed.stack.buckets["ModelBucket"], Key=key_of("arithmetic@1"))[
        "Body"
    ]
    return msgspec.json.decode(body.read(), type=Profile)


def put(deployed: Deployed, profile: Profile) -> None:
    deployed.s3.put_object(
        Bucket=deployed.stack.buckets["ModelBucket"],
        Key=key_of("arithmetic@1"),
        Body=msgspec.json.encode(profile),
    )


def test_lambdas_own_figures_are_published(fanwise: Fanwise, deployed: Deployed, job: str) -> None:
    ended = fanwise("profile", job, "--stack", deployed.name)
    assert ended.code == 0, ended
    assert f"Lambda in us-east-1 at 1,769 MB, by job {job}" in " ".join(ended.stdout.split())
    measured_on = published(deployed).runtimes["tensorflow"].measured_on
    assert (measured_on.kind, measured_on.job_id, measured_on.memory_mb) == ("lambda", job, 1769)
    uri = f"s3://{deployed.input}/data/items.jsonl"
    found = json.loads(fanwise("estimate", uri, "--model", "arithmetic@1", "--json").stdout)
    assert found["stands_in"] is False


def test_other_runtimes_keep_theirs_though_another_writes_at_the_same_time(
    fanwise: Fanwise, deployed: Deployed, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(deployed, Profile(runtimes={}))
    theirs = runtime_profile(init_ms=4711)
    replace, calls = feeding_back._replace, 0

    def after_another(*words: Any) -> bool:
        nonlocal calls
        calls += 1
        if calls == 1:
            put(deployed, Profile(runtimes={"litert": theirs}))
        return replace(*words)

    monkeypatch.setattr(feeding_back, "_replace", after_another)
    assert fanwise("profile", job, "--stack", deployed.name).code == 0
    assert calls == 2
    found = published(deployed).runtimes
    assert found["litert"] == theirs
    assert found["tensorflow"].measured_on.job_id == job


def test_who_never_gets_through_says_so(
    fanwise: Fanwise, deployed: Deployed, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeding_back, "_replace", lambda *_: False)
    ended = fanwise("profile", job, "--stack", deployed.name)
    assert (ended.code, ended.stdout) == (2, "")
    assert "was replaced by others 5 times" in ended.stderr
