"""`fanwise demo`: trains once, runs the pipeline over the held-out scans, and says how right it was."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from commands import run_process
from fanwise_cli import demo
from fanwise_cli.main import main


def line(best: str, label: int) -> bytes:
    prediction = {"scores": [{"label": best, "score": 0.9}, {"label": "x", "score": 0.1}]}
    return json.dumps({"index": 0, "id": 0, "prediction": prediction, "item": {"label": label}}).encode()


def test_accuracy_is_the_share_whose_best_label_is_the_carried_one() -> None:
    assert demo.accuracy([line("3", 3), line("4", 4), line("5", 6), line("7", 7)]) == 0.75
    assert demo.accuracy([]) == 0.0


def test_without_scikit_learn_it_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "find_spec", lambda name: None)
    assert main(["demo", "--folder", str(tmp_path / "demo")]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "fanwise: the demo needs scikit-learn: pip install 'fanwise[demo]'\n"
    assert not (tmp_path / "demo").exists()


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/thesis.tex").touch()
    ended = run_process("demo", "--folder", tmp_path)
    assert ended.code == 1
    assert "Traceback" not in ended.stderr
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("fanwise: train.py ended with status 1: FileExistsError: ")
    assert "choose another folder" in last
    assert [path.name for path in tmp_path.rglob("*")] == ["data", "thesis.tex"]


def test_it_trains_once_and_tells_accuracy_throughput_and_where_the_results_are(
    digits_example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With real processes, but for the training, which the example's own tests have."""
    trained = []
    run = subprocess.run

    def train(command: list[str], **how: Any) -> Any:
        if not command[1].endswith("train.py"):
            return run(command, **how)
        trained.append(command[2])
        shutil.copytree(digits_example, command[2])
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", train)
    folder = tmp_path / "demo"
    assert main(["demo", "--folder", str(folder)]) == 0
    said = capsys.readouterr()
    assert trained == [str(folder / "data")]
    training, words, *_ = said.err.splitlines()
    assert training.startswith("Training")
    items, model, out = folder / "data/items.jsonl", folder / "data/model", folder / "out"
    assert words == f"$ fanwise run {items} --model {model} --out {out}"
    headline, accuracy, *rest = said.out.splitlines()
    assert headline.startswith("✔ SUCCEEDED  599 of 599 items predicted in ")
    assert headline.endswith(" items/s)")
    label, percent, *_ = accuracy.split()
    assert (label, float(percent) > 97) == ("accuracy", True)
    assert f"  results    {out / 'predictions.jsonl'}" in rest
    assert f"$ fanwise verify {out} --recompute 20" in said.err.splitlines()
    assert "  recomputed     20 of 20 items agree, each alone on tensorflow" in rest
    before = (out / "predictions.jsonl").read_bytes()
    lines = before.splitlines()
    assert f"{100 * demo.accuracy(lines):.2f}" == percent

    second = run_process("demo", "--folder", folder, "--json")  # no training: nothing is said of it
    assert second.code == 0
    assert "Training" not in second.stderr
    assert json.loads(second.stdout)["items"]["predicted"] == 599
    assert json.loads(second.stdout)["job_id"] in (out / "summary.json").read_text()
    assert (out / "predictions.jsonl").read_bytes() == before
