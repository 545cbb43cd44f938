"""`fanwise tune` on this machine: a small real run, what fails as a line, and what is refused."""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.ups import MODEL_JSON, png
from commands import Ended, processes_of, run_process, started, wait_until, wait_until_gone
from fanwise.errors import FanwiseError
from fanwise_cli.terminal import JobConsole
from fanwise_cli.tuning import local_bench
from fanwise_cli.tuning.options import TuneOptions
from fanwise_cli.tuning.tune import tune_here
from local.invoking import linux_only

Fanwise = Callable[..., Ended]
ITEMS = 40


@pytest.fixture(scope="module")
def model(made_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of images of 8 by 8 that LiteRT alone can run."""
    folder = tmp_path_factory.mktemp("model") / "digits"
    folder.mkdir()
    shutil.copy(made_models / "digits.tflite", folder / "model.tflite")
    (folder / "model.json").write_text(json.dumps(MODEL_JSON))
    return folder


@pytest.fixture
def items(tmp_path: Path) -> Path:
    """A folder of images."""
    folder = tmp_path / "scans"
    folder.mkdir()
    for number in range(ITEMS):
        (folder / f"{number}.png").write_bytes(png(number))
    return folder


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


def test_a_model_is_measured_and_the_best_is_drawn_and_told(
    items: Path, model: Path, tmp_path: Path, scratch: Path
) -> None:
    picture = tmp_path / "tuned.svg"
    sizes = ("--memory", "1769", "--batch-size", "8,32", "--repeats", "2", "--items", "100000")
    ended = run_process("tune", items, "--model", model, *sizes, "--picture", picture, "--json")
    assert ended.code == 0, ended
    found: dict[str, Any] = json.loads(ended.stdout)
    made = found["combinations"]
    assert [(one["runtime"], one["memory_mb"], one["batch_size"]) for one in made] == [
        ("litert", 1769, 8),
        ("litert", 1769, 32),
    ]
    assert min(min(one["item_ms"], one["cold_start_ms"], one["total_usd"]) for one in made) > 0
    assert sys.platform != "linux" or all(20 < one["peak_memory_mb"] < 400 for one in made)
    # 100 ms an invocation for requests to S3, so a quarter of the invocations are cheaper.
    assert made[1]["total_usd"] < made[0]["total_usd"]
    assert found["best"]["batch_size"] == 32
    assert (found["items"], found["sample"], found["stands_in"]) == (100_000, ITEMS, True)
    assert any(one["is_on_front"] for one in made)
    assert picture.read_bytes().startswith(b"<?xml")
    assert list(scratch.glob("fanwise-*")) == []


@linux_only
def test_what_does_not_fit_into_memory_is_a_line_and_no_end(items: Path, model: Path) -> None:
    def tuned(*memory_mb: int) -> Any:
        options = TuneOptions(
            items=str(items), model=str(model), memory_mb=memory_mb, batch_sizes=(8,), repeats=1, quiet=True
        )
        return tune_here(options, JobConsole(stderr=True))

    found = tuned(20, 1769)
    assert [(one.memory_mb, one.failed) for one in found.combinations] == [
        (20, "out of memory"),
        (1769, None),
    ]
    assert found.best.memory_mb == 1769
    assert "litert at 20 MB, 8 items a batch: out of memory" in found.notes[0]
    with pytest.raises(FanwiseError, match="nothing that was tried works: litert at 20 MB"):
        tuned(20)


@linux_only
def test_interrupted_it_leaves_nothing(items: Path, model: Path, scratch: Path) -> None:
    command = ("tune", items, "--model", model, "--memory", "1769", "--batch-size", "8", "--repeats", "100")
    with started(*command) as process:
        wait_until(lambda: bool(list(scratch.glob("fanwise-tune-*/buckets/*/jobs/*/commits/*"))), process)
        os.killpg(process.pid, 2)
        _, stderr = process.communicate()
    assert process.returncode == 130
    assert stderr.splitlines()[-1] == (
        "fanwise: interrupted; nothing is left of it, and the same command begins anew"
    )
    assert "Traceback" not in stderr
    wait_until_gone(scratch)
    assert processes_of(scratch) == []
    assert list(scratch.glob("fanwise-*")) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--by", "luck"], "--by is 'luck'; price or time"),
        (["--memory", "512"], "--memory is '512'; whole numbers from 1,024 to 10,240, by commas"),
        (["--memory", "1769,"], "--memory is ''"),
        (["--batch-size", "0,8"], "--batch-size is '0'"),
        (["--batch-size", "auto"], "--batch-size is 'auto'"),
        (["--batch-size", "41"], "--batch-size 41: the sample has 40 items"),
        (["--runtime", "torch"], "--runtime is 'torch'; tensorflow, litert, or auto"),
        (["--runtime", "tensorflow"], "is not made for runtime 'tensorflow'; it is for litert"),
        (["--repeats", "0"], "--repeats"),
        (["--items", "0"], "--items"),
        (["--picture", "plot.gif"], "plot.gif: pictures are .svg or .png"),
        (["--picture", "nowhere/plot.svg"], "there is no folder nowhere"),
        (["--arch", "sparc"], "--arch is 'sparc'"),
        (["--endpoint-url", "http://127.0.0.1:1"], "give --stack NAME too"),
    ],
)
def test_wrong_words_are_one_line(
    fanwise: Fanwise, items: Path, model: Path, words: list[str], message: str
) -> None:
    ended = fanwise("tune", items, "--model", model, "--quiet", *words)
    assert (ended.code, ended.stdout) == (2, "")
    assert message in ended.stderr.splitlines()[-1]


def test_items_that_are_none_are_said(fanwise: Fanwise, model: Path, tmp_path: Path) -> None:
    empty = tmp_path / "none.jsonl"
    empty.write_text("\n")
    for items, message in (
        (empty, f"{empty}: has no items to try"),
        (tmp_path / "nowhere.jsonl", "no such file or folder"),
        ("s3://bucket/items.jsonl", "is not on this machine; give --stack NAME"),
    ):
        ended = fanwise("tune", items, "--model", model, "--quiet")
        assert (ended.code, ended.stdout) == (2, "")
        assert message in ended.stderr.splitlines()[-1]
    assert fanwise("tune", empty, "--model", tmp_path / "no-model").code == 2


def test_more_vcpus_than_cores_are_refused_where_asked_for(
    fanwise: Fanwise, items: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_bench, "available_cores", lambda: 2)
    ended = fanwise("tune", items, "--model", model, "--memory", "1769,5307")
    assert (ended.code, ended.stdout) == (2, "")
    assert ended.stderr.splitlines()[-1] == (
        "fanwise: --memory 5307: has 3 vCPUs, and this machine 2 cores to measure them with; give up to 3,538, or"
        " --stack NAME to measure there"
    )
