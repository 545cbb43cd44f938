"""A model is published once under its name: files first, digest.json last, and the same again is fine."""

import json
from pathlib import Path

import pytest

from cli.stack.conftest import Deployed, Fanwise
from cloud_in_process import write_bundle
from fanwise.model import bundle as bundles
from fanwise.storage import Storage
from fanwise_cli.stack import push as pushing
from fanwise_cli.stack.connection import StackOptions, connect
from fanwise_cli.stack.transfers import upload


def test_a_model_is_published_and_found_by_its_name(
    fanwise: Fanwise, deployed: Deployed, bundle: Path
) -> None:
    ended = fanwise("push", bundle)
    assert ended.code == 0
    reference = ended.stdout.strip()
    name, version = reference.split("@")
    assert name == "arithmetic"
    assert deployed.keys("ModelBucket") == [
        f"models/{name}/{version}/digest.json",
        f"models/{name}/{version}/weights.txt",
    ]
    stack = connect(StackOptions())
    found = bundles.resolve(stack.storage, stack.model_bucket, reference)
    assert found.uri == f"s3://{stack.model_bucket}/models/{name}/{version}"


def test_by_the_name_and_version_that_are_given(fanwise: Fanwise, deployed: Deployed, bundle: Path) -> None:
    ended = fanwise("push", bundle, "--name", "sums", "--version", "3", "--json")
    assert json.loads(ended.stdout) == {
        "model": "sums@3",
        "digest": json.loads((bundle / "digest.json").read_text())["digest"],
        "uri": f"s3://{deployed.stack.buckets['ModelBucket']}/models/sums/3",
        "runtimes": ["tensorflow"],
        "was_there": False,
    }


def test_the_same_again_uploads_nothing_and_another_is_refused(
    fanwise: Fanwise, deployed: Deployed, bundle: Path, tmp_path: Path
) -> None:
    assert fanwise("push", bundle, "--version", "1").code == 0
    again = fanwise("push", bundle, "--version", "1")
    assert (again.code, again.stdout) == (0, "arithmetic@1\n")
    assert "published already; nothing was uploaded" in again.stderr
    other = write_bundle(tmp_path / "other/arithmetic", "others")
    ended = fanwise("push", other, "--version", "1")
    assert ended.code == 2
    assert "model arithmetic@1 is published with sha256:" in ended.stderr
    assert "a version is written once: choose another" in ended.stderr


@pytest.mark.parametrize("words", [("--name", "a/b"), ("--version", "1 2")])
def test_a_name_that_cannot_be_one_is_refused_without_a_stack(
    fanwise: Fanwise, bundle: Path, words: tuple[str, str]
) -> None:
    ended = fanwise("push", bundle, *words)
    assert ended.code == 2
    assert f"{words[1]!r} cannot be a model's {words[0][2:]}" in ended.stderr


def test_a_model_that_is_none_is_refused_without_a_stack(fanwise: Fanwise, tmp_path: Path) -> None:
    ended = fanwise("push", tmp_path / "nowhere")
    assert ended.code == 2
    assert "no such file or folder; give" in ended.stderr


@pytest.mark.parametrize("command", ["push", "run"])
def test_samples_of_no_use_are_one_line_before_any_work(
    fanwise: Fanwise, bundle: Path, tmp_path: Path, command: str
) -> None:
    items = tmp_path / "items.jsonl"
    items.write_text('{"inputs": {"x": 1}}\n')
    words = (bundle,) if command == "push" else (items, "--model", bundle, "--out", tmp_path / "out")
    ended = fanwise(command, *words, "--samples", items, "--quiet")
    assert (ended.code, ended.stdout) == (2, "")
    assert "was prepared before, so nothing is compared on --samples" in ended.stderr


def test_an_interrupted_push_is_not_published_and_goes_on_with_what_is_there(
    fanwise: Fanwise, deployed: Deployed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = write_bundle(tmp_path / "arithmetic")
    sent: list[str] = []

    def counting(s3: object, bucket: str, uploads: list[object], *rest: object, **more: object) -> None:
        sent.extend(one.key for one in uploads)  # type: ignore[attr-defined]
        upload(s3, bucket, uploads, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(pushing, "upload", counting)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as once:
        deployed.s3.put_object(  # what another push has left there half-way, of the same size
            Bucket=deployed.stack.buckets["ModelBucket"],
            Key="models/arithmetic/1/weights.txt",
            Body=b"x" * (bundle / "weights.txt").stat().st_size,
        )
        once.setattr(Storage, "create", interrupted)
        ended = fanwise("push", bundle, "--version", "1")
    assert ended.code == 130
    assert "the same command goes on" in ended.stderr
    assert deployed.keys("ModelBucket") == ["models/arithmetic/1/weights.txt"]
    assert fanwise("push", bundle, "--version", "1").code == 0
    assert sent == ["models/arithmetic/1/weights.txt"]  # not what was another's, and not a second time


def test_two_bundles_under_one_name_at_the_same_time_are_found_out(
    fanwise: Fanwise, deployed: Deployed, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = Storage.create

    def create_after_another(storage: Storage, uri: str, body: bytes) -> bytes:
        deployed.s3.put_object(
            Bucket=deployed.stack.buckets["ModelBucket"],
            Key="models/arithmetic/1/weights.txt",
            Body=b"another's weights",
        )
        return create(storage, uri, body)

    monkeypatch.setattr(Storage, "create", create_after_another)
    ended = fanwise("push", bundle, "--version", "1")
    assert ended.code == 2
    assert "published another bundle under this name at the same time" in ended.stderr
    assert "another --version" in ended.stderr
