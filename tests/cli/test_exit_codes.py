"""Each exit code, and for each kind of bad input one line: the file, the place, the remedy. Never a traceback."""

import gzip
import json
import os
import resource
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cloud_in_process import Machine, item, read_lines, write_items
from commands import Ended, run_process
from fanwise.errors import ModelError

Fanwise = Callable[..., Ended]


def refused(ended: Ended, *says: str | Path) -> None:
    """Assert that the command ended before any work, with one line that says these."""
    assert ended.code == 2, ended
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert line.startswith("fanwise: ")
    assert "Traceback" not in line
    for text in says:
        assert str(text) in line


@pytest.fixture
def items(tmp_path: Path) -> Path:
    return write_items(tmp_path / "data/items.jsonl", [item(x) for x in range(10)])


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


# What a job comes to, on a machine that needs no TensorFlow.


def test_0_every_item_predicted(fanwise: Fanwise, items: Path, bundle: Path, out: Path) -> None:
    ended = fanwise("run", items, "--model", bundle, "--out", out)
    assert ended.code == 0
    assert "SUCCEEDED" in ended.stdout
    lines = read_lines(out / "predictions.jsonl")
    assert [line["index"] for line in lines] == list(range(10))
    assert [line["prediction"] for line in lines] == [{"y": 2.0 * x + 1} for x in range(10)]
    assert (out / "failures.jsonl").read_bytes() == b""


@pytest.mark.parametrize("text", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_0_no_items(fanwise: Fanwise, items: Path, bundle: Path, out: Path, text: bytes) -> None:
    items.write_bytes(text)
    ended = fanwise("run", items, "--model", bundle, "--out", out)
    assert ended.code == 0
    assert "SUCCEEDED  there were no items to predict" in ended.stdout
    assert json.loads((out / "summary.json").read_bytes())["items"]["total"] == 0
    assert (out / "predictions.jsonl").read_bytes() == b""


def test_0_a_folder_without_files(fanwise: Fanwise, tmp_path: Path, bundle: Path, out: Path) -> None:
    folder = tmp_path / "scans"
    (folder / ".hidden").mkdir(parents=True)
    (folder / ".hidden/scan").write_text("1")
    (folder / "_SUCCESS").touch()
    ended = fanwise("run", folder, "--model", bundle, "--out", out)
    assert ended.code == 0
    assert "there were no items" in ended.stdout


def test_3_some_dead_letters(fanwise: Fanwise, tmp_path: Path, bundle: Path, out: Path) -> None:
    items = write_items(tmp_path / "data/items.jsonl", [item(1), item(2, "NotFinite"), item(3)])
    ended = fanwise("run", items, "--model", bundle, "--out", out)
    assert ended.code == 3
    assert "PARTIALLY_FAILED  2 of 3 items predicted, 1 dead letter" in ended.stdout
    assert "NotFinite 1" in ended.stdout


def test_1_beyond_what_is_tolerated(fanwise: Fanwise, tmp_path: Path, bundle: Path, out: Path) -> None:
    items = write_items(tmp_path / "data/items.jsonl", [item(1), item(2, "NotFinite"), item(3)])
    ended = fanwise("run", items, "--model", bundle, "--out", out, "--tolerate", "33")
    assert ended.code == 1
    assert "FAILED  2 of 3 items predicted, 1 dead letter" in ended.stdout
    assert "33 % are tolerated" in ended.stdout
    assert len((out / "predictions.jsonl").read_bytes().splitlines()) == 2
    again = fanwise("run", items, "--model", bundle, "--out", tmp_path / "out2", "--tolerate", "33.4")
    assert again.code == 3


def test_1_nothing_predicted(fanwise: Fanwise, tmp_path: Path, bundle: Path, out: Path) -> None:
    items = write_items(tmp_path / "data/items.jsonl", [item(x, "UndecodableImage") for x in range(3)])
    ended = fanwise("run", items, "--model", bundle, "--out", out)
    assert ended.code == 1
    assert "none of 3 items could be predicted (UndecodableImage 3)" in ended.stdout


@pytest.mark.parametrize("batch_size", [5, 1])
def test_1_the_model_does_not_load(
    fanwise: Fanwise, machine: Machine, tmp_path: Path, bundle: Path, out: Path, batch_size: int
) -> None:
    items = write_items(tmp_path / "data/items.jsonl", [item(x) for x in range(30)])
    machine.load_fails = ModelError("saved_model.pb: truncated")
    words = ("run", items, "--model", bundle, "--out", out, "--batch-size", str(batch_size))
    ended = fanwise(*words)
    assert ended.code == 1
    assert "ModelError: saved_model.pb: truncated" in ended.stdout
    assert "0 of 30 items predicted, 30 missing" in ended.stdout
    assert "mend the model, and run the items with it as another job: fanwise run" in ended.stdout
    assert "resume" not in ended.stdout  # the model is pinned: the same again comes to the same
    machine.load_fails = None
    assert fanwise(*words).code == 0


def test_1_the_job_cannot_even_be_planned(
    fanwise: Fanwise, machine: Machine, items: Path, bundle: Path, out: Path
) -> None:
    def change_items(function: str) -> None:
        if function == "PlanJob":
            write_items(items, [item(1)])
            items.rename(items.with_name("gone.jsonl"))

    machine.before_call = change_items
    ended = fanwise("run", items, "--model", bundle, "--out", out)
    assert (ended.code, ended.stdout) == (1, "")
    why, logs = [line for line in ended.stderr.splitlines() if not line.startswith(("planning", "acc"))]
    assert "the job could not be run: ItemsFileError: " in why
    assert "there is no such items file" in why
    assert str(out / ".fanwise/logs") in logs


def test_1_what_nobody_foresaw_is_one_line_unless_asked_for(
    fanwise: Fanwise,
    machine: Machine,
    items: Path,
    bundle: Path,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def bug(*_: object, **__: object) -> None:
        raise ZeroDivisionError("nobody\nforesaw this")

    monkeypatch.setattr(machine, "cloud", bug)
    monkeypatch.setattr("fanwise_cli.run.LocalCloud", bug)
    ended = fanwise("run", items, "--model", bundle, "--out", out)
    assert ended.code == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith("fanwise: ZeroDivisionError: nobody foresaw this (a defect of fanwise")
    monkeypatch.setenv("FANWISE_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        fanwise("run", items, "--model", bundle, "--out", out)


# Input that stops the command before any work.


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("items.txt", b"1\n", ".jsonl, .ndjson, .csv"),
        ("items", b"1\n", ".jsonl, .ndjson, .csv"),
        ("items.jsonl.gz", b"\x1f\x8b", "gunzip items.jsonl.gz"),
        ("items.csv.zst", b"", "unzstd items.csv.zst"),
        ("items.csv", b"", "header"),
        ("items.csv", b"x,x\n1,2\n", "'x'"),
        ("items.csv", b"a,b\n1,2\n", "data/items.csv"),
        ("items.csv", b'id,"x\n1,2\n3,4\n', "line 1 opens a quote that is never closed; 2 lines lie inside"),
        ("items.jsonl", '{"inputs": {"x": 1}}\n'.encode("utf-16"), "iconv -f UTF-16LE"),
        ("items.csv", "id,x\na,1\n".encode("utf-16-be"), "iconv -f UTF-16BE"),
        ("items.jsonl", gzip.compress(b'{"inputs": {"x": 1}}\n', mtime=0), "gunzip < items.jsonl"),
    ],
)
def test_2_items_files_that_cannot_be_read(
    fanwise: Fanwise, tmp_path: Path, bundle: Path, out: Path, name: str, text: bytes, says: str
) -> None:
    path = tmp_path / "data" / name
    path.parent.mkdir()
    path.write_bytes(text)
    refused(fanwise("run", path, "--model", bundle, "--out", out), path, says)
    assert not out.exists()


def test_2_no_items(fanwise: Fanwise, tmp_path: Path, bundle: Path, out: Path) -> None:
    words = ("--model", bundle, "--out", out)
    refused(
        fanwise("run", tmp_path / "nope.jsonl", *words), tmp_path / "nope.jsonl", "no such file or folder"
    )
    refused(fanwise("run", "x" * 300, *words), "File name too long")
    (tmp_path / "link.jsonl").symlink_to("nowhere.jsonl")
    refused(fanwise("run", tmp_path / "link.jsonl", *words), "link.jsonl: no such file")
    assert not out.exists()


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        ("{", ["job.json, line 1, column 2"]),
        ("[]", ["one JSON object"]),
        (
            '{"items": "items.jsonl",\n "model": "arithmetic", "batchsize": 3}',
            ['"batchsize"', '"batch_size"?'],
        ),
        (
            '{"items": "items.jsonl", "model": "arithmetic", "max_concurrency": 20000}',
            ["max_concurrency", "20000", "at most 10000"],
        ),
        ('{"items": "items.jsonl", "model": "arithmetic", "runtime": "onnx"}', ["runtime", "litert"]),
        ('{"items": "items.jsonl"}', ['"model" is missing']),
        ('{"model": "arithmetic"}', ['"items" is missing']),
        ('{"items": "nope.jsonl", "model": "arithmetic"}', ['"items"', "nope.jsonl", "does not exist"]),
        ('{"items": "../x.jsonl", "model": "arithmetic"}', ['"items"']),
        ('{"items": "s3://bucket/x.jsonl", "model": "arithmetic"}', ["not on this machine"]),
        ('{"items": "items.jsonl", "model": "digits@3"}', ['"model"', "digits@3", "--model DIR"]),
    ],
)
def test_2_manifests(
    fanwise: Fanwise, items: Path, bundle: Path, out: Path, manifest: str, says: list[str]
) -> None:
    path = items.with_name("job.json")
    path.write_text(manifest)
    refused(fanwise("run", path, "--out", out), path, *says)
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--batch-size", "0"], ["--batch-size", "at least 1"]),
        (["--batch-size", "-3"], ["--batch-size", "-3"]),
        (["--batch-size", "x"], ["--batch-size", '"x"', "1 to 100,000", "auto"]),
        (["--batch-size", "²"], ["--batch-size", "1 to 100,000"]),
        (["--batch-size", "1.5"], ["--batch-size", "1 to 100,000"]),
        (["--batch-size", "100001"], ["--batch-size", "100001", "at most 100000"]),
        (["--max-concurrency", "0"], ["--max-concurrency", "at least 1"]),
        (["--max-concurrency", "10001"], ["--max-concurrency", "at most 10000"]),
        (["--max-concurrency", "many"], ["--max-concurrency"]),
        (["--tolerate", "101"], ["--tolerate", "101", "0 to 100"]),
        (["--tolerate", "-1"], ["--tolerate", "-1", "0 to 100"]),
        (["--tolerate", "nan"], ["--tolerate", "0 to 100"]),
        (["--tolerate", "some"], ["--tolerate"]),
        (["--runtime", "litert"], ["litert", "it is for tensorflow"]),
        (["--runtime", "onnx"], ["--runtime", "onnx", "auto, tensorflow, litert"]),
        (["--name", ""], ["--name"]),
        (["--name", "x" * 201], ["--name", "200 characters"]),
        (["--environments", "0"], ["--environments", "1"]),
        (["--environments", "x"], ["--environments"]),
        (["--root", "/no/such/folder"], ["--root", "/no/such/folder", "no folder"]),
        (["--root", "other=/no/such/folder"], ["--root", "/no/such/folder"]),
        (["--root", "No_Name=."], ["--root", "No_Name", "no bucket's name"]),
        (["--root", "ab=."], ["'ab'", "3 to 63"]),
        (["--frobnicate"], ["--frobnicate", "fanwise --help"]),
        (["another"], ["another"]),
    ],
)
def test_2_options(
    fanwise: Fanwise, items: Path, bundle: Path, out: Path, words: list[str], says: list[str]
) -> None:
    refused(fanwise("run", items, "--model", bundle, "--out", out, *words), *says)
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["submit", "", "--model", "m@1"], "there is an empty word after submit; is a variable"),
        (["results", "j", "--out", ""], "there is an empty word after --out; is a variable"),
        (["run", "", "--out", "o"], "there is an empty word after run; is a variable"),
        ([""], "there is an empty word; is a variable of the shell not set?"),
    ],
)
def test_2_an_empty_word_is_not_this_folder(fanwise: Fanwise, words: list[str], says: str) -> None:
    ended = fanwise(*words)
    assert ended.code == 2
    assert says in ended.stderr
    assert ended.stdout == ""


def test_2_words_that_are_missing(fanwise: Fanwise, items: Path, bundle: Path, out: Path) -> None:
    refused(fanwise("run", items, "--model", bundle), "--out")
    refused(fanwise("run", "--model", bundle, "--out", out), "items")
    refused(fanwise("run", items, "--out", out), items, "which model?", "--model DIR")
    refused(fanwise("rnu"), "'rnu'", "'run'")


def test_2_two_roots_of_one_name(
    fanwise: Fanwise, tmp_path: Path, items: Path, bundle: Path, out: Path
) -> None:
    other = tmp_path / "elsewhere/data"
    other.mkdir(parents=True)
    words = ("run", items, "--model", bundle, "--out", out)
    refused(fanwise(*words, "--root", other), other, "'data'", "--root NAME=")
    assert fanwise(*words, "--root", f"more={other}").code == 0


def test_2_models(fanwise: Fanwise, tmp_path: Path, items: Path, bundle: Path, out: Path) -> None:
    def model(path: Path) -> Ended:
        return fanwise("run", items, "--model", path, "--out", out)

    refused(model(tmp_path / "nope"), tmp_path / "nope", "no such file or folder", ".keras")
    refused(model(items), items, ".keras")
    refused(model(items.parent), items.parent, "holds no model")
    (bundle / "weights.txt").write_text("others")
    refused(model(bundle), bundle / "weights.txt", "changed since", "delete")
    (bundle / "model.json").write_text('{"inputs": {')
    refused(model(bundle), bundle / "model.json")
    assert not out.exists()


def test_2_out(fanwise: Fanwise, tmp_path: Path, items: Path, bundle: Path, out: Path) -> None:
    def into(out: Path) -> Ended:
        return fanwise("run", items, "--model", bundle, "--out", out)

    refused(into(items), items, "cannot be written to", "--out")
    refused(into(items / "below"), "cannot be written to", "--out")
    refused(into(items.parent), items.parent, "'items.jsonl'", "choose another --out")
    assert [path.name for path in items.parent.iterdir()] == ["items.jsonl"]
    assert into(out).code == 0
    write_items(items, [item(1)])
    refused(into(out), items, "its content has changed since", "choose another --out, or --again")
    (out / ".fanwise/home.json").write_text("")
    refused(into(out), out / ".fanwise/home.json", "damaged")


def test_2_out_inside_of_the_items(fanwise: Fanwise, tmp_path: Path, bundle: Path) -> None:
    folder = tmp_path / "scans"
    folder.mkdir()
    (folder / "a").write_text("1")
    for out in (folder, folder / "out", folder / "below/out"):
        refused(fanwise("run", folder, "--model", bundle, "--out", out), "is an item", "choose another --out")
    assert not list(folder.rglob("out"))
    assert fanwise("run", folder / "a", "--model", bundle, "--out", folder / "out").code == 2  # no items file


def test_2_where_prepared_models_cannot_be_kept(
    fanwise: Fanwise, items: Path, bundle: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FANWISE_CACHE_DIR", str(items / "cache"))
    refused(
        fanwise("run", items, "--model", bundle, "--out", out), items / "cache", "set FANWISE_CACHE_DIR to"
    )


def test_2_what_may_not_be_read(
    fanwise: Fanwise, tmp_path: Path, items: Path, bundle: Path, out: Path
) -> None:
    items.chmod(0)
    if os.access(items, os.R_OK):
        pytest.skip("root may read everything")
    items.chmod(0o600)
    words = ("--model", bundle, "--out", out)
    manifest = tmp_path / "job.json"
    manifest.write_text("{}")
    for path in (items, manifest, items.parent):
        path.chmod(0)
        try:
            refused(fanwise("run", path if path != items.parent else items, *words), path)
        finally:
            path.chmod(0o700)
    out.mkdir(mode=0o500)
    refused(fanwise("run", items, *words), out, "cannot be written to")


# The same by processes, on the real local cloud, with TensorFlow.


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty items of the tabular model, three of them bad."""
    items = [{"id": f"row-{i}", "inputs": {"age": i, "history": [i, 1, 2]}, "kept": i} for i in range(60)]
    items[7]["inputs"] = {"age": 1}
    items[8]["inputs"] = {"age": "old", "history": [1, 2, 3]}
    items[59]["inputs"] = {"age": 1, "history": [1, 2, 3, 4]}
    return write_items(tmp_path_factory.mktemp("rows") / "rows.jsonl", items)


@pytest.fixture(scope="module")
def tabular(made_models: Path) -> Path:
    return made_models / "tabular"


@pytest.fixture(scope="module")
def partly_failed(rows: Path, tabular: Path) -> tuple[Path, Ended]:
    """A job of which some items are dead letters: where, and how the command ended."""
    out = rows.with_name("out")
    return out, run_process("run", rows, "--model", tabular, "--out", out, "--batch-size", "7")


def test_3_by_a_process(partly_failed: tuple[Path, Ended]) -> None:
    out, ended = partly_failed
    assert ended.code == 3, ended
    assert "57 of 60 items predicted, 3 dead letters" in ended.stdout
    assert "Traceback" not in ended.stderr
    summary = json.loads((out / "summary.json").read_bytes())
    assert summary["failures"] == {"MissingInput": 1, "NotANumber": 1, "ShapeMismatch": 1}
    assert [line["index"] for line in read_lines(out / "failures.jsonl")] == [7, 8, 59]


def test_0_by_a_process_and_the_same_bytes_however_the_work_is_done(
    partly_failed: tuple[Path, Ended], rows: Path, tabular: Path, tmp_path: Path
) -> None:
    before, _ = partly_failed
    lines = rows.read_bytes().splitlines(keepends=True)
    good = tmp_path / rows.parent.name / "rows.jsonl"  # a folder of the same name: the same URIs
    good.parent.mkdir()
    good.write_bytes(b"".join(lines[:7] + lines[9:59]))
    out = tmp_path / "out"
    how = ("--batch-size", "16", "--environments", "1", "--json")
    ended = run_process("run", good, "--model", tabular, "--out", out, *how)
    assert ended.code == 0, ended
    assert json.loads(ended.stdout) == json.loads((out / "summary.json").read_bytes())

    def predictions(out: Path) -> list[str]:
        lines = (out / "predictions.jsonl").read_text().splitlines()
        return [line.partition(",")[2] for line in lines]  # without the index

    assert predictions(out) == predictions(before)


def test_1_by_a_process(partly_failed: tuple[Path, Ended], rows: Path, tabular: Path, tmp_path: Path) -> None:
    failures = partly_failed[0] / "failures.jsonl"
    words = ("run", failures, "--model", tabular, "--root", rows.parent, "--out", tmp_path / "out")
    ended = run_process(*words, "--environments", "1")
    assert ended.code == 1, ended
    assert "FAILED  0 of 3 items predicted, 3 dead letters" in ended.stdout
    assert "Traceback" not in ended.stderr
    before = read_lines(failures)
    after = read_lines(tmp_path / "out/failures.jsonl")
    assert [line["id"] for line in after] == [line["id"] for line in before]
    assert [line["failure"]["error"] for line in after] == [line["failure"]["error"] for line in before]


def test_2_by_a_process_that_a_model_stops(rows: Path, tabular: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(tabular, model)
    (model / "model.json").write_text(json.dumps({"inputs": {"weight": {"kind": "number"}}}))
    ended = run_process("run", rows, "--model", model, "--out", tmp_path / "out")
    assert "weight" in ended.stderr
    refused(Ended(ended.code, ended.stdout, ended.stderr.replace("preparing the model …\n", "")), model)
    assert not (tmp_path / "out").exists()


def test_1_by_a_process_when_the_disk_is_full(
    partly_failed: tuple[Path, Ended], tabular: Path, tmp_path: Path
) -> None:
    """As far as a process sees it: no file of it may grow any more. What was predicted before is not lost."""
    before, _ = partly_failed
    rows, out = before.with_name("rows.jsonl"), tmp_path / "out"
    shutil.copytree(before, out, symlinks=True)
    (out / "predictions.jsonl").unlink()
    limit = max(path.stat().st_size for path in (out / ".fanwise/buckets").glob("*results*/jobs/*/*"))
    size = (before / "predictions.jsonl").stat().st_size
    assert size > limit + 100
    words = ("run", rows, "--model", tabular, "--out", out)
    full = run_process(
        *words,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size - 1, resource.RLIM_INFINITY)),
    )
    assert (full.code, full.stdout) == (1, ""), full
    assert full.stderr.splitlines()[-1] == (
        f"fanwise: {out / 'predictions.jsonl'}: File too large; raise the limit on the size of files (ulimit -f),"
        f" and give the same command again"
    )
    assert "Traceback" not in full.stderr
    assert not list(out.glob(".*.writing"))
    assert run_process(*words).code == 3
    assert (out / "predictions.jsonl").read_bytes() == (before / "predictions.jsonl").read_bytes()
