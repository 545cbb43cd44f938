"""The checker: a job that nothing happened to is proved, and whatever is done to its files is said precisely."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fake_model import FakeModel, MendedModel
from fanwise.errors import FanwiseError, InputError
from fanwise.limits import RAW_KEPT_BYTES
from fanwise.records import Part, job_prefix
from fanwise.replays import register_replay
from fanwise_cli.verification import Verification, verify_job
from fanwise_cli.verification.account import DEAD_LETTERED, PREDICTED, Account
from fanwise_cli.verification.collected import first_difference
from fanwise_cli.verification.result import ItemRun
from jobs import FAULTS, INPUT, RESULTS, Fault, JobCloud, JobResults, Stop

ORDERS = ["", "", "", "bad line", "NotFound", "PredictionFailed", "bad uri", "bad id", "die"]

kinds = st.sampled_from(["jsonl", "jsonl without ids", "csv", "folder"])
orders_of_items = st.lists(st.sampled_from(ORDERS), max_size=30)


def put_items(cloud: JobCloud, kind: str, orders: Sequence[str]) -> str:
    """Upload items of a kind that order what is asked, every one with something to carry."""
    if kind == "folder":
        for i, order in enumerate(orders):
            body = order if order in ("NotFound", "PredictionFailed", "die") else str(i)
            cloud.put_items(f"folder/{i:04}", body.encode())
        return f"s3://{INPUT}/folder/"
    if kind == "csv":
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(["id", "x", "order", "note", "uri"])
        for i, order in enumerate(orders):
            uri = "../../out" if order == "bad uri" else ""
            row = [
                f"n-{i}",
                i,
                order.removeprefix("bad uri").removeprefix("bad id"),
                'a "note",\nof two lines',
            ]
            writer.writerow([*row, uri, *(["too many"] if order == "bad line" else [])])
        return cloud.put_items("items.csv", b"\xef\xbb\xbf" + text.getvalue().encode())
    lines = [_line(i, order, with_id=kind == "jsonl") for i, order in enumerate(orders)]
    return cloud.put_items("items.jsonl", b"\n".join(lines))


def _line(i: int, order: str, *, with_id: bool) -> bytes:
    if order == "bad line":
        return [b"{no JSON \xc3\xa4", b"\xff\xfe", b"{" * 100, b"[1]", b"x" * (RAW_KEPT_BYTES + 9)][i % 5]
    item: dict[str, Any] = {"inputs": {"x": i, "order": order}, "note": ["ünï", {"n": 1.10}], "raw": "mine"}
    item |= {"index": 500 - i, "failure": "engine broke", "item": {"sku": [i]}}
    if order.startswith("bad"):
        item["inputs"]["order"] = ""
        item |= {"uri": "s3://"} if order == "bad uri" else {"id": [i]}
    return json.dumps(({"id": f"n-{i}"} if with_id else {}) | item).encode()


def home_of_the_job(cloud: JobCloud) -> str:
    """The home of the only job that a cloud has had."""
    (job_id,) = {info.key.split("/")[1] for info in cloud.storage.list(f"s3://{RESULTS}/jobs/")}
    return f"s3://{RESULTS}/{job_prefix(job_id)}"


def run_job(cloud: JobCloud, uri: str, **manifest: Any) -> str:
    """Run a job to its end, zombies included; its home."""
    cloud.run(cloud.start({"items": uri, **manifest}))
    while cloud.zombies:
        cloud.wake_one()
    cloud.close()
    return home_of_the_job(cloud)


def check_proved(found: Verification, summary: dict[str, Any]) -> None:
    """The account is the summary's, and nothing is wrong."""
    items = summary["items"]
    assert (found.unexpected_lines, found.disagreements, found.unchecked) == ((), (), ())
    assert (found.attempted, found.predicted, found.dead_lettered, found.lost) == (
        items["total"],
        items["predicted"],
        items["dead_lettered"],
        items["missing"],
    )
    assert (found.duplicated, found.unexpected, found.recovered, found.replays) == (0, 0, 0, ())
    assert found.is_proved == (not items["missing"])


@pytest.mark.parametrize(
    ("rows", "predicted", "line"),
    [
        (b'1,"fine"\n2,"never closed\n3,third row\n4,fourth row\n', 1, 3),
        (b'1,fine\n2,"6 inch\n3,third row\n4,"7 inch"\n5,fifth\n', 2, 3),
        (b'1,"he said \\"hi\\" to me"\n3,"a ""b"" c"\n', 1, 2),
    ],
)
@pytest.mark.parametrize("batch_size", [1, 100])
def test_a_job_whose_quotes_are_wrong_is_never_succeeded_and_says_where(
    rows: bytes, predicted: int, line: int, batch_size: int
) -> None:
    cloud = JobCloud([], FakeModel(4))
    home = run_job(cloud, cloud.put_items("items.csv", b"x,note\n" + rows), batch_size=batch_size)
    summary = json.loads(cloud.storage.read(home + "summary.json"))
    check_proved(verify_job(cloud.storage, home), summary)
    assert (summary["status"], summary["failures"]) == ("PARTIALLY_FAILED", {"BadRow": 1})
    assert summary["items"]["predicted"] == predicted
    letters = [
        json.loads(cloud.storage.read(f"s3://{RESULTS}/{info.key}"))
        for info in cloud.storage.list(home + "failures/")
    ]
    (letter,) = letters
    assert letter["failure"]["message"].startswith(f"line {line} opens a quote that ")
    assert letter["raw"] in rows.decode()


@given(
    kinds,
    orders_of_items,
    st.integers(1, 12),
    st.lists(st.sampled_from(FAULTS), max_size=15),
    st.integers(0, 3),
)
def test_a_job_is_proved_whatever_happened_to_it(
    kind: str, orders: list[str], batch_size: int, faults: list[Fault], seed: int
) -> None:
    cloud = JobCloud(faults, FakeModel(4), seed=seed)
    home = run_job(cloud, put_items(cloud, kind, orders), batch_size=batch_size)
    found = verify_job(cloud.storage, home)
    check_proved(found, json.loads(cloud.storage.read(home + "summary.json")))
    assert found.is_finished


@given(kinds, st.integers(1, 25), st.integers(1, 12), st.integers(1, 40))
def test_of_a_job_that_was_stopped_anywhere_the_lost_are_those_without_a_commit(
    kind: str, count: int, batch_size: int, stop_after: int
) -> None:
    cloud = JobCloud(model=FakeModel(4))
    start = cloud.start(
        {"items": put_items(cloud, kind, [""] * count), "batch_size": batch_size}, resume=True
    )
    stopped = cloud.run(start, stop=Stop(stop_after))
    home = next((home_of_the_job(cloud) for _ in cloud.storage.list(f"s3://{RESULTS}/jobs/")), "")
    if stopped.status == "ABORTED" and home and not _is_there(cloud, home + "parts.jsonl"):
        if not _is_there(cloud, home + "job.json"):
            with pytest.raises(InputError, match="no job that was planned"):
                verify_job(cloud.storage, home)
            cloud.close()
            return
        found = verify_job(cloud.storage, home)
        assert not found.is_finished
        assert (found.duplicated, found.unexpected, found.disagreements) == (0, 0, ())
        assert found.predicted + found.lost == found.attempted == count
        assert found.lost == sum(run.last - run.first + 1 for run in found.lost_items) or found.lost > 20
    cloud.run(start, "second")
    cloud.close()
    home = home_of_the_job(cloud)
    check_proved(verify_job(cloud.storage, home), json.loads(cloud.storage.read(home + "summary.json")))


def _is_there(cloud: JobCloud, uri: str) -> bool:
    try:
        cloud.storage.head(uri)
    except FileNotFoundError:
        return False
    return True


def test_a_job_with_items_missing_says_so_and_so_it_does_while_it_is_gone_on_with() -> None:
    cloud = JobCloud(["forbidden"] * 8)
    start = cloud.start({"items": put_items(cloud, "jsonl", [""] * 4), "batch_size": 2})
    cloud.run(start)
    home = home_of_the_job(cloud)
    found = verify_job(cloud.storage, home)
    assert (found.lost, found.is_finished, found.disagreements) == (4, True, ())
    assert not found.is_proved
    cloud.waiting_faults = ["", "forbidden"]
    cloud.run({**start, "resume": True}, "second", stop=Stop(7))
    cloud.close()
    found = verify_job(cloud.storage, home)
    assert (found.predicted, found.lost, found.is_finished) == (2, 2, False)
    assert (found.disagreements, found.unexpected) == ((), 0)


# What may be done to a job's files, and what is to be said of it.


@dataclass
class Files:
    """The lines of a job's files, to be changed."""

    cloud: JobCloud
    home: str

    def __post_init__(self) -> None:
        results = JobResults.of(self.cloud, self.home.rstrip("/").rpartition("/")[2])
        self.parts: list[Part] = results.parts
        self.total = results.job.total

    def lines(self, part: Part) -> list[bytes]:
        return self.cloud.storage.read(self.home + part.key).splitlines(keepends=True)

    def write(self, part: Part, lines: Sequence[bytes]) -> None:
        self.cloud.storage.write(self.home + part.key, b"".join(lines))


# Each gets the files, a part, the number of a line of it, and any number; it answers with what is lost, duplicated
# and unexpected then, or None where it does not apply.
Mutation = Callable[[Files, Part, int, int], tuple[int, int, int] | None]


def drop_a_line(files: Files, part: Part, line: int, number: int) -> tuple[int, int, int]:
    lines = files.lines(part)
    files.write(part, lines[:line] + lines[line + 1 :])
    return 1, 0, 0


def repeat_a_line(files: Files, part: Part, line: int, number: int) -> tuple[int, int, int]:
    lines = files.lines(part)
    files.write(part, [*lines, lines[line]])
    return 0, 1, 0


def move_a_line_to_another_part(
    files: Files, part: Part, line: int, number: int
) -> tuple[int, int, int] | None:
    lines = files.lines(part)
    others = [p for p in files.parts if p.key != part.key and p.key.split("/")[0] == part.key.split("/")[0]]
    if not others:
        return None
    other = others[number % len(others)]
    moved = lines.pop(line)
    files.write(part, lines)
    files.write(other, [*files.lines(other), moved])
    return 0, 0, 0


def move_a_line_to_the_other_kind(
    files: Files, part: Part, line: int, number: int
) -> tuple[int, int, int] | None:
    others = [p for p in files.parts if p.key.split("/")[0] != part.key.split("/")[0]]
    if not others:
        return None
    lines = files.lines(part)
    moved = lines.pop(line)
    files.write(part, lines)
    files.write(others[0], [*files.lines(others[0]), moved])
    return 1, 0, 1


def _changed(files: Files, part: Part, line: int, **values: Any) -> tuple[int, int, int]:
    lines = files.lines(part)
    lines[line] = msgspec.json.encode(json.loads(lines[line]) | values) + b"\n"
    files.write(part, lines)
    return 1, 0, 1


def change_an_index(files: Files, part: Part, line: int, number: int) -> tuple[int, int, int] | None:
    index = json.loads(files.lines(part)[line])["index"]
    other = number % (files.total + 2) - 1  # -1 and the total are no items
    return None if other == index else _changed(files, part, line, index=other)


def change_an_id(files: Files, part: Part, line: int, number: int) -> tuple[int, int, int]:
    return _changed(files, part, line, id=f"other-{number}")


def carry_something_else(files: Files, part: Part, line: int, number: int) -> tuple[int, int, int]:
    if part.key.startswith("predictions/"):
        return _changed(files, part, line, item={"note": number})
    return _changed(files, part, line, note=number)


def change_the_line_of_a_dead_letter(
    files: Files, part: Part, line: int, number: int
) -> tuple[int, int, int] | None:
    if part.key.startswith("predictions/"):
        return None
    failure = json.loads(files.lines(part)[line])["failure"]
    return _changed(files, part, line, failure={**failure, "line": failure["line"] + 1})


GARBAGE = [
    b"\n",
    b"{}\n",
    b"[]\n",
    b"\xff\n",
    b"null\n",
    b'{"index": 0}\n',
    b'{"index": 0.5, "id": 1}\n',
    b'{"index": 0, "id": 0, "prediction": {}, "failure": {}}\n',
    b"{" * 3000 + b"\n",
    b'{"index": 0, "id": 0, "item": null, "prediction": {}}\n',
    b'{"index": 99999999999999999999, "id": 0, "prediction": {}}\n',
    b"half a li",
]


def append_garbage(files: Files, part: Part, line: int, number: int) -> tuple[int, int, int]:
    files.write(part, [*files.lines(part), GARBAGE[number % len(GARBAGE)]])
    return 0, 0, 1


def cut_the_last_line(files: Files, part: Part, line: int, number: int) -> tuple[int, int, int]:
    *lines, last = files.lines(part)
    files.write(part, [*lines, last[: max(len(last) - 1 - number, 1)]])
    return 1, 0, 1


def remove_a_part(files: Files, part: Part, line: int, number: int) -> tuple[int, int, int]:
    files.cloud.storage.delete(files.home + part.key)
    return part.count, 0, 0


MUTATIONS: list[Mutation] = [
    drop_a_line,
    repeat_a_line,
    move_a_line_to_another_part,
    move_a_line_to_the_other_kind,
    change_an_index,
    change_an_id,
    carry_something_else,
    change_the_line_of_a_dead_letter,
    append_garbage,
    cut_the_last_line,
    remove_a_part,
]


@settings(max_examples=300)
@given(
    st.sampled_from(MUTATIONS),
    kinds,
    st.lists(st.sampled_from(ORDERS), min_size=1, max_size=12),
    st.integers(1, 5),
    st.integers(0, 1000),
    st.integers(0, 1000),
    st.integers(0, 1000),
)
def test_whatever_is_done_to_a_line_is_said(
    mutation: Mutation, kind: str, orders: list[str], batch_size: int, part: int, line: int, number: int
) -> None:
    cloud = JobCloud(model=FakeModel(4))
    home = run_job(cloud, put_items(cloud, kind, orders), batch_size=batch_size)
    assert verify_job(cloud.storage, home).is_proved
    files = Files(cloud, home)
    of = files.parts[part % len(files.parts)]
    expected = mutation(files, of, line % of.count, number)
    assume(expected is not None)
    found = verify_job(cloud.storage, home)
    assert (found.lost, found.duplicated, found.unexpected) == expected
    assert found.predicted + found.dead_lettered + found.lost == found.attempted == files.total
    assert sum(run.last - run.first + 1 for run in found.lost_items) == found.lost
    assert len(found.unexpected_lines) == found.unexpected
    assert any(of.key in said for said in (*found.disagreements, *found.unexpected_lines))
    assert not found.is_proved


def finished(orders: Sequence[str] = ("", "NotFound", "", "bad line", "")) -> tuple[JobCloud, str]:
    """A job that ended, in three entries."""
    cloud = JobCloud(model=FakeModel(4))
    return cloud, run_job(cloud, put_items(cloud, "jsonl", orders), batch_size=2)


@pytest.mark.parametrize("name", ["total", "predicted", "dead_lettered", "missing", "duplicated"])
@pytest.mark.parametrize("change", [1, -1, None])
def test_a_summary_that_counts_otherwise_is_said(name: str, change: int | None) -> None:
    cloud, home = finished()
    summary = json.loads(cloud.storage.read(home + "summary.json"))
    said = "x" if change is None else summary["items"][name] + change
    summary["items"][name] = said
    cloud.storage.write(home + "summary.json", json.dumps(summary).encode())
    found = verify_job(cloud.storage, home)
    shown = name.replace("_", "-")
    (disagreement,) = found.disagreements
    assert disagreement.startswith(f"summary.json says {said} {shown}; the lines say ")
    assert (found.lost, found.duplicated, found.unexpected) == (0, 0, 0)
    assert not found.is_proved


def test_errors_that_are_counted_otherwise_are_said() -> None:
    cloud, home = finished()
    summary = json.loads(cloud.storage.read(home + "summary.json"))
    summary["failures"] = {"NotFound": 2}
    cloud.storage.write(home + "summary.json", json.dumps(summary).encode())
    assert verify_job(cloud.storage, home).disagreements == (
        "summary.json counts other errors of dead letters than there are",
    )


def test_an_orphan_is_named_and_harmless() -> None:
    cloud, home = finished()
    cloud.storage.write(home + "predictions/000000-zombie.jsonl", b"anything")
    found = verify_job(cloud.storage, home)
    assert found.orphans == ("predictions/000000-zombie.jsonl",)
    assert found.is_proved


@pytest.mark.parametrize(
    ("key", "text", "says"),
    [
        ("summary.json", b"{", "summary.json is damaged"),
        ("summary.json", b"[1]", "summary.json is damaged"),
        ("summary.json", b"\xff", "summary.json is damaged"),
        ("summary.json", b'{"items": "none"}', "summary.json is damaged"),
        ("summary.json", None, "no summary.json"),
        ("parts.jsonl", None, "no parts.jsonl"),
        ("parts.jsonl", b"{}\n", "parts.jsonl, line 1: "),
        ("parts.jsonl", b"", "parts.jsonl does not name "),
        (
            "parts.jsonl",
            b'{"key": "../x", "first": 0, "count": 1, "size_bytes": 1}\n',
            "is no file of predictions",
        ),
        (
            "parts.jsonl",
            b'{"key": "predictions/../x", "first": 0, "count": 1, "size_bytes": 1}\n',
            "predictions/../x, which counts, cannot be read",
        ),
        ("parts.jsonl", b'{"key"', "ends in the middle"),
        ("work/0.jsonl", b"", "the commits say"),
        ("work/0.jsonl", b"[", "the ledger is damaged"),
        ("work/0.jsonl", None, "the ledger cannot be read"),
        ("commits/000000.json", b"", "the ledger is damaged"),
        ("commits/000000.json", b'{"entry": "000000"}', "the ledger is damaged"),
        ("commits/000000.json", None, "the commits say"),
    ],
)
def test_damage_is_said_in_a_line(key: str, text: bytes | None, says: str) -> None:
    cloud, home = finished()
    if text is None:
        cloud.storage.delete(home + key)
    else:
        cloud.storage.write(home + key, text)
    found = verify_job(cloud.storage, home)
    assert any(says in said for said in found.disagreements), found.disagreements
    assert not found.is_proved
    assert found.unexpected == 0


@pytest.mark.parametrize("text", [b"", b"{", b"{}", b"\xff"])
def test_without_a_plan_nothing_can_be_verified(text: bytes) -> None:
    cloud, home = finished()
    cloud.storage.write(home + "job.json", text)
    with pytest.raises(FanwiseError, match=r"job.json is damaged"):
        verify_job(cloud.storage, home)
    cloud.storage.delete(home + "job.json")
    with pytest.raises(FanwiseError, match=r"job.json is gone"):
        verify_job(cloud.storage, home)


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_of_items_that_are_gone_or_changed_the_count_is_still_checked(kind: str) -> None:
    cloud = JobCloud(model=FakeModel(4))
    uri = put_items(cloud, kind, ["", "NotFound", ""])
    home = run_job(cloud, uri, batch_size=2)
    cloud.storage.write(uri, b"id,x\n1,2\n")
    for why in ("not what was planned", "not what was planned any more, or is gone"):
        found = verify_job(cloud.storage, home)
        (unchecked,) = found.unchecked
        assert uri in unchecked
        assert why in unchecked
        assert (found.attempted, found.predicted, found.dead_lettered, found.lost) == (3, 2, 1, 0)
        assert (found.unexpected, found.disagreements, found.is_proved) == (0, (), False)
        cloud.storage.delete(uri)
    files = Files(cloud, home)
    drop_a_line(files, files.parts[0], 0, 0)
    assert verify_job(cloud.storage, home).lost == 1


def test_a_plan_of_another_total_is_said() -> None:
    cloud, home = finished()
    job = json.loads(cloud.storage.read(home + "job.json"))
    cloud.storage.write(home + "job.json", json.dumps(job | {"total": 6}).encode())
    found = verify_job(cloud.storage, home)
    assert found.disagreements == ("job.json says 6 items, and s3://input/items.jsonl has 5",)
    assert found.attempted == 5


# Replays: jobs whose items are the dead letters of their parent.


def replay_by_hand(cloud: JobCloud, home: str, number: int, orders: Sequence[str]) -> str:
    """Run the dead letters of a job with other orders as a job that says it is a replay; its id."""
    letters = [
        json.loads(line)
        for part in Files(cloud, home).parts
        if part.key.startswith("failures/")
        for line in cloud.storage.read(home + part.key).splitlines()
    ]
    lines = []
    for letter, order in zip(letters, orders, strict=True):
        letter.pop("failure")
        letter["inputs"] = {"x": 1, "order": order}
        lines.append(json.dumps(letter).encode())
    before = {info.key.split("/")[1] for info in cloud.storage.list(f"s3://{RESULTS}/jobs/")}
    uri = cloud.put_items(f"by-hand-{number}.jsonl", b"\n".join(lines))
    cloud.run(cloud.start({"items": uri}), f"by-hand-{number}")
    after = {info.key.split("/")[1] for info in cloud.storage.list(f"s3://{RESULTS}/jobs/")}
    (job_id,) = after - before
    register_replay(cloud.storage, home, number, job_id)
    return job_id


def test_what_replays_predicted_is_recovered() -> None:
    model = MendedModel()
    cloud = JobCloud(model=model)
    orders = ["", "NotFound", "", "UndecodableImage", "NotFound", "die"]
    cloud.run(cloud.start({"items": put_items(cloud, "jsonl", orders)}))
    home = home_of_the_job(cloud)
    job_id = home.rstrip("/").rpartition("/")[2]
    for mended, recovered in ((["NotFound"], 2), (["NotFound", "UndecodableImage", "die"], 4)):
        model.mended = tuple(mended)
        cloud.run({"replay": job_id}, f"replay-{recovered}")
        found = verify_job(cloud.storage, home)
        assert (found.predicted, found.recovered, found.dead_lettered) == (2, recovered, 4 - recovered)
        assert found.is_proved
    cloud.close()
    assert [replay.attempted for replay in found.replays] == [4, 2]


def test_a_replay_whose_lines_are_not_there_recovers_nothing() -> None:
    cloud = JobCloud(model=FakeModel(4))
    cloud.run(cloud.start({"items": put_items(cloud, "jsonl", ["", "NotFound", "", "NotFound", "NotFound"])}))
    home = home_of_the_job(cloud)
    first = replay_by_hand(cloud, home, 1, ["", "NotFound", ""])
    found = verify_job(cloud.storage, home)
    assert (found.predicted, found.recovered, found.dead_lettered, found.lost) == (2, 2, 1, 0)
    assert found.is_proved
    (replayed,) = found.replays
    assert (replayed.job_id, replayed.predicted, replayed.dead_lettered) == (first, 2, 1)

    files = Files(cloud, f"s3://{RESULTS}/{job_prefix(first)}")
    drop_a_line(files, files.parts[0], 0, 0)
    found = verify_job(cloud.storage, home)
    assert (found.recovered, found.dead_lettered, found.replays[0].lost) == (1, 2, 1)
    assert not found.is_proved

    # One that replays what nothing is left of.
    replay_by_hand(cloud, home, 2, ["", "", ""])
    cloud.close()
    found = verify_job(cloud.storage, home)
    said = [said for replay in found.replays for said in replay.disagreements]
    assert any("items are no dead letters that items-" in line for line in said)


def test_a_replay_that_is_not_planned_yet_is_left_out() -> None:
    cloud, home = finished()
    register_replay(cloud.storage, home, 1, "later")
    found = verify_job(cloud.storage, home)
    assert found.replays == ()
    assert found.is_proved


# The pieces.


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from([PREDICTED, DEAD_LETTERED])), max_size=20))
def test_the_account_counts_like_a_dictionary(lines: list[tuple[int, int]]) -> None:
    account = Account(10)
    marks: dict[int, list[int]] = {}
    for index, mark in lines:
        account.note(index, mark)
        marks.setdefault(index, []).append(mark)
    predicted = {index for index, seen in marks.items() if PREDICTED in seen}
    assert account.counts() == (len(predicted), 0, len(marks) - len(predicted), 10 - len(marks))
    assert account.duplicated() == sum(len(seen) > 1 for seen in marks.values())
    named = {i for run in account.duplicated_items() for i in range(run.first, run.last + 1)}
    assert named == {index for index, seen in marks.items() if len(seen) > 1}


def test_runs_of_items_are_named_as_runs() -> None:
    account = Account(12)
    for index in (0, 3, 4, 11):
        account.note(index, PREDICTED)
    assert account.lost_items() == (ItemRun(1, 2), ItemRun(5, 10))
    assert [str(run) for run in (ItemRun(1, 2), ItemRun(7, 7))] == ["1 to 2", "7"]


streams = st.lists(st.binary(max_size=6).map(lambda text: text.replace(b"\0", b"\n")), max_size=6)


@given(streams, streams)
def test_the_first_difference_is_that_of_the_whole(ours: list[bytes], theirs: list[bytes]) -> None:
    left, right = b"".join(ours), b"".join(theirs)
    found = first_difference(iter([t for t in ours if t]), iter([t for t in theirs if t]))
    if left == right:
        assert found is None
    else:
        lines = zip(left.split(b"\n"), right.split(b"\n"), strict=False)
        expected = next((n for n, (a, b) in enumerate(lines, 1) if a != b), None)
        assert found == (expected or min(left.count(b"\n"), right.count(b"\n")) + 1)


@given(streams)
def test_a_stream_is_the_same_however_it_is_cut(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    assert first_difference(iter([t for t in pieces if t]), iter([whole] if whole else [])) is None
