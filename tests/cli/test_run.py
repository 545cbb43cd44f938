"""`fanwise run`: what it reads, what it leaves, what it prints where; the same again, another, anew."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cloud_in_process import Machine, item, read_lines, write_bundle, write_items
from commands import Ended, command, run_process
from fanwise_cli.home import JobHome

Fanwise = Callable[..., Ended]


@pytest.fixture
def items(tmp_path: Path) -> Path:
    return write_items(tmp_path / "data/items.jsonl", [item(x, id=f"row-{x}", kept=x) for x in range(10)])


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def words(items: Path, bundle: Path, out: Path) -> tuple[str | Path, ...]:
    """A command that is right."""
    return ("run", items, "--model", bundle, "--out", out)


def job_of(out: Path) -> dict[str, Any]:
    """The plan that OUT has."""
    (path,) = out.glob(".fanwise/buckets/*/jobs/*/job.json")
    job: dict[str, Any] = json.loads(path.read_bytes())
    return job


def results(out: Path) -> tuple[bytes, bytes]:
    return (out / "predictions.jsonl").read_bytes(), (out / "failures.jsonl").read_bytes()


# What it leaves and prints.


def test_what_a_job_leaves(fanwise: Fanwise, words: tuple[str | Path, ...], out: Path) -> None:
    ended = fanwise(*words)
    assert ended.code == 0
    assert sorted(path.name for path in out.iterdir()) == [
        ".fanwise",
        "failures.jsonl",
        "predictions.jsonl",
        "summary.json",
    ]
    first, *_ = read_lines(out / "predictions.jsonl")
    assert first == {"index": 0, "id": "row-0", "prediction": {"y": 1.0}, "item": {"kept": 0}}
    assert str(out / "predictions.jsonl") in ended.stdout
    assert "10/10 items" in ended.stderr


def test_json_prints_one_document_and_all_else_goes_to_stderr(
    fanwise: Fanwise, words: tuple[str | Path, ...], out: Path
) -> None:
    summary = fanwise(*words, "--json")
    assert json.loads(summary.stdout) == json.loads((out / "summary.json").read_bytes())
    assert "planning" not in summary.stdout
    assert "10/10 items" in summary.stderr
    same = fanwise(*words, "--json")
    assert same.stdout == summary.stdout
    assert "nothing was run" in same.stderr


def test_quiet_prints_nothing(fanwise: Fanwise, words: tuple[str | Path, ...], items: Path) -> None:
    write_items(items, [item(1), item(2, "NotFinite")])
    assert fanwise(*words, "--quiet") == Ended(3, "", "")
    assert fanwise(*words, "--quiet") == Ended(3, "", "")
    both = fanwise(*words, "--quiet", "--json")
    assert (json.loads(both.stdout)["status"], both.stderr) == ("PARTIALLY_FAILED", "")


def test_what_libraries_log_is_kept_from_the_terminal(
    fanwise: Fanwise, words: tuple[str | Path, ...], machine: Machine, out: Path
) -> None:
    def log(function: str) -> None:
        logging.getLogger("a.library").warning("of no interest while %s works", function)

    machine.before_call = log
    before = list(logging.getLogger().handlers)
    ended = fanwise(*words)
    assert "interest" not in ended.stdout + ended.stderr
    assert "of no interest while PlanJob works" in (out / ".fanwise/logs/fanwise.log").read_text()
    assert logging.getLogger().handlers == before


# The same command again, another one, and anew.


def test_the_same_command_again_runs_nothing(
    fanwise: Fanwise, words: tuple[str | Path, ...], machine: Machine, out: Path
) -> None:
    first = fanwise(*words)
    # Not folders: what the items file holds may be remembered now, where it had just been written before.
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    again = fanwise(*words, "--batch-size", "3", "--max-concurrency", "2", "--environments", "1")
    assert (machine.clouds, again.code, again.stdout) == (1, 0, first.stdout)
    assert again.stderr == f"{out} holds this job already; nothing was run (--again runs it anew)\n"
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*") if path in before} == before


def test_the_same_command_again_ends_with_the_same_code(
    fanwise: Fanwise, words: tuple[str | Path, ...], machine: Machine, items: Path
) -> None:
    write_items(items, [item(1, "NotFinite")])
    assert [fanwise(*words).code for _ in range(2)] == [1, 1]
    assert machine.clouds == 1


@pytest.mark.parametrize("name", ["predictions.jsonl", "failures.jsonl", "summary.json"])
def test_results_that_were_removed_are_brought_home_again(
    fanwise: Fanwise, words: tuple[str | Path, ...], machine: Machine, out: Path, name: str
) -> None:
    fanwise(*words)
    before = results(out)
    (out / name).unlink()
    machine.calls.clear()
    assert fanwise(*words).code == 0
    assert "PredictBatch" not in machine.calls
    assert results(out) == before


def test_again_runs_it_anew(
    fanwise: Fanwise, words: tuple[str | Path, ...], machine: Machine, out: Path
) -> None:
    fanwise(*words, "--again")  # nothing to run again: a first run
    before, summary = results(out), json.loads((out / "summary.json").read_bytes())
    for _ in range(2):
        machine.calls.clear()
        assert fanwise(*words, "--again").code == 0
        assert "PredictBatch" in machine.calls
        assert results(out) == before
        assert json.loads((out / "summary.json").read_bytes())["job_id"] != summary["job_id"]
        assert len(list(out.glob(".fanwise/buckets/*/jobs/*"))) == 1  # what was before is gone
    machine.calls.clear()
    assert fanwise(*words).code == 0
    assert machine.calls == []


def test_another_job_into_a_used_out_is_refused(
    fanwise: Fanwise, words: tuple[str | Path, ...], tmp_path: Path, items: Path, bundle: Path, out: Path
) -> None:
    fanwise(*words)
    before = results(out)
    other_model = write_bundle(tmp_path / "other", weights="others")
    other_items = write_items(items.with_name("others.jsonl"), [item(1)])
    for another in (
        ("run", other_items, "--model", bundle, "--out", out),
        ("run", items, "--model", other_model, "--out", out),
        (*words, "--name", "nightly"),
        (*words, "--tolerate", "5"),
    ):
        for again in ((), ("--again",)):
            ended = fanwise(*another, *again)
            assert ended.code == 2
            assert "holds another job" in ended.stderr
    assert results(out) == before
    with items.open("a") as file:
        file.write('{"inputs": {"x": 99}}\n')
    assert fanwise(*words).code == 2


def test_out_that_another_command_works_in_is_refused(
    fanwise: Fanwise, words: tuple[str | Path, ...], out: Path
) -> None:
    with JobHome(out).held():
        ended = fanwise(*words)
        assert ended.code == 2
        assert ended.stderr == (
            f"fanwise: {out}: another fanwise is at work there; wait for it or choose another --out\n"
        )
    assert fanwise(*words).code == 0


# The same results however the work is done.


def test_results_do_not_depend_on_how_the_work_is_cut(
    fanwise: Fanwise, words: tuple[str | Path, ...], tmp_path: Path, items: Path, bundle: Path
) -> None:
    write_items(items, [item(x, "NotFinite" if x % 7 == 3 else "") for x in range(40)])
    found = []
    for number, (batch_size, environments) in enumerate([(1, 1), (3, 2), (16, 4), (100_000, 1), ("auto", 2)]):
        out = tmp_path / f"out-{number}"
        how = ("--batch-size", str(batch_size), "--environments", str(environments))
        assert fanwise("run", items, "--model", bundle, "--out", out, *how).code == 3
        found.append(results(out))
    assert len(set(found)) == 1


def test_an_item_that_kills_its_process_fails_alone(
    fanwise: Fanwise, words: tuple[str | Path, ...], items: Path, out: Path
) -> None:
    write_items(items, [item(x, "die" if x == 5 else "") for x in range(12)])
    ended = fanwise(*words)
    assert ended.code == 3
    (line,) = read_lines(out / "failures.jsonl")
    assert (line["index"], line["failure"]["error"]) == (5, "Runtime.ExitError")
    assert "died and were cut" in ended.stdout
    assert "(round 2)" in ended.stderr


# What it reads.


def test_a_manifests_words_and_options_over_them(
    fanwise: Fanwise, machine: Machine, tmp_path: Path, items: Path, bundle: Path, out: Path
) -> None:
    manifest = items.with_name("job.json")
    said = {"batch_size": 3, "max_concurrency": 7, "name": "nightly", "tolerated_failure_percentage": 20}
    manifest.write_text(json.dumps({"items": "items.jsonl", "model": "../arithmetic", **said}))
    assert fanwise("run", manifest, "--out", out).code == 0
    job = job_of(out)
    assert {key: job[key] for key in said} == said
    over = ("--batch-size", "auto", "--max-concurrency", "8", "--name", "daily", "--tolerate", "0.5")
    how = (*over, "--runtime", "tensorflow", "--environments", "3")
    assert fanwise("run", manifest, "--out", tmp_path / "over", *how).code == 0
    job = job_of(tmp_path / "over")
    assert (job["batch_size"], job["max_concurrency"], job["name"]) == (256, 8, "daily")
    assert job["tolerated_failure_percentage"] == 0.5
    assert machine.environments == [None, 3]
    other = write_bundle(tmp_path / "other", weights="others")
    assert fanwise("run", manifest, "--out", tmp_path / "other-out", "--model", other).code == 0
    assert job_of(tmp_path / "other-out")["model"]["name"] == "other"


def test_what_a_manifest_names_is_relative_to_it(
    fanwise: Fanwise, items: Path, bundle: Path, out: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "jobs").mkdir()
    monkeypatch.chdir(tmp_path / "jobs")
    manifest = Path("../data/job.JSON")
    manifest.write_text('{"items": "items.jsonl", "model": "../arithmetic"}')
    assert fanwise("run", manifest, "--out", "out").code == 0
    assert len(read_lines(tmp_path / "jobs/out/predictions.jsonl")) == 10


def test_a_folder_by_itself_and_by_a_manifest(
    fanwise: Fanwise, tmp_path: Path, bundle: Path, out: Path
) -> None:
    folder = tmp_path / "scans"
    (folder / "more").mkdir(parents=True)
    for name in ("b", "a", "more/c", ".hidden", "_SUCCESS"):
        (folder / name).write_text("4")
    expected = ["a", "b", "more/c"]
    assert fanwise("run", folder, "--model", bundle, "--out", out).code == 0
    lines = read_lines(out / "predictions.jsonl")
    assert [line["id"] for line in lines] == expected
    assert [line["prediction"]["y"] for line in lines] == [9.0] * 3
    manifest = tmp_path / "job.json"
    manifest.write_text('{"items": "scans/", "model": "arithmetic"}')
    assert fanwise("run", manifest, "--out", tmp_path / "out2").code == 0
    assert [line["id"] for line in read_lines(tmp_path / "out2/predictions.jsonl")] == expected


def test_dots_for_items_and_model(
    fanwise: Fanwise, tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans/a").write_text("1")
    monkeypatch.chdir(tmp_path / "scans")
    assert fanwise("run", ".", "--model", "../arithmetic", "--out", "../out").code == 0
    monkeypatch.chdir(bundle)
    assert fanwise("run", "../scans", "--model", ".", "--out", "../out2").code == 0


def test_csv_with_quoted_line_breaks(fanwise: Fanwise, tmp_path: Path, bundle: Path, out: Path) -> None:
    path = tmp_path / "data/items.csv"
    path.parent.mkdir()
    path.write_bytes(b'id,x,note\r\na,1,"two\r\nlines"\r\nb,2,\r\n')
    assert fanwise("run", path, "--model", bundle, "--out", out, "--batch-size", "1").code == 0
    assert [(line["id"], line["prediction"]["y"]) for line in read_lines(out / "predictions.jsonl")] == [
        ("a", 3.0),
        ("b", 5.0),
    ]


@pytest.mark.parametrize("name", ["My Scans", "Überprüfung", "DATA", "x", "a_b", ".hidden", "ü", "n" * 100])
def test_folders_whose_names_are_no_bucket_names(
    fanwise: Fanwise, tmp_path: Path, bundle: Path, name: str
) -> None:
    items = write_items(tmp_path / name / "my items (1).jsonl", [{"uri": "scans/é 1.txt"}])
    (tmp_path / name / "scans").mkdir()
    (tmp_path / name / "scans/é 1.txt").write_text("3")
    out = tmp_path / name / "out"
    ended = fanwise("run", items, "--model", bundle, "--out", out)
    assert ended.code == 0, ended
    assert read_lines(out / "predictions.jsonl")[0]["prediction"] == {"y": 7.0}


def test_a_symlink_is_what_it_names(fanwise: Fanwise, tmp_path: Path, bundle: Path, out: Path) -> None:
    write_items(tmp_path / "real/items.jsonl", [{"uri": "scan"}])
    (tmp_path / "real/scan").write_text("3")
    (tmp_path / "here").mkdir()
    (tmp_path / "here/link.jsonl").symlink_to("../real/items.jsonl")
    assert fanwise("run", tmp_path / "here/link.jsonl", "--model", bundle, "--out", out).code == 0
    (tmp_path / "folder").symlink_to("real")
    assert fanwise("run", tmp_path / "folder/items.jsonl", "--model", bundle, "--out", out).code == 0
    assert read_lines(out / "predictions.jsonl")[0]["prediction"] == {"y": 7.0}


def test_items_in_a_folder_that_may_only_be_read(
    fanwise: Fanwise, words: tuple[str | Path, ...], items: Path
) -> None:
    items.chmod(0o400)
    items.parent.chmod(0o500)
    try:
        assert fanwise(*words).code == 0
    finally:
        items.parent.chmod(0o700)


def test_failures_are_an_items_file(fanwise: Fanwise, tmp_path: Path, bundle: Path, out: Path) -> None:
    own = {"index": 500, "failure": "engine broke", "raw": 3, "item": {"sku": 1}}
    given = [{"id": name, "uri": f"scans/{name}", "label": name, **own} for name in ("a", "b", "c")]
    items = write_items(tmp_path / "data/items.jsonl", [*given, {"id": "d"}])
    (tmp_path / "data/scans").mkdir()
    (tmp_path / "data/scans/b").write_text("1")
    assert fanwise("run", items, "--model", bundle, "--out", out).code == 3
    failures = read_lines(out / "failures.jsonl")
    assert [line["uri"] for line in failures[:2]] == ["s3://data/scans/a", "s3://data/scans/c"]
    (tmp_path / "data/scans/a").write_text("5")
    (tmp_path / "data/scans/c").write_text("6")
    words = ("run", out / "failures.jsonl", "--model", bundle)
    assert fanwise(*words, "--out", tmp_path / "unmounted").code == 1
    why = read_lines(tmp_path / "unmounted/failures.jsonl")[0]["failure"]["message"]
    assert "s3://data/scans/a is outside of what this job may read" in why
    assert "--root DIR" in why
    ended = fanwise(*words, "--root", tmp_path / "data", "--out", tmp_path / "again")
    assert ended.code == 3, ended
    lines = read_lines(tmp_path / "again/predictions.jsonl")
    assert [(line["id"], line["prediction"]["y"], line["item"]["label"]) for line in lines] == [
        ("a", 11.0, "a"),
        ("c", 13.0, "c"),
    ]
    assert all({name: line["item"][name] for name in own} == own for line in lines)
    assert all(line["item"].keys() == {"uri", "label", *own} for line in lines)


def test_quotes_that_are_wrong_never_end_as_succeeded(
    fanwise: Fanwise, tmp_path: Path, bundle: Path, out: Path
) -> None:
    path = tmp_path / "data/items.csv"
    path.parent.mkdir()
    path.write_bytes(b'id,x,note\na,1,"6\x1b[31m inch\nb,2,third row\nc,3,"7 inch"\nd,4,fine\n')
    ended = fanwise("run", path, "--model", bundle, "--out", out)
    assert ended.code == 3
    (line,) = read_lines(out / "predictions.jsonl")
    (letter,) = read_lines(out / "failures.jsonl")
    assert (line["id"], line["prediction"]["y"]) == ("d", 9.0)
    assert letter["raw"] == 'a,1,"6\x1b[31m inch\nb,2,third row\nc,3,"7 inch"'
    assert letter["failure"]["message"].startswith(
        "line 2 opens a quote that line 4 closes with text after it; 2 lines lie inside"
    )
    assert fanwise("verify", out).code == 0


def test_names_with_control_characters_reach_no_terminal(
    fanwise: Fanwise, tmp_path: Path, bundle: Path
) -> None:
    out = tmp_path / "o\x1b[31mu\u202et"
    items = write_items(tmp_path / "da\x1b[31mta/it\u202eems.jsonl", [{"inputs": {"x": 1}}, {"id": "\x9b2J"}])
    ended = fanwise("run", items, "--model", bundle, "--out", out)
    said = ended.stdout + ended.stderr
    assert ended.code == 3
    assert r"o\x1b[31mu\u202et/predictions.jsonl" in said
    assert not {"\x1b", "\x9b", "\u202e"} & {*said}


# As a process: readers that leave, terminals of another encoding, and the time it takes to begin.


@pytest.fixture
def done(fanwise: Fanwise, words: tuple[str | Path, ...]) -> list[str]:
    """A command whose job is done: it prints, and runs nothing."""
    fanwise(*words)
    return command(*words)


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_reader_that_leaves_is_no_error(done: list[str], options: list[str]) -> None:
    for closed in ("stdout", "stderr"):
        read, write = os.pipe()
        os.close(read)
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, closed: write}
        ended = subprocess.run([*done, *options], **streams, check=False, timeout=60)  # type: ignore[call-overload]
        os.close(write)
        assert ended.returncode == 0
        assert b"Traceback" not in (ended.stderr or b"") + (ended.stdout or b"")
        assert b"Broken pipe" not in (ended.stderr or b"")


@pytest.mark.parametrize("closing", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("options", [[], ["--json"], ["--tolerate", "101"]])
def test_streams_that_are_closed_are_no_error(done: list[str], closing: str, options: list[str]) -> None:
    shell = ["sh", "-c", f'exec "$@" {closing}', "sh", *done, *options]
    ended = subprocess.run(shell, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == (2 if "--tolerate" in options else 0)
    assert "Traceback" not in ended.stdout + ended.stderr


def test_a_terminal_of_another_encoding(done: list[str]) -> None:
    ascii_only = os.environ | {"PYTHONIOENCODING": "ascii"}
    ended = subprocess.run(done, env=ascii_only, capture_output=True, check=False, timeout=60)
    assert ended.returncode == 0
    assert ended.stdout.startswith(b"? SUCCEEDED  10 of 10 items")
    ended = subprocess.run([*done, "--json"], env=ascii_only, capture_output=True, check=False, timeout=60)
    assert json.loads(ended.stdout)["status"] == "SUCCEEDED"


def test_a_job_that_is_done_starts_no_process_and_imports_no_model_library(
    done: list[str],
) -> None:
    code = (
        "import subprocess, sys\n"
        "subprocess.Popen = None\n"
        "from fanwise_cli.main import main\n"
        "code = main(sys.argv[1:])\n"
        "sys.exit(code or any(name in sys.modules for name in ('tensorflow', 'keras', 'PIL', 'boto3')))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, *done[3:]], capture_output=True, text=True, check=False, timeout=60
    )
    assert (ended.returncode, ended.stdout[:11]) == (0, "✔ SUCCEEDED"), ended


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["--version"], []])
def test_help_imports_nothing_of_the_work(words: list[str]) -> None:
    code = (
        "import sys\n"
        "from fanwise_cli.main import main\n"
        "code = main(sys.argv[1:])\n"
        "heavy = ('aiohttp', 'asyncio', 'fanwise_local', 'jsonata', 'numpy', 'obstore', 'msgspec')\n"
        "print([name for name in heavy if name in sys.modules], file=sys.stderr)\n"
        "sys.exit(code)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == (0 if words else 2)
    assert ended.stderr == "[]\n"
    assert "fanwise" in ended.stdout


def test_the_module_is_the_command() -> None:
    assert run_process("--version").stdout.startswith("fanwise 0.")
    assert run_process("run").code == 2
