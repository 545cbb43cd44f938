"""`fanwise verify --recompute N`: a value that was wrong from the start, which no digest would show."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from altered import Altered, edit_line, forge
from commands import Ended, run_process
from fake_model import FakeModel
from fanwise.recomputation import Difference, Recomputed
from fanwise.records import Commit, Job
from fanwise_cli.recomputing import NotRecomputed
from fanwise_cli.verification import verify_job
from fanwise_cli.verify import document
from jobs import JobCloud, JobResults


@pytest.fixture
def finished() -> tuple[JobCloud, str]:
    """A job that has ended, and its home."""
    cloud = JobCloud(model=FakeModel(4))
    uri = cloud.put_items("items.jsonl", b'{"inputs": {"x": 1}}\n{"inputs": {"x": 2}}\n')
    cloud.run(cloud.start({"items": uri}))
    cloud.close()
    (event,) = cloud.events
    return cloud, JobResults.of(cloud, event["Detail"]["job_id"]).home


def test_what_is_drawn_goes_by_the_root(finished: tuple[JobCloud, str]) -> None:
    cloud, home = finished
    seeds = []

    def recompute(job: Job, at: str, commits: Sequence[Commit], seed: str) -> Recomputed:
        assert (at, job.total, sum(commit.predicted for commit in commits)) == (home, 2, 2)
        seeds.append(seed)
        return Recomputed(items=2, agreed=2, unread=0, runtime="tensorflow")

    found = verify_job(cloud.storage, home, recompute=recompute)
    assert found.is_proved
    assert seeds == [found.root]
    assert document(found)["recomputed"]["agreed"] == 2


def test_a_prediction_that_comes_out_otherwise_is_no_proof(finished: tuple[JobCloud, str]) -> None:
    cloud, home = finished
    differs = Difference(index=1, file="predictions/x.jsonl", line=2, why="has 'y' 5.0")
    came_of_it = Recomputed(items=2, agreed=1, unread=0, runtime="litert", differ=(differs,))
    found = verify_job(cloud.storage, home, recompute=lambda *_: came_of_it)
    assert not found.is_proved
    assert document(found)["recomputed"]["differ"][0]["line"] == 2


def test_what_cannot_be_predicted_again_is_no_proof_and_objects_that_are_gone_are_said(
    finished: tuple[JobCloud, str],
) -> None:
    cloud, home = finished

    def fail(*_: object) -> Recomputed:
        raise NotRecomputed("no runtime here")

    found = verify_job(cloud.storage, home, recompute=fail)
    assert not found.is_proved
    assert found.unchecked == ("items cannot be predicted again: no runtime here",)
    some = Recomputed(items=1, agreed=1, unread=1, runtime="litert")
    found = verify_job(cloud.storage, home, recompute=lambda *_: some)
    assert not found.is_proved
    assert found.unchecked == ("1 of the items that were to be predicted again: they cannot be read",)


def _verified(out: Path, *words: str) -> tuple[int, dict[str, Any]]:
    ended: Ended = run_process("verify", out, "--json", *words)
    assert ended.stdout, ended.stderr
    document: dict[str, Any] = json.loads(ended.stdout)
    return ended.code, document


def test_of_a_real_model_a_wrong_value_that_agrees_everywhere_is_found(
    made_models: Path, tmp_path: Path
) -> None:
    items, out = tmp_path / "data/items.jsonl", tmp_path / "out"
    items.parent.mkdir()
    lines = [{"inputs": {"age": x, "history": [0.1 * x, 0.2, 0.3]}} for x in range(20)]
    items.write_text("".join(json.dumps(line) + "\n" for line in lines))
    ran = run_process("run", items, "--model", made_models / "tabular", "--out", out, "--batch-size", "7")
    assert ran.code == 0, ran.stderr
    code, document = _verified(out, "--recompute", "6")
    assert code == 0, document
    assert document["recomputed"] == {
        "items": 6,
        "agreed": 6,
        "unread": 0,
        "runtime": "tensorflow",
        "differ": [],
    }

    def worsen(line: dict[str, Any]) -> None:
        line["prediction"]["risk"][1] += 0.5

    files = Altered(out, items)
    part = files.part("predictions/000001")
    edit_line(part, out / "predictions.jsonl", index=9, change=worsen)
    forge(files)
    assert _verified(out)[0] == 0  # every digest agrees
    code, document = _verified(out, "--recompute", "100")
    assert (code, document["proved"]) == (1, False)
    (differs,) = document["recomputed"]["differ"]
    assert (document["recomputed"]["items"], document["recomputed"]["agreed"]) == (20, 19)
    assert (differs["index"], differs["file"], differs["line"]) == (9, f"predictions/{part.name}", 3)
    said = run_process("verify", out, "--recompute", "100").stdout
    assert "19 of 20 items agree, each alone on tensorflow" in said
    assert f"predictions/{part.name}, line 3 has 'risk'" in " ".join(said.split())
