"""`fanwise run --faults`: the plan is read before any work, said in one line, and outlasted by a real job."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cloud_in_process import Machine, item, read_lines, write_items
from commands import Ended, run_process
from fanwise_local.faults.plan import read_plan

Fanwise = Callable[..., Ended]


@pytest.fixture
def words(tmp_path: Path, bundle: Path) -> tuple[str | Path, ...]:
    """A command that is right."""
    items = write_items(tmp_path / "data/items.jsonl", [item(x) for x in range(10)])
    return ("run", items, "--model", bundle, "--out", tmp_path / "out")


def write_plan(path: Path, *rules: dict[str, Any], seed: int = 7) -> Path:
    path.write_text(json.dumps({"seed": seed, "rules": rules}))
    return path


def test_the_plan_is_said_in_one_line_and_handed_to_the_cloud(
    fanwise: Fanwise, words: tuple[str | Path, ...], machine: Machine, tmp_path: Path
) -> None:
    rules = ({"fault": "throttle", "function": "PredictBatch"}, {"fault": "kill"}, {"fault": "drop_response"})
    plan = write_plan(tmp_path / "plan.json", *rules)
    ended = fanwise(*words, "--faults", plan)
    assert ended.code == 0
    assert "faults: 3 rules, seed 7" in ended.stderr.splitlines()
    assert machine.faults == [read_plan(plan)]


def test_without_a_plan_nothing_is_said_of_faults(
    fanwise: Fanwise, words: tuple[str | Path, ...], machine: Machine
) -> None:
    assert "fault" not in fanwise(*words).stderr
    assert machine.faults == [None]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"fault": "kil"}, 'rules[0].fault: "kil" is no fault; there are: throttle, '),
        (
            {"fault": "kill", "function": "Predict"},
            'rules[0].function: no function is called "Predict"'
            " (there are: AggregateResults, HandleFailure, PlanJob, PredictBatch)",
        ),
    ],
)
def test_a_plan_that_is_wrong_stops_the_command_before_any_work(
    fanwise: Fanwise, words: tuple[str | Path, ...], tmp_path: Path, rule: dict[str, Any], message: str
) -> None:
    plan = write_plan(tmp_path / "plan.json", rule)
    ended = fanwise(*words, "--faults", plan)
    assert (ended.code, ended.stdout) == (2, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"fanwise: {plan}: {message}")
    assert not (tmp_path / "out").exists()


def test_a_real_job_outlasts_its_faults_and_leaves_the_same_bytes(made_models: Path, tmp_path: Path) -> None:
    rows = tmp_path / "data/rows.jsonl"
    rows.parent.mkdir()
    rows.write_text(
        "".join(
            json.dumps({"id": n, "inputs": {"age": n / 7, "history": [n, 0, 1]}}) + "\n" for n in range(60)
        )
    )
    plan = write_plan(
        tmp_path / "plan.json",
        {"fault": "kill", "function": "PlanJob"},
        {"fault": "throttle", "function": "PredictBatch", "entry": "000000"},
        {"fault": "kill", "when": "between part and commit", "entry": "000001", "function": "PredictBatch"},
        {"fault": "write_late", "seconds": 0.2, "entry": "000003", "function": "PredictBatch"},
        {"fault": "truncate", "key": "data/rows.jsonl", "entry": "000004", "function": "PredictBatch"},
        {"fault": "uncertain_create", "done": True, "entry": "000005", "function": "PredictBatch"},
        {"fault": "drop_response", "function": "AggregateResults"},
    )
    command = ("run", rows, "--model", made_models / "tabular", "--batch-size", "10", "--out")
    ended = run_process(*command, tmp_path / "out", "--faults", plan)
    assert ended.code == 0, ended
    assert "faults: 7 rules, seed 7" in ended.stderr.splitlines()
    assert "Traceback" not in ended.stderr

    kept = read_lines(tmp_path / "out/.fanwise/faults.jsonl")
    assert sorted(line["fault"]["fault"] for line in kept) == [
        "drop_response",
        "kill",
        "kill",
        "throttle",
        "truncate",
        "uncertain_create",
        "write_late",
    ]
    (commit,) = (tmp_path / "out/.fanwise/buckets").glob("*/jobs/*/commits/000001.json")
    assert json.loads(commit.read_bytes())["died"] == "Runtime.ExitError"
    assert run_process(*command, tmp_path / "plain").code == 0
    both = [(tmp_path / out / "predictions.jsonl").read_bytes() for out in ("out", "plain")]
    assert both[0] == both[1]
