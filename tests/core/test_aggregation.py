"""AggregateResults: the next round's work, when to stop, and the verdict."""

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


def failed_children(ledger: Ledger, *rows: dict[str, str]) -> dict[str, Any]:
    """What the Map answers, with the ResultWriter's files that say why children failed."""
    text = b"".join(msgspec.json.encode(row) + b"\n" for row in rows)
    ledger.storage.write(HOME + "map-run/u/FAILED_0.jsonl", text)
    key = f"{HOME.removeprefix(f's3://{BUCKET}/')}map-run/u/"
    files = [{"Key": key + "FAILED_0.jsonl", "Size": len(text)}]
    manifest = {"ResultFiles": {"FAILED": files, "PENDING": [], "SUCCEEDED": []}}
    ledger.storage.write(HOME + "map-run/u/manifest.json", msgspec.json.encode(manifest))
    return {"ResultWriterDetails": {"Bucket": BUCKET, "Key": key + "manifest.json"}}


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
        for moving in ("ended_at", "duration_s", "items_per_s"):
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
    stop = {"Error": "ModelError", "Cause": '{"errorMessage": "rejects every one"}'}
    summary = aggregate(ledger, {**ledger.round(), "stop": stop})["summary"]
    assert (summary["reason"], summary["items"]["missing"]) == ("ModelError: rejects every one", 8)


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
