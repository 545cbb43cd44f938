"""AggregateResults: the next round's work, when to stop, and the verdict."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwise import limits
from fanwise.aggregation import aggregate_results
from fanwise.commits import read_work
from ledger import BUCKET, HOME, Ledger, cut_by_count


def aggregate(ledger: Ledger, event: dict[str, Any]) -> dict[str, Any]:
    return aggregate_results(event, ledger.storage, results_bucket=BUCKET, memory_mb=1024)


Row = dict[str, str]


def failed_children(ledger: Ledger, *rows: Row, body: bytes | None = None) -> dict[str, Any]:
    """What the Map answers, with the ResultWriter's files that say why children failed: JSON lines, or `body`."""
    text = b"".join(msgspec.json.encode(row) + b"\n" for row in rows) if body is None else body
    ledger.storage.write(HOME + "map-run/u/FAILED_0.json", text)
    key = f"{HOME.removeprefix(f's3://{BUCKET}/')}map-run/u/"
    files = [{"Key": key + "FAILED_0.json", "Size": len(text)}]
    manifest = {"ResultFiles": {"FAILED": files, "PENDING": [], "SUCCEEDED": []}}
    ledger.storage.write(HOME + "map-run/u/manifest.json", msgspec.json.encode(manifest))
    return {"ResultWriterDetails": {"Bucket": BUCKET, "Key": key + "manifest.json"}}


THROTTLED = {"Status": "FAILED", "Error": "Lambda.TooManyRequestsException", "Cause": "Rate exceeded"}
UNSPOKEN = {"Status": "TIMED_OUT"}


def last_reason(ledger: Ledger, map_run: dict[str, Any]) -> str:
    """The reason of a job whose last round went so."""
    last = ledger.round(round=5, stalled=limits.MAX_STALLED_ROUNDS - 1)
    ledger.storage.write(HOME + "work/5.jsonl", ledger.storage.read(HOME + "work/0.jsonl"))
    reason = aggregate(ledger, {**last, "map_run": map_run})["summary"]["reason"]
    assert isinstance(reason, str)
    return reason


@pytest.mark.parametrize("pretty", [False, True])
def test_why_children_failed_is_read_from_an_array_as_from_lines(pretty: bool) -> None:
    ledger = Ledger([2, 2, 2])
    rows = [THROTTLED, UNSPOKEN, THROTTLED]
    body = msgspec.json.format(msgspec.json.encode(rows), indent=2 if pretty else 0)
    assert last_reason(ledger, failed_children(ledger, body=body)) == (
        "after 6 rounds 3 entries are unfinished: Lambda.TooManyRequestsException: Rate exceeded (2 entries);"
        " TIMED_OUT: no cause given (1 entries)"
    )


@pytest.mark.parametrize("is_array", [False, True])
def test_of_a_large_file_the_first_rows_say_why(is_array: bool) -> None:
    """5 MB of rows, each of them cut somewhere else than where the reading ends."""
    ledger = Ledger([2])
    rows = [msgspec.json.encode({**THROTTLED, "Input": "ü" * 50_000})] * 50
    body = b"[" + b",".join(rows) + b"]" if is_array else b"\n".join(rows)
    before = ledger.storage.requests().gets
    assert "Rate exceeded (10 entries)" in last_reason(ledger, failed_children(ledger, body=body))
    assert ledger.storage.requests().gets > before


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"[", b"nonsense", b"[1, null, []]", b"\xff\xfe", b'{"Status": 7', b"[" * 3000]
)
def test_a_file_that_says_nothing_is_no_error(body: bytes) -> None:
    ledger = Ledger([2])
    assert last_reason(ledger, failed_children(ledger, body=body)).endswith(
        "unfinished: no error was reported"
    )


def test_files_that_are_missing_are_no_error() -> None:
    ledger = Ledger([2])
    children = failed_children(ledger, THROTTLED)
    ledger.storage.delete(HOME + "map-run/u/FAILED_0.json")
    assert last_reason(ledger, children).endswith("unfinished: no error was reported")
    ledger.storage.delete(HOME + "map-run/u/manifest.json")
    assert last_reason(ledger, children).endswith("unfinished: no error was reported")
    assert last_reason(ledger, {}).endswith("unfinished: no error was reported")


def test_a_long_cause_is_cut_so_that_the_execution_can_say_it() -> None:
    """A Fail state's cause, and the summary, are bounded; a Lambda's stack trace is not."""
    ledger = Ledger([2])
    assert len(last_reason(ledger, failed_children(ledger, {**THROTTLED, "Cause": "x" * 100_000}))) < 1000
    stop = {"Error": "ModelError", "Cause": "y" * 100_000}
    assert len(aggregate(ledger, {**ledger.round(), "stop": stop})["summary"]["reason"]) < 1000


def test_a_job_in_which_nothing_goes_wrong_has_one_round() -> None:
    ledger = Ledger([4, 4, 2])
    for entry in ledger.entries:
        ledger.commit(entry)
    answer = aggregate(ledger, ledger.round())
    summary = answer["summary"]
    assert answer["entries"] == 0
    assert summary["status"] == "SUCCEEDED"
    assert summary["items"] == {
        "total": 10,
        "predicted": 10,
        "dead_lettered": 0,
        "missing": 0,
        "duplicated": 0,
    }
    assert (summary["rounds"], summary["invocations"], summary["cold_starts"]) == (1, 3, 3)
    assert summary["billed_gb_s"] == 4.5  # 3 invocations of 1 s with 0.5 s of init, at 1 GB
    assert summary["latency_ms"] == {"p50": 1500, "p95": 1500, "p99": 1500}
    assert summary["reason"] is None
    assert msgspec.json.decode(ledger.storage.read(HOME + "summary.json")) == summary
    assert ledger.storage.read(HOME + "_SUCCESS") == b""
    parts = [msgspec.json.decode(line) for line in ledger.storage.read(HOME + "parts.jsonl").splitlines()]
    assert [(part["first"], part["count"]) for part in parts] == [(0, 4), (4, 4), (8, 2)]


def test_aggregating_again_answers_the_same() -> None:
    ledger = Ledger([4])
    ledger.commit(ledger.entries[0])
    first, second = (aggregate(ledger, ledger.round())["summary"] for _ in range(2))
    for summary in (first, second):
        for moving in ("ended_at", "duration_s", "items_per_s", "root"):
            summary.pop(moving)
    assert first == second


def test_an_empty_job_succeeds() -> None:
    ledger = Ledger([])
    summary = aggregate(ledger, ledger.round())["summary"]
    assert (summary["status"], summary["items"]["total"], summary["rounds"]) == ("SUCCEEDED", 0, 0)


def test_what_is_left_over_is_the_next_rounds_work() -> None:
    ledger = Ledger([8, 8])
    one, two = ledger.entries
    ledger.commit(one, rest=cut_by_count(one, 4), died="Sandbox.Timedout")
    ledger.commit(two)
    answer = aggregate(ledger, ledger.round())
    assert (answer["round"], answer["entries"], answer["wait_s"], answer["decided"]) == (1, 4, 0, 8)
    assert answer["work_key"].endswith("/work/1.jsonl")
    assert [e.entry for e in read_work(ledger.storage, HOME, 1)] == [f"000000.{n}" for n in range(4)]
    assert "summary" not in answer


def test_an_entry_that_nobody_decided_waits_and_is_tried_again() -> None:
    ledger = Ledger([8, 8])
    ledger.commit(ledger.entries[0])
    answer = aggregate(ledger, ledger.round())
    assert (answer["entries"], answer["wait_s"], answer["stalled"]) == (1, limits.STALLED_WAIT_S, 0)
    (again,) = read_work(ledger.storage, HOME, 1)
    assert (again.entry, again.attempt) == ("000001", 2)


def test_after_three_rounds_that_decide_nothing_the_items_are_missing() -> None:
    ledger = Ledger([8])
    event, waits = ledger.round(), []
    for _ in range(limits.MAX_STALLED_ROUNDS):
        children = failed_children(ledger, {"Status": "FAILED", "Error": "Lambda.TooManyRequestsException"})
        event = aggregate(ledger, {**event, "map_run": children})
        waits.append(event["wait_s"])
    summary = event["summary"]
    assert waits == [60, 120, 0]
    assert (summary["status"], summary["items"]["missing"]) == ("FAILED", 8)
    assert "Lambda.TooManyRequestsException" in summary["reason"]
    with pytest.raises(FileNotFoundError):
        ledger.storage.read(HOME + "_SUCCESS")


def test_a_model_that_cannot_be_loaded_stops_the_job_at_once() -> None:
    ledger = Ledger([8, 8])
    cause = msgspec.json.encode({"errorType": "ModelError", "errorMessage": "no signature 'x'"}).decode()
    children = failed_children(ledger, {"Status": "FAILED", "Error": "ModelError", "Cause": cause})
    summary = aggregate(ledger, {**ledger.round(), "map_run": children})["summary"]
    assert (summary["status"], summary["reason"]) == ("FAILED", "ModelError: no signature 'x'")


def test_a_probe_that_failed_stops_the_job_with_its_words() -> None:
    ledger = Ledger([8])
    said = "rejects every one; Authorization: Bearer eyJhbGciOi"
    stop = {"Error": "ModelError", "Cause": json.dumps({"errorMessage": said})}
    summary = aggregate(ledger, {**ledger.round(), "stop": stop})["summary"]
    assert (summary["reason"], summary["items"]["missing"]) == (
        "ModelError: rejects every one; Authorization: Bearer …",
        8,
    )


@pytest.mark.parametrize(
    ("entries", "died", "stops"),
    [(1, 1, False), (3, 3, False), (4, 3, False), (4, 4, True), (8, 4, False), (8, 5, True), (100, 51, True)],
)
def test_a_round_in_which_most_entries_die_stops_the_job(entries: int, died: int, stops: bool) -> None:
    ledger = Ledger([4] * entries)
    for number, entry in enumerate(ledger.entries):
        if number < died:
            ledger.commit(entry, rest=cut_by_count(entry, 4), died="Runtime.OutOfMemory")
        else:
            ledger.commit(entry)
    answer = aggregate(ledger, ledger.round())
    assert ("summary" in answer) == stops
    if stops:
        assert f"{died} of {entries} invocations of round 0 died" in answer["summary"]["reason"]


@pytest.mark.parametrize("error", ["ModelError", "ItemsChanged"])
def test_what_no_round_can_mend_stops_the_job_in_the_first(error: str) -> None:
    ledger = Ledger([8, 8])
    ledger.commit(ledger.entries[0])
    cause = msgspec.json.encode({"errorMessage": "as it is"}).decode()
    children = failed_children(ledger, THROTTLED, {"Status": "FAILED", "Error": error, "Cause": cause})
    summary = aggregate(ledger, {**ledger.round(), "map_run": children})["summary"]
    assert (summary["reason"], summary["items"]["missing"]) == (f"{error}: as it is", 8)


def test_a_job_that_was_stopped_before_its_first_round_had_none() -> None:
    ledger = Ledger([8] * 30)
    summary = aggregate(ledger, {**ledger.round(), "stop": {"Error": "ModelError", "Cause": "x"}})["summary"]
    assert (summary["rounds"], summary["invocations"], summary["billed_gb_s"]) == (0, 0, 0)


def test_a_failed_job_takes_back_the_mark_of_an_earlier_success() -> None:
    ledger = Ledger([8])
    ledger.storage.write(HOME + "_SUCCESS", b"")
    aggregate(ledger, {**ledger.round(), "stop": {"Error": "ModelError", "Cause": "x"}})
    with pytest.raises(FileNotFoundError):
        ledger.storage.read(HOME + "_SUCCESS")


def test_parts_of_an_entry_that_nobody_decided_may_still_come_to_count() -> None:
    """A job ends with it missing, its writer was only slow, and a resume finds commit and part."""
    ledger = Ledger([4, 4])
    ledger.commit(ledger.entries[0])
    late = ledger.entries[1]
    ledger.storage.write(HOME + f"predictions/{late.entry}-r.jsonl", b"{}\n" * 4)
    stop = {"Error": "Sandbox.Timedout", "Cause": "x"}
    assert aggregate(ledger, {**ledger.round(), "stop": stop})["summary"]["items"]["missing"] == 4
    assert ledger.keys("predictions") == ["000000-r.jsonl", "000001-r.jsonl"]
    ledger.commit(late)
    assert aggregate(ledger, ledger.round(round=1, entries=0))["summary"]["status"] == "SUCCEEDED"


def test_orphans_go_and_parts_that_count_stay() -> None:
    ledger = Ledger([4])
    ledger.storage.write(HOME + "predictions/000000-zombie.jsonl", b"{}\n")
    ledger.storage.write(HOME + "failures/000000-zombie.jsonl", b"{}\n")
    ledger.commit(ledger.entries[0], dead=1)
    aggregate(ledger, ledger.round())
    assert ledger.keys("predictions") == ["000000-r.jsonl"]
    assert ledger.keys("failures") == ["000000-r.jsonl"]


@pytest.mark.parametrize(
    ("dead", "tolerated", "status"),
    [
        (0, 0, "SUCCEEDED"),
        (1, 100, "PARTIALLY_FAILED"),
        (1, 10, "PARTIALLY_FAILED"),
        (1, 9.9, "FAILED"),
        (9, 100, "PARTIALLY_FAILED"),
        (10, 100, "FAILED"),
    ],
)
def test_the_verdict_is_by_items(dead: int, tolerated: float, status: str) -> None:
    ledger = Ledger([10], tolerated=tolerated)
    ledger.commit(ledger.entries[0], dead=dead)
    summary = aggregate(ledger, ledger.round())["summary"]
    assert summary["status"] == status
    assert (summary["reason"] is not None) == (status == "FAILED")
    assert summary["failures"] == ({"NotFound": dead} if dead else {})


def test_a_verdict_does_not_say_that_ten_is_more_than_ten() -> None:
    ledger = Ledger([100_000], tolerated=10)
    ledger.commit(ledger.entries[0], dead=10_001)
    summary = aggregate(ledger, ledger.round())["summary"]
    assert summary["status"] == "FAILED"
    assert summary["reason"] == (
        "10001 of 100000 items (10.001 %) are dead letters (NotFound 10001); 10 % are tolerated"
    )


@given(st.integers(1, 100_000), st.integers(0, 10_000))
def test_exactly_what_is_tolerated_is_tolerated(total: int, hundredths: int) -> None:
    """Percentages that a person writes, against counts that come to exactly that."""
    tolerated = hundredths / 100
    most = total * hundredths // 10_000
    for dead, status in ((most, "PARTIALLY_FAILED"), (most + 1, "FAILED")):
        if 0 < dead < total:
            ledger = Ledger([total], tolerated=tolerated)
            ledger.commit(ledger.entries[0], dead=dead)
            assert aggregate(ledger, ledger.round())["summary"]["status"] == status


def test_a_resumes_rate_counts_only_what_it_did() -> None:
    ledger = Ledger([1000])
    ledger.commit(ledger.entries[0])
    resumed = ledger.round(decided=1000, decided_before=1000)
    assert aggregate(ledger, resumed)["summary"]["items_per_s"] == 0


@given(st.lists(st.integers(1, 300), min_size=1, max_size=6), st.integers(0, 2**32))
def test_any_poison_is_found_and_every_item_is_accounted_for(counts: list[int], seed: int) -> None:
    """Rounds over a job in which one item kills whoever touches it: 16 further invocations in 256, 5 rounds."""
    ledger = Ledger(counts)
    poison = seed % ledger.total
    event = ledger.round()
    while event["entries"]:
        for entry in read_work(ledger.storage, HOME, event["round"]):
            if not entry.first <= poison < entry.first + entry.count:
                ledger.commit(entry)
            elif entry.count > 1:
                ledger.commit(entry, rest=cut_by_count(entry, limits.CUT_INTO), died="Runtime.ExitError")
            else:
                ledger.commit(entry, dead=1, died="Runtime.ExitError")
        event = aggregate(ledger, event)
    items = event["summary"]["items"]
    assert (items["dead_lettered"], items["missing"]) == (1, 0)
    assert items["predicted"] == ledger.total - 1
    if max(counts) <= 256:
        assert event["summary"]["invocations"] - len(counts) <= 20
        assert event["summary"]["rounds"] <= 5
