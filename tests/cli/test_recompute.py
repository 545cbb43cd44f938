"""Items predicted again alone, with the real model: after a job, by `verify --recompute`, and within one."""

import json
import re
from pathlib import Path

import pytest

from commands import Ended, run_process
from fanwise_cli.main import main


@pytest.fixture
def out(digits_example: Path, tmp_path: Path) -> Path:
    """A job that has ended, and had some of its items predicted again before its verdict."""
    manifest = digits_example / f"{tmp_path.name}.json"
    words = {"items": "items.jsonl", "model": "model", "batch_size": 200, "recompute": 7}
    manifest.write_text(json.dumps(words))
    try:
        ended = run_process("run", manifest, "--out", tmp_path / "out")
    finally:
        manifest.unlink()
    assert ended.code == 0, ended.stderr
    return tmp_path / "out"


def verify(capsys: pytest.CaptureFixture[str], out: Path, *words: str) -> Ended:
    capsys.readouterr()
    code = main(["verify", str(out), *words])
    return Ended(code, *capsys.readouterr())


def test_values_that_were_wrong_from_the_start_are_found(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = json.loads((out / "summary.json").read_bytes())
    assert summary["recomputed"] == {
        "items": 7,
        "agreed": 7,
        "unread": 0,
        "runtime": "tensorflow",
        "differ": [],
        "reason": None,
    }
    assert summary["model"]["runtime"] == "litert"
    ended = verify(capsys, out, "--recompute", "10")
    assert ended.code == 0
    assert re.search(r"recomputed +10 of 10 items agree, each alone on tensorflow\n", ended.stdout)
    for path in [*out.glob(".fanwise/buckets/*/jobs/*/predictions/000001-*"), out / "predictions.jsonl"]:
        path.write_bytes(re.sub(rb'"score":0\.[0-9]', rb'"score":0.0', path.read_bytes()))
    altered = verify(capsys, out, "--recompute", "30", "--json")
    assert altered.code == 1
    document = json.loads(altered.stdout)
    recomputed = document["recomputed"]
    assert recomputed["items"] == 30
    assert recomputed["agreed"] < 25
    first = recomputed["differ"][0]
    assert first["file"].startswith("predictions/000001-")
    assert f"{first['file']}, line {first['line']} {first['why']}" in document["disagreements"]
    assert "and predicted again alone [" in first["why"]


def test_a_model_that_is_gone_is_not_taken_for_agreement(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (digest,) = out.glob(".fanwise/buckets/*/models/*/*/digest.json")
    digest.unlink()
    ended = verify(capsys, out, "--recompute", "3")
    assert ended.code == 1
    assert "not checked" in ended.stdout
    assert "items cannot be predicted again" in " ".join(ended.stdout.split())
