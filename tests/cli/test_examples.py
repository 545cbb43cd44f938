"""Some dead letters of each error, and why a job FAILED, where a person looks."""

import io
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cloud_in_process import item, read_lines, write_items
from commands import Ended
from fanwise_cli.examples import Example, examples_of, first_of, lines_of_file, print_examples
from fanwise_cli.terminal import JobConsole

Fanwise = Callable[..., Ended]


def letter(index: int, error: str, message: str = "why", **more: Any) -> bytes:
    """A line of a failures file."""
    failure = {"error": error, "message": message, "stage": "shape", "attempts": 1, "line": index + 1}
    return json.dumps({"index": index, "id": index, **more, "failure": failure}).encode() + b"\n"


def test_up_to_three_of_each_of_the_commonest_errors() -> None:
    lines = [letter(x, "NotANumber") for x in range(10)]
    lines += [letter(10, "NotJson", "the\nline", id="scan-7"), b"no letter\n", b"\xff\n", b'{"index": 3}\n']
    lines += [letter(11, "NotJson", id={"not": "an id"})]
    counts = {"NotANumber": 10, "NotJson": 2, "Gone": 1}
    assert examples_of(iter(lines), {"failures": counts}) == {
        "NotANumber": [Example(f"line {x + 1}, index {x}", "why") for x in range(3)],
        "NotJson": [
            Example("line 11, id scan-7", "the line"),
            Example("line 12, id {'not': 'an id'}", "why"),
        ],
    }
    many = {f"Error{n}": 1 for n in range(7)}
    found = examples_of([letter(n, f"Error{n}") for n in range(7)], {"failures": many})
    assert list(found) == [f"Error{n}" for n in range(5)]


def test_no_more_is_read_than_is_shown() -> None:
    lines = iter([letter(x, "NotJson") for x in range(10)])
    examples_of(lines, {"failures": {"NotJson": 10}})
    assert len(list(lines)) == 7
    examples_of(lines, {"failures": {}})


@pytest.mark.parametrize("of", [{"parent": "job-1"}, {"items_uri": "s3://in/folder/"}])
def test_lines_are_shown_where_a_person_has_them(of: dict[str, Any]) -> None:
    (example,) = examples_of([letter(3, "NotJson", id="a.png")], {"failures": {"NotJson": 1}, **of})[
        "NotJson"
    ]
    assert example.where == "id a.png"


def printed(examples: dict[str, list[Example]], counts: dict[str, int], **console: Any) -> list[str]:
    file = io.StringIO()
    print_examples(JobConsole(file=file, color_system=None, **console), examples, counts)
    return file.getvalue().splitlines()


def test_a_line_fits_the_terminal_and_is_whole_elsewhere() -> None:
    examples = {"NotJson": [Example("line 1, index 0", "the value is wrong " * 20)]}
    head, line = printed(examples, {"NotJson": 2, "Other": 1, "Third": 1}, width=50, force_terminal=True)[:2]
    assert head == "  NotJson 2, such as"
    assert len(line) == 50
    assert line.endswith("…")
    head, line, last = printed(examples, {"NotJson": 1, "Other": 1, "Third": 1}, width=50)
    assert head == "  NotJson 1"
    assert line == "    line 1, index 0  " + "the value is wrong " * 20
    assert last == "  and 2 other kinds"
    assert first_of(examples) == "for example line 1, index 0: NotJson: " + "the value is wrong " * 20
    assert first_of({}) is None
    assert printed({}, {}) == []


def test_a_failures_file_that_is_not_there(tmp_path: Path) -> None:
    assert list(lines_of_file(tmp_path / "failures.jsonl")) == []


def run_words(tmp_path: Path, bundle: Path, items: list[dict[str, Any]]) -> tuple[str | Path, ...]:
    path = write_items(tmp_path / "data/items.jsonl", items)
    return ("run", path, "--model", bundle, "--out", tmp_path / "out")


def test_the_end_of_a_run_shows_errors_that_repeat(fanwise: Fanwise, tmp_path: Path, bundle: Path) -> None:
    items = [item(x, "" if x == 9 else "NotANumber", id=f"row-{x}") for x in range(10)]
    ended = fanwise(*run_words(tmp_path, bundle, items))
    assert ended.code == 3
    assert (
        "  NotANumber 9, such as\n"
        "    line 1, id row-0  as the item ordered: NotANumber\n"
        "    line 2, id row-1  as the item ordered: NotANumber\n"
        "    line 3, id row-2  as the item ordered: NotANumber\n"
    ) in ended.stdout
    assert "line 4" not in ended.stdout
    assert "fanwise replay" not in ended.stdout
    assert f"mend the items in {tmp_path / 'out/failures.jsonl'}" in ended.stdout


def test_quiet_still_says_why_a_job_failed(fanwise: Fanwise, tmp_path: Path, bundle: Path) -> None:
    words = run_words(tmp_path, bundle, [item(x, "NotANumber") for x in range(4)])
    why = (
        "fanwise: the job FAILED: none of 4 items could be predicted (NotANumber 4)\n"
        "fanwise: for example line 1, index 0: NotANumber: as the item ordered: NotANumber\n"
    )
    ended = fanwise(*words, "--quiet")
    assert (ended.code, ended.stdout, ended.stderr) == (1, "", why)
    both = fanwise(*words, "--quiet", "--json")
    assert (both.code, both.stderr) == (1, why)
    assert json.loads(both.stdout)["reason"] == "none of 4 items could be predicted (NotANumber 4)"
    assert fanwise("results", tmp_path / "out", "--quiet") == Ended(1, "", why)


def test_quiet_says_nothing_of_a_job_that_did_not_fail(
    fanwise: Fanwise, tmp_path: Path, bundle: Path
) -> None:
    words = run_words(tmp_path, bundle, [item(1), item(2, "NotANumber")])
    assert fanwise(*words, "--quiet") == Ended(3, "", "")


def test_a_job_that_could_not_be_run_is_one_document_too(
    fanwise: Fanwise, machine: Any, tmp_path: Path, bundle: Path
) -> None:
    words = run_words(tmp_path, bundle, [item(1)])
    machine.before_call = lambda function: (tmp_path / "data/items.jsonl").unlink(missing_ok=True)
    ended = fanwise(*words, "--json", "--quiet")
    document = json.loads(ended.stdout)
    assert (ended.code, document["status"]) == (1, "FAILED")
    assert document["reason"].startswith("ItemsFileError: ")
    assert document["reason"] in ended.stderr
    assert "resume" not in ended.stderr


def test_a_header_that_nearly_matches_is_refused_before_any_work(
    fanwise: Fanwise, machine: Any, tmp_path: Path, bundle: Path
) -> None:
    rows = tmp_path / "data/rows.csv"
    rows.parent.mkdir()
    rows.write_text("id,X,order\n1,2,\n")
    ended = fanwise("run", rows, "--model", bundle, "--out", tmp_path / "out")
    assert (ended.code, ended.stdout, machine.calls) == (2, "", [])
    assert f"{rows}, header: 'X' is not 'x', so every row would lack an input" in ended.stderr


def test_a_large_job_whose_items_all_lack_an_input_ends_at_once(
    fanwise: Fanwise, machine: Any, tmp_path: Path, bundle: Path
) -> None:
    words = run_words(tmp_path, bundle, [{"inputs": {"X": 1}}] * 300)
    ended = fanwise(*words, "--batch-size", "10")
    assert ended.code == 1
    assert "0 of 300 items predicted, 300 missing" in ended.stdout
    assert "MissingInput: none of 64 items drawn over the whole job has a value for" in ended.stdout
    assert "'X' is not 'x'" in ended.stdout
    assert "mend the items file, and run it as another job" in ended.stdout
    assert "resume" not in ended.stdout
    assert machine.calls[:3] == ["PlanJob", "PredictBatch", "AggregateResults"]  # then the closing of it
    assert machine.calls.count("PredictBatch") == 1
    again = fanwise(*words, "--batch-size", "10", "--quiet")
    assert again.code == 1
    assert "fanwise: the job FAILED: MissingInput: none of 64 items" in again.stderr
    refused = fanwise("replay", tmp_path / "out")
    assert refused.code == 2
    assert "mend the items file" in refused.stderr
    assert "resume" not in refused.stderr


def test_the_command_for_mended_items_works_as_printed(
    fanwise: Fanwise, tmp_path: Path, bundle: Path
) -> None:
    scans = tmp_path / "data dir/scans"
    scans.mkdir(parents=True)
    for name, text in (("a", "1"), ("b", "UndecodableImage"), ("c", "UndecodableImage")):
        (scans / name).write_text(text)
    path = write_items(tmp_path / "data dir/items.jsonl", [{"uri": f"scans/{name}"} for name in "abc"])
    ended = fanwise("run", path, "--model", bundle, "--out", tmp_path / "out")
    assert ended.code == 3
    printed = shlex.split(ended.stdout.rpartition("run it as an items file: ")[2])
    assert printed[:2] == ["fanwise", "run"]
    given = {"MODEL": str(bundle), "ANOTHER": str(tmp_path / "other")}
    words = [given.get(word, word) for word in printed[1:]]
    (scans / "b").write_text("2")  # mended
    again = fanwise(*words)
    assert again.code == 3
    assert [line["id"] for line in read_lines(tmp_path / "other/predictions.jsonl")] == [1]
    assert [line["failure"]["error"] for line in read_lines(tmp_path / "other/failures.jsonl")] == [
        "UndecodableImage"
    ]
