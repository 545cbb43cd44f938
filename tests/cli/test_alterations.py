"""Whatever is altered in the files of a job that has ended is noticed by `fanwise verify`, with the file.

One job, copied for each alteration; each stands with what verify prints of it. What agrees in every file cannot be
noticed by construction, but by the root that was kept elsewhere.
"""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from altered import (
    JSON,
    Altered,
    edit,
    edit_line,
    edit_lines,
    forge,
    forge_digests,
    in_place,
    make_job,
    write_lines,
)
from fanwise_cli.main import main

Alteration = Callable[[Altered], object]


@pytest.fixture(scope="session")
def ended_job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The job as it ended; only to be copied."""
    folder = tmp_path_factory.mktemp("altered-job")
    make_job(folder)
    return folder


@pytest.fixture
def files(ended_job: Path, tmp_path: Path) -> Altered:
    """A copy of the job."""
    shutil.copytree(ended_job / "out", tmp_path / "out", copy_function=_copy)
    return Altered(tmp_path / "out", ended_job / "data/items.jsonl")


def _copy(source: str, target: str) -> None:
    """The replay's items are planned as the very file that they were."""
    (os.link if source.endswith("/items.jsonl") else shutil.copy2)(source, target)


def verified(files: Altered, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, JSON, str]:
    """The exit code, the document, and all that is wrong or unchecked, a line each."""
    capsys.readouterr()
    code = main(["verify", str(files.out), "--json", *words])
    stdout, stderr = capsys.readouterr()
    if not stdout:
        return code, {"proved": False}, stderr
    document = json.loads(stdout)
    said = [
        line
        for one in (document, *document["replays"])
        for kind in ("unexpected_lines", "disagreements", "unchecked")
        for line in one[kind]
    ]
    return code, document, "\n".join(said)


def put(value: object, *path: str) -> Callable[[JSON], None]:
    """A change of one value of a JSON file."""

    def change(found: JSON) -> None:
        for key in path[:-1]:
            found = found[key]
        assert found[path[-1]] != value
        found[path[-1]] = value

    return change


def swapped_predictions(lines: list[JSON]) -> None:
    lines[0]["prediction"], lines[1]["prediction"] = lines[1]["prediction"], lines[0]["prediction"]


def swapped_order(lines: list[JSON]) -> None:
    lines[0], lines[1] = lines[1], lines[0]


def removed(path: Path) -> None:
    path.unlink()


def removed_lines_of(*indexes: int) -> Callable[[list[JSON]], None]:
    def change(lines: list[JSON]) -> None:
        lines[:] = [line for line in lines if line["index"] not in indexes]

    return change


def delete_an_entry(files: Altered, entry: str, *indexes: int) -> None:
    """A commit with all that it names, and its lines in OUT."""
    for part in files.job.glob(f"*/{entry}-*.jsonl"):
        part.unlink()
    (files.job / f"commits/{entry}.json").unlink()
    for name in ("predictions", "failures"):
        edit_lines(files.out / f"{name}.jsonl", change=removed_lines_of(*indexes))


def delete_an_entry_and_count_it_nowhere(files: Altered) -> None:
    delete_an_entry(files, "000001", 4, 5, 6, 7)
    edit_lines(
        files.job / "parts.jsonl",
        change=lambda lines: lines.__setitem__(
            slice(None), [line for line in lines if "/000001-" not in line["key"]]
        ),
    )


def delete_a_part_and_gut_out(files: Altered) -> None:
    removed(files.part("predictions/000000"))
    edit_lines(files.out / "predictions.jsonl", change=removed_lines_of(0, 2, 3))


def delete_a_part_and_change_out(files: Altered) -> None:
    removed(files.part("predictions/000000"))
    edit_line(files.out / "predictions.jsonl", index=2, change=put({"y": 9.0}, "prediction"))


def delete_what_ended(files: Altered) -> None:
    for name in ("summary.json", "parts.jsonl", "digests.txt", "_SUCCESS"):
        removed(files.job / name)


def append(path: Path, text: bytes) -> None:
    path.write_bytes(path.read_bytes() + text)


def white_space(files: Altered) -> None:
    for path in files.both(PART):
        append(path, b" ")


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def rename_a_part(files: Altered) -> None:
    path = files.part("predictions/000000")
    path.rename(path.with_name("000000-other.jsonl"))


def swap_two_parts(files: Altered) -> None:
    one, other = files.part("predictions/000000"), files.part("predictions/000001")
    kept = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(kept)


def edit_commit(entry: str, *path: str, value: object) -> Alteration:
    return lambda files: edit(files.job / f"commits/{entry}.json", change=put(value, *path))


def in_both_summaries(value: object, *path: str) -> Alteration:
    return lambda files: edit(*files.summaries, change=put(value, *path))


def in_own_summary(value: object, *path: str) -> Alteration:
    return lambda files: edit(files.job / "summary.json", change=put(value, *path))


def in_out_summary(value: object, *path: str) -> Alteration:
    return lambda files: edit(files.out / "summary.json", change=put(value, *path))


def in_job(value: object, *path: str) -> Alteration:
    return lambda files: edit(files.job / "job.json", change=put(value, *path))


def in_claim(value: object, *path: str) -> Alteration:
    return lambda files: edit(files.job / "claim.json", change=put(value, *path))


def in_line(name: str, index: int, value: object, *path: str) -> Alteration:
    """In the part and in OUT alike."""
    return lambda files: edit_line(*files.both(name), index=index, change=put(value, *path))


def only_in_part(name: str, index: int, value: object, *path: str) -> Alteration:
    return lambda files: edit_line(files.part(name), index=index, change=put(value, *path))


def only_in_out(name: str, index: int, value: object, *path: str) -> Alteration:
    return lambda files: edit_line(files.out / name, index=index, change=put(value, *path))


def in_work(round_: int, key: str, value: object) -> Alteration:
    return lambda files: edit_lines(
        files.job / f"work/{round_}.jsonl", change=lambda lines: lines[1].__setitem__(key, value)
    )


def remove_from_summaries(*names: str) -> Alteration:
    def change(summary: JSON) -> None:
        for name in names:
            del summary[name]

    return lambda files: edit(*files.summaries, change=change)


def replace_the_answers(files: Altered) -> None:
    path = sorted(files.job.glob("map-run/*/SUCCEEDED*"))[0]
    body = path.read_bytes()
    assert b'"duration_ms"' in body
    path.write_bytes(body.replace(b'"duration_ms":', b'"duration_ms":1', 1))


PART, COMMIT = "predictions/000000", "commits/000000.json"

ALTERATIONS: dict[str, tuple[Alteration, str]] = {
    # A value, two predictions, an order, an id, a reason: in the part and in OUT alike.
    "value": (in_line(PART, 2, {"y": 6.0}, "prediction"), f"{PART}-* is not what was written"),
    "value in its last digit": (
        in_line(PART, 2, 5.000000000000001, "prediction", "y"),
        f"{PART}-* has 3 lines in * bytes, and was written with 3 in",
    ),
    "two predictions": (
        lambda files: edit_lines(*files.both(PART), change=swapped_predictions),
        f"{PART}-* is not what was written",
    ),
    "order": (
        lambda files: edit_lines(*files.both(PART), change=swapped_order),
        f"{PART}-*, line 1: has index 2, and its part begins with 0",
    ),
    "order at the end": (
        lambda files: edit_lines(*files.both(PART), change=lambda lines: lines.insert(1, lines.pop())),
        f"{PART}-*, line 3: has index 2 after 3, out of order",
    ),
    "id": (in_line(PART, 2, "n-9", "id"), f'{PART}-*, line 2: has "id" "n-9"'),
    "passed-through key": (in_line(PART, 2, 7, "item", "note"), f"{PART}-*, line 2: has other item"),
    "index": (in_line(PART, 2, 99, "index"), f"{PART}-*, line 2: has index 99"),
    "name of an output": (in_line(PART, 2, {"z": 5.0}, "prediction"), f"{PART}-*, line 2: has other outputs"),
    "one output more": (
        in_line(PART, 2, {"y": 5.0, "z": 1}, "prediction"),
        "has other outputs than the model: 'z'",
    ),
    "kind of an output": (
        in_line(PART, 2, {"y": "5"}, "prediction"),
        "line 2: has an output 'y' that is not of",
    ),
    "shape of an output": (in_line(PART, 2, {"y": [5.0, 5.0]}, "prediction"), "'y' that is not of"),
    "reason": (
        in_line("failures/000000", 1, "gone", "failure", "message"),
        "failures/000000-* has 1 lines in",
    ),
    "reason of the same length": (
        in_line("failures/000000", 1, "As the item ordered: NotFound", "failure", "message"),
        "failures/000000-* is not what was written",
    ),
    "error of a dead letter": (
        in_line("failures/000000", 1, "Forbidden", "failure", "error"),
        "summary.json counts other errors of dead letters",
    ),
    "stage of a dead letter": (
        in_line("failures/000001", 4, "decode", "failure", "stage"),
        "failures/000001-* has 1 lines in",
    ),
    "attempts of a dead letter": (
        in_line("failures/000001", 4, 9, "failure", "attempts"),
        "failures/000001-* is not what was written",
    ),
    "line of a dead letter": (
        in_line("failures/000001", 4, 6, "failure", "line"),
        "failures/000001-*, line 1: says line 6",
    ),
    "inputs of a dead letter": (
        in_line("failures/000001", 4, {"x": 3}, "inputs"),
        "line 1: has other inputs",
    ),
    "white space": (
        white_space,
        f"{PART}-*, line 4: is cut off",
    ),
    # In one of them.
    "value in the part": (
        only_in_part(PART, 2, {"y": 6.0}, "prediction"),
        f"{PART}-* is not what its commit says, from its line 2 on; predictions.jsonl has the right lines",
    ),
    "value in OUT": (
        only_in_out("predictions.jsonl", 5, {"y": 6.0}, "prediction"),
        "predictions.jsonl is not what the job wrote, from its line 4 on; predictions/000001-* has it in its line",
    ),
    "reason in OUT": (
        only_in_out("failures.jsonl", 4, "gone", "failure", "message"),
        "failures.jsonl is not what the job wrote, from its line 2 on",
    ),
    "a line more in OUT": (
        lambda files: append(files.out / "predictions.jsonl", b"{}\n"),
        "predictions.jsonl is not what the job wrote, from its line 11 on",
    ),
    "OUT is cut off": (lambda files: truncate(files.out / "predictions.jsonl"), "from its line 10 on"),
    "OUT is gone": (lambda files: removed(files.out / "failures.jsonl"), "failures.jsonl is not there"),
    "OUT is empty": (lambda files: write_lines(files.out / "predictions.jsonl", []), "from its line 1 on"),
    # Files of the ledger.
    "part cut off": (lambda files: truncate(files.part(PART)), f"{PART}-*, line 3: is cut off"),
    "part longer": (lambda files: append(files.part(PART), b"{}\n"), f"{PART}-*, line 4: is no prediction"),
    "part empty": (lambda files: write_lines(files.part(PART), []), f"{PART}-* has 0 lines in 0 bytes"),
    "part renamed": (rename_a_part, f"{PART}-*, which counts, is not there"),
    "parts swapped": (swap_two_parts, f"{PART}-*, line 1: has index 5"),
    "part gone": (lambda files: removed(files.part(PART)), f"{PART}-*, which counts, is not there"),
    "part gone and OUT gutted": (
        delete_a_part_and_gut_out,
        "predictions.jsonl is not what the job wrote, in its lines 1 to 3, by the digest of predictions/000000-",
    ),
    "part gone and OUT changed": (delete_a_part_and_change_out, "in its lines 1 to 3, by the digest of"),
    "commit gone": (lambda files: removed(files.job / COMMIT), f"{COMMIT} is not there"),
    "commit gone and OUT gutted": (
        lambda files: delete_an_entry(files, "000001", 4, 5, 6, 7),
        "commits/000001.json is not there",
    ),
    "entry gone and counted nowhere": (
        delete_an_entry_and_count_it_nowhere,
        "the commits say 7 predicted, 2 dead-lettered, 4 missing|commits/000001.json is not there",
    ),
    "commit of nobody": (
        lambda files: shutil.copy(files.job / COMMIT, files.job / "commits/000009.json"),
        "commits/000009.json is the commit of no entry",
    ),
    "commit empty": (lambda files: (files.job / COMMIT).write_bytes(b""), f"the ledger is damaged: {COMMIT}"),
    "commit: counts": (edit_commit("000000", "predicted", value=4), f"{COMMIT} accounts for 5 of 4 items"),
    "commit: errors": (
        edit_commit("000000", "failures_by_error", value={"Forbidden": 1}),
        f"{COMMIT} is not what it was",
    ),
    "commit: digest of a part": (
        edit_commit("000000", "predictions", "sha256", value="0" * 64),
        f"{COMMIT} is not what it was",
    ),
    "commit: no digest of a part": (
        edit_commit("000000", "predictions", "sha256", value=""),
        f"{COMMIT} is not what it was",
    ),
    "commit: digest of items": (
        edit_commit("000000", "items_sha256", value="0" * 64),
        f"is not what entry 000000 was made of, by {COMMIT}",
    ),
    "commit: start": (
        edit_commit("000000", "started_at", value="2020-01-01T00:00:00.000Z"),
        f"{COMMIT} is not what it was",
    ),
    "commit: code": (edit_commit("000000", "code", value="0" * 16), f"{COMMIT} is not what it was"),
    "commit: a key more": (
        lambda files: edit(files.job / COMMIT, change=lambda commit: commit.update(note="x")),
        f"{COMMIT} has keys that no commit has",
    ),
    "commit: a key more of a part": (
        lambda files: edit(files.job / COMMIT, change=lambda commit: commit["predictions"].update(note="x")),
        f"{COMMIT} has keys that no commit has",
    ),
    "commit: duration": (
        edit_commit("000000", "invocation", "duration_ms", value=1e6),
        f"{COMMIT} is not what it was",
    ),
    "commit: error that it died of": (
        edit_commit("000002", "died", value="Sandbox.Timedout"),
        "commits/000002.json is not what it was",
    ),
    "answers of the Map": (
        replace_the_answers,
        "is not what its invocation answered, which lies in map-run/",
    ),
    "parts.jsonl: a part left out": (
        lambda files: edit_lines(files.job / "parts.jsonl", change=lambda lines: lines.pop(0)),
        f"parts.jsonl does not name {PART}-",
    ),
    "parts.jsonl: count": (
        lambda files: edit_lines(files.job / "parts.jsonl", change=lambda lines: lines[0].update(count=9)),
        "parts.jsonl says other counts",
    ),
    "parts.jsonl gone": (lambda files: removed(files.job / "parts.jsonl"), "no parts.jsonl"),
    "work: an entry's end": (in_work(0, "end", 5), "work/0.jsonl has entry 000002"),
    "work: an entry's line": (in_work(0, "first_line", 9), "work/0.jsonl is not what it was"),
    "work: an entry's attempt": (in_work(1, "attempt", 7), "work/1.jsonl is not what it was"),
    "work of a round gone": (lambda files: removed(files.job / "work/1.jsonl"), "work/1.jsonl is not there"),
    "work of a round more": (
        lambda files: shutil.copy(files.job / "work/1.jsonl", files.job / "work/7.jsonl"),
        "work/7.jsonl was not there when the job ended",
    ),
    "work gone": (lambda files: removed(files.job / "work/0.jsonl"), "work/0.jsonl: no such object"),
    "digests.txt gone": (lambda files: removed(files.job / "digests.txt"), "digests.txt, which names"),
    "digests.txt": (
        lambda files: append(files.job / "digests.txt", b"0  x\n"),
        "digests.txt is not what it was",
    ),
    "_SUCCESS gone": (lambda files: removed(files.job / "_SUCCESS"), "_SUCCESS is not there"),
    "what ended it gone": (
        delete_what_ended,
        "summary.json was brought home, and the job's home has not come to",
    ),
    # The plan and the claim.
    "job: total": (in_job(14, "total"), "job.json says 14 items"),
    "job: entries": (in_job(9, "entries"), "job.json says 9 entries"),
    "job: digest of the model": (in_job("sha256:0", "model", "digest"), "job.json says model sha256:0"),
    "job: runtime": (in_job("litert", "model", "runtime"), "job.json says runtime 'litert'"),
    "job: name of the model": (in_job("other", "model", "name"), "summary.json says 'model'"),
    "job: tolerated failures": (
        in_job(1, "tolerated_failure_percentage"),
        "summary.json says status 'PARTIALLY_FAILED'; by the lines it is 'FAILED'",
    ),
    "job: batch size": (in_job(5, "batch_size"), "job.json is not what it was"),
    "job: concurrency": (in_job(5, "max_concurrency"), "job.json is not what it was"),
    "job: what items may point at": (in_job([], "items", "readable"), "job.json is not what it was"),
    "claim: execution": (in_claim("arn:x:y", "execution"), "claim.json "),
    "claim: start": (in_claim("2020-01-01T00:00:00.000Z", "started_at"), "claim.json is not what it was"),
    "claim: job": (in_claim("other", "job_id"), "claim.json "),
    "claim gone": (lambda files: removed(files.job / "claim.json"), "claim.json is not there"),
    # Either summary, and both.
    "status in both": (in_both_summaries("SUCCEEDED", "status"), "summary.json says status 'SUCCEEDED'"),
    "status in the job's": (in_own_summary("SUCCEEDED", "status"), "summary.json says status 'SUCCEEDED'"),
    "status in OUT's": (in_out_summary("SUCCEEDED", "status"), "summary.json is not the job's own*'status'"),
    "reason in both": (in_both_summaries("none", "reason"), "summary.json says reason 'none'"),
    "reason in OUT's": (in_out_summary("none", "reason"), "summary.json is not the job's own*'reason'"),
    "counts in both": (in_both_summaries(11, "items", "predicted"), "summary.json says 11 predicted"),
    "counts in OUT's": (
        in_out_summary(11, "items", "predicted"),
        "summary.json is not the job's own*'items'",
    ),
    "failures in both": (in_both_summaries({"NotFound": 3}, "failures"), "summary.json counts other errors"),
    "failures in OUT's": (in_out_summary({}, "failures"), "summary.json is not the job's own*'failures'"),
    "model in both": (in_both_summaries("sha256:1", "model", "digest"), "summary.json says 'model'"),
    "model in OUT's": (in_out_summary("other", "model", "name"), "summary.json is not the job's own*'model'"),
    "cost in both": (in_both_summaries(0.0, "cost_usd", "total"), "summary.json is not what was written"),
    "cost in OUT's": (
        in_out_summary(0.0, "cost_usd", "total"),
        "summary.json is not the job's own*'cost_usd'",
    ),
    "duration in both": (in_both_summaries(0.5, "duration_s"), "summary.json is not what was written"),
    "version in both": (in_both_summaries("9.9", "fanwise"), "summary.json is not what was written"),
    "items_uri in both": (in_both_summaries("s3://x/y", "items_uri"), "summary.json says 'items_uri'"),
    "execution in both": (in_both_summaries("arn:x:y", "execution"), "summary.json"),
    "root in both": (in_both_summaries("0" * 64, "root"), "summary.json is not what was written"),
    "no root in both": (remove_from_summaries("root"), "summary.json is not what was written"),
    "no digests in both": (remove_from_summaries("root", "digests"), "digests.txt is not what it was"),
    "replays in both": (in_both_summaries([], "replays"), "summary.json says other replays"),
    "OUT's summary gone": (lambda files: removed(files.out / "summary.json"), "summary.json is not there"),
    # What the job was made of.
    "digest.json": (
        lambda files: edit(files.model / "digest.json", change=put("sha256:0", "digest")),
        "digest.json: says sha256:0",
    ),
    "a file of the model": (
        lambda files: append(files.model / "weights.txt", b"x"),
        "weights.txt is not the file",
    ),
    "a file of the model gone": (
        lambda files: removed(files.model / "weights.txt"),
        "weights.txt, a file of the",
    ),
    # Its replay.
    "replay: a value": (
        lambda files: append(next(files.replay.glob("failures/*")), b"{}\n"),
        "is no dead letter",
    ),
    "replay: summary": (
        lambda files: edit(files.replay / "summary.json", change=put("SUCCEEDED", "status")),
        "summary.json says status 'SUCCEEDED'",
    ),
    "replay: what was brought home": (
        lambda files: write_lines(files.out / "replays/1/failures.jsonl", []),
        "failures.jsonl is not what the job wrote, from its line 1 on",
    ),
    "replay: its home gone": (lambda files: shutil.rmtree(files.replay), "summary.json says other replays"),
    "replay: not registered": (
        lambda files: removed(next(files.job.glob("replays/*"))),
        "summary.json says other replays",
    ),
}


def matches(said: str, wanted: str) -> bool:
    """Whether a line has the pieces between `*` in their order; any of the ways that `|` parts."""
    return any(_has_pieces(line, way.split("*")) for way in wanted.split("|") for line in said.splitlines())


def _has_pieces(line: str, pieces: list[str]) -> bool:
    at = 0
    for piece in pieces:
        at = line.find(piece, at)
        if at < 0:
            return False
        at += len(piece)
    return True


def test_the_job_is_proved_as_it_is(files: Altered, capsys: pytest.CaptureFixture[str]) -> None:
    code, document, said = verified(files, capsys)
    assert (code, document["proved"]) == (0, True)
    assert said.splitlines() == [
        "whether all files were rewritten to agree with each other: keep the root elsewhere, and give it as --root"
    ] * (1 + len(document["replays"]))
    assert document["root"] == json.loads((files.out / "summary.json").read_bytes())["root"]
    assert verified(files, capsys, "--root", document["root"])[0] == 0
    assert verified(files, capsys, "--root", document["root"].upper())[0] == 0


@pytest.mark.parametrize("name", ALTERATIONS)
def test_an_alteration_is_noticed(files: Altered, capsys: pytest.CaptureFixture[str], name: str) -> None:
    alter, wanted = ALTERATIONS[name]
    alter(files)
    code, document, said = verified(files, capsys)
    assert (code, document["proved"]) == (1, False), said
    assert matches(said, wanted), said


def test_items_that_were_changed_in_place_are_noticed(
    files: Altered, capsys: pytest.CaptureFixture[str]
) -> None:
    in_place(files.items, b'"note": 5', b'"note": 6')
    try:
        code, document, said = verified(files, capsys)
    finally:
        in_place(files.items, b'"note": 6', b'"note": 5')
    assert (code, document["proved"]) == (1, False)
    assert matches(said, "items.jsonl"), said


# What agrees in every file: noticed by the root alone.

FORGERIES: dict[str, Alteration] = {
    "value": in_line(PART, 2, {"y": 6.0}, "prediction"),
    "two predictions": lambda files: edit_lines(*files.both(PART), change=swapped_predictions),
    "reason": in_line("failures/000000", 1, "gone", "failure", "message"),
    "cost": in_both_summaries(0.0, "cost_usd", "total"),
    "start of a commit": edit_commit("000000", "started_at", value="2020-01-01T00:00:00.000Z"),
    "claim": in_claim("2020-01-01T00:00:00.000Z", "started_at"),
    "batch size": in_job(5, "batch_size"),
    "work": in_work(1, "attempt", 7),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_what_was_rewritten_everywhere_is_noticed_by_the_root(
    files: Altered, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    root = json.loads((files.out / "summary.json").read_bytes())["root"]
    FORGERIES[name](files)
    forge(files)
    code, document, _ = verified(files, capsys)
    assert (code, document["proved"]) == (0, True)  # or the root would not be needed
    code, document, said = verified(files, capsys, "--root", root)
    assert (code, document["proved"]) == (1, False)
    assert matches(
        said, f"the root that the files of the job make is {document['root']}, and --root says {root}"
    )


def test_digests_made_anew_do_not_hide_lines_that_their_commit_does_not_know(
    files: Altered, capsys: pytest.CaptureFixture[str]
) -> None:
    edit_line(*files.both(PART), index=2, change=put({"y": 6.0}, "prediction"))
    forge_digests(files)
    code, _, said = verified(files, capsys)
    assert code == 1
    assert matches(said, f"{PART}-* is not what was written: its commit has another digest of it")


def test_a_job_has_one_root(files: Altered, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, said = verified(files, capsys, "--root", "0" * 64, "--root", "1" * 64)
    assert code == 2
    assert "--root names 2 roots" in said


def test_a_job_from_before_there_were_digests_is_proved_and_says_what_it_lacks(
    files: Altered, capsys: pytest.CaptureFixture[str]
) -> None:
    for home in files.jobs:
        for path in home.glob("commits/*.json"):
            edit(path, change=_without_digests)
        for path in home.glob("map-run/*/SUCCEEDED*"):
            path.unlink()
        edit_lines(home / "parts.jsonl", change=_without_sha256)
        (home / "digests.txt").unlink()
        edit(home / "summary.json", change=_without_root)
    edit(files.out / "summary.json", *files.out.glob("replays/*/summary.json"), change=_without_root)
    code, document, said = verified(files, capsys)
    assert (code, document["proved"], document["root"]) == (0, True, None), said
    assert matches(said, "the ledger: the job was run before ledgers had digests")
    edit_line(files.part(PART), index=2, change=put("n-9", "id"))
    assert verified(files, capsys)[0] == 1


def _without_digests(commit: JSON) -> None:
    for name in ("items_sha256", "started_at", "code"):
        del commit[name]
    for part in ("predictions", "failures"):
        if commit[part] is not None:
            del commit[part]["sha256"]


def _without_root(summary: JSON) -> None:
    del summary["root"], summary["digests"]
    for replay in summary["replays"]:
        del replay["root"]


def _without_sha256(parts: list[JSON]) -> None:
    for part in parts:
        del part["sha256"]
