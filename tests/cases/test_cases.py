"""Public reports of wrong or lost results, rebuilt: each with the right value that its README gives.

Each stands for its kind. Run by the command on the shipped definition, with the real models, in this process.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cloud_in_process import CloudInProcess, Machine, read_lines
from commands import Ended
from fanwise.prediction.kept import Kept
from fanwise_cli import run as run_module
from fanwise_cli.main import main
from zoo import direct
from zoo.making import CACHE, MODELS, zoo_folder

__all__ = ["zoo_folder"]  # a fixture

HERE = Path(__file__).parent
VALUES, CASE_MODELS = HERE / "values", HERE / "models"


@dataclass
class RealMachine(Machine):
    """A machine whose functions load the models that they are given."""

    kept: Path = field(default_factory=Path)

    def cloud(self, *words: Any, **more: Any) -> CloudInProcess:
        cloud = super().cloud(*words, **more)
        storage = cloud._environment.storage
        cloud._environment = replace(cloud._environment, kept=Kept(storage, self.kept, memory_mb=1769))
        return cloud


@dataclass(frozen=True)
class Outcome:
    """How a run ended, with its lines by the item's id."""

    ended: Ended
    predictions: dict[Any, dict[str, Any]]
    failures: dict[Any, dict[str, Any]]

    @property
    def values(self) -> dict[Any, Any]:
        """What was predicted, by the item's id."""
        return {key: line["prediction"] for key, line in self.predictions.items()}


Run = Callable[[Path, Path], Outcome]


@pytest.fixture
def run(
    zoo_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """`fanwise run ITEMS --model MODEL --out OUT`, with the bundles that were made for the zoo."""
    monkeypatch.setenv("FANWISE_CACHE_DIR", str((zoo_folder / CACHE).parent))
    monkeypatch.setattr(run_module, "LocalCloud", RealMachine(kept=tmp_path / "kept").cloud)

    def run(items: Path, model: Path) -> Outcome:
        out = tmp_path / "out"
        code = main(["run", str(items), "--model", str(model), "--out", str(out)])
        ended = Ended(code, *capsys.readouterr())
        lines = [
            {line["id"]: line for line in read_lines(out / name)} if (out / name).exists() else {}
            for name in ("predictions.jsonl", "failures.jsonl")
        ]
        return Outcome(ended, *lines)

    return run


# An output that is not one row an item.


@pytest.mark.parametrize(
    ("model", "output", "size"), [("const32", "'classes'", "[32]"), ("const2", "'const'", "[2]")]
)
def test_an_output_of_a_size_of_its_own_is_not_one_row_an_item(
    run: Run, model: str, output: str, size: str
) -> None:
    case = VALUES / "constant_output"
    outcome = run(case / "k.jsonl", case / model)
    assert outcome.ended.code == 2
    assert output in outcome.ended.stderr
    assert size in outcome.ended.stderr
    assert '"drop"' in outcome.ended.stderr
    assert not outcome.predictions


# CSV.


def csv(run: Run, name: str) -> Outcome:
    case = VALUES / "csv_unclosed_quote"
    return run(case / name, case / "model")


@pytest.mark.parametrize(
    ("name", "first"), [("unclosed.csv", "1"), ("unclosed_first.csv", "1")], ids=["column", "first column"]
)
def test_a_quote_that_is_never_closed_is_a_dead_letter(run: Run, name: str, first: str) -> None:
    outcome = csv(run, name)
    assert outcome.ended.code == 3
    assert list(outcome.predictions) == [first]
    (failure,) = [line["failure"] for line in outcome.failures.values()]
    assert failure["error"] == "BadRow"
    assert failure["line"] == 3
    assert "line 3" in failure["message"]
    assert "2 lines" in failure["message"]


def test_a_quote_that_is_closed_by_another_row_is_a_dead_letter(run: Run) -> None:
    outcome = csv(run, "unclosed_mid.csv")
    assert outcome.ended.code == 3
    assert {"1", "5"} >= set(outcome.predictions)
    assert "1" in outcome.predictions
    assert "5" in outcome.predictions
    failures = [line["failure"] for line in outcome.failures.values()]
    assert {failure["error"] for failure in failures} == {"BadRow"}
    assert failures[0]["line"] == 3
    assert "line 3" in failures[0]["message"]


def test_quotes_that_are_escaped_by_a_backslash_are_refused(run: Run) -> None:
    outcome = csv(run, "backslash.csv")
    assert outcome.ended.code == 3
    assert list(outcome.predictions) == ["3"]
    assert "BadRow" in {line["failure"]["error"] for line in outcome.failures.values()}
    assert outcome.values == {"3": {"n": 7, "up": 'A "B" C'}}


# Keys.


def test_a_users_keys_index_and_failure_come_back(run: Run) -> None:
    case = VALUES / "keys_dropped"
    outcome = run(case / "idx.jsonl", case / "linear")
    first, second = sorted(outcome.predictions.values(), key=lambda line: line["index"])
    assert outcome.ended.code == 0, outcome.ended.stderr
    assert (first["index"], second["index"]) == (0, 1)
    assert first["item"] == {"index": 500}
    assert second["item"] == {"index": 100, "failure": "engine broke", "row": 3}


# LiteRT, where TensorFlow refuses.


def alone(model: str, **inputs: Any) -> Any:
    saved_model = VALUES / "litert_out_of_bounds" / model
    ask = direct.in_tensorflow(saved_model, anew=False)
    ((_, answer),) = ask({name: np.array(value) for name, value in inputs.items()}).items()
    return answer[0].tolist()


def rejects(model: str, **inputs: Any) -> bool:
    try:
        alone(model, **inputs)
    except direct.Rejected:
        return True
    return False


@pytest.mark.parametrize(
    ("items", "model", "names", "dead"),
    [
        ("t.jsonl", "tok_last", ("t",), {"empty", "empty2"}),
        ("n_5.jsonl", "o_rev", ("x", "n"), {"i2", "i4", "i6"}),
        ("n.jsonl", "o_rev", ("x", "n"), {"5", "-1"}),
        ("n.jsonl", "o_usum", ("x", "k"), {"5"}),
    ],
)
def test_what_tensorflow_refuses_is_a_dead_letter(
    run: Run, items: str, model: str, names: tuple[str, ...], dead: set[str]
) -> None:
    case = VALUES / "litert_out_of_bounds"
    outcome = run(case / items, case / model)
    assert outcome.ended.code == 3
    assert set(outcome.failures) == dead
    for one in read_lines(case / items):
        inputs = {
            name: np.array([one["inputs"][name]], "float32" if name == "x" else "int32") for name in names
        }
        if one["id"] in dead:
            assert rejects(model, **inputs)
        else:
            (found,) = outcome.values[one["id"]].values()
            np.testing.assert_allclose(found, alone(model, **inputs), rtol=1e-5, atol=1e-5)


# Sizes.


def test_a_size_that_the_signature_leaves_open_is_not_taken_to_be_one(run: Run) -> None:
    case = VALUES / "open_size_warm_up"
    outcome = run(case / "flat.jsonl", case / "flat4")
    assert outcome.ended.code == 3
    assert set(outcome.failures) == {"i37"}
    assert len(outcome.values) == 59
    assert all(value == {"v": [30.0]} for value in outcome.values.values())


def test_detections_are_all_of_the_one_item(run: Run) -> None:
    case = CASE_MODELS / "nms_rows"
    outcome = run(case / "b.jsonl", case / "nms")
    assert outcome.ended.code == 0
    found = {key: np.round(value["det"], 6).tolist() for key, value in outcome.values.items()}
    assert found == {"one": [[1, 0.9]], "two": [[1, 0.9], [2, 0.8]], "none": []}


def test_a_rank_that_the_model_leaves_open_is_that_of_its_answers(run: Run) -> None:
    case = CASE_MODELS / "tflite_hashtable"
    outcome = run(case / "w.jsonl", case / "lk2.tflite")
    assert outcome.ended.code == 0
    codes = [value["code"] for _, value in sorted(outcome.values.items())]
    assert codes == [1, 3, -1, -1]


# Words.


def test_base64_without_data_is_named_and_not_repeated(run: Run, zoo_folder: Path) -> None:
    items = VALUES / "bare_base64/u.jsonl"
    (payload,) = [one["inputs"]["img"] for one in read_lines(items) if one["id"] == "Dbare"]
    outcome = run(items, zoo_folder / MODELS / "small_photo")
    failure = outcome.failures["Dbare"]["failure"]
    assert "base64" in failure["message"]
    assert "data:image/" in failure["message"]
    for line in outcome.failures.values():
        assert payload[:40] not in line["failure"]["message"]
    assert payload[:40] not in outcome.ended.stdout + outcome.ended.stderr


def test_a_lone_surrogate_is_named(run: Run, zoo_folder: Path) -> None:
    outcome = run(VALUES / "bare_base64/i.jsonl", zoo_folder / MODELS / "whole_number")
    by_line = {line["failure"]["line"]: line["failure"] for line in outcome.failures.values()}
    assert "surrogate" in by_line[15]["message"]
    assert "surrogate" in by_line[16]["message"]
    assert "truncated" not in json.dumps(by_line)
    assert outcome.values[1] == {"y": 9007199254740993}
    assert outcome.values[2] == {"y": 9223372036854775807}
