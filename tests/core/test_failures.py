"""HandleFailure: an entry whose invocation died is cut in four; an item that died alone is a dead letter."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwise import limits
from fanwise.commits import decide, read_commit
from fanwise.errors import ItemsChanged
from fanwise.records import Commit, Entry, Invocation, home_of
from jobs import INPUT, RESULTS, TIMEOUT_S, JobCloud, planned

TIMED_OUT = {
    "Error": "Sandbox.Timedout",
    "Cause": '{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: 9a3e7f7a-0f2b-4a0e-9b62-0c5c3c1f0f5e'
    ' Error: Task timed out after 120.00 seconds"}',
}


@pytest.fixture
def cloud() -> Iterator[JobCloud]:
    made = JobCloud()
    yield made
    made.close()


def handled(cloud: JobCloud, job_id: str, entry: Entry, failure: dict[str, str] = TIMED_OUT) -> Commit:
    """The commit after HandleFailure, whose answer has to agree with it."""
    payload = {"job_id": job_id, "entry": msgspec.to_builtins(entry), "failure": failure}
    answer = cloud.handle_failure(payload)
    commit = read_commit(cloud.storage, home_of(RESULTS, job_id), entry.entry)
    assert commit is not None
    left = sum(rest.count for rest in commit.rest)
    assert answer == {
        "entry": entry.entry,
        "predicted": commit.predicted,
        "dead_lettered": commit.dead_lettered,
        "rest": left,
        "commit": msgspec.json.decode(msgspec.json.encode(commit)),
    }
    assert commit.predicted + commit.dead_lettered + left == entry.count
    return commit


def dead_letter(cloud: JobCloud, name: str, data: bytes, failure: dict[str, str] = TIMED_OUT) -> Any:
    """The line of a file's only item after its invocation died."""
    round_, (entry,) = planned(cloud, cloud.put_items(name, data))
    commit = handled(cloud, round_.job_id, entry, failure)
    assert commit.failures is not None
    assert (commit.dead_lettered, commit.failures.first, commit.failures.count) == (1, 0, 1)
    assert commit.failures_by_error == {failure["Error"]: 1}
    body = cloud.storage.read(home_of(RESULTS, round_.job_id) + commit.failures.key)
    assert len(body) == commit.failures.size_bytes
    assert body.endswith(b"\n")
    return json.loads(body)


@given(st.lists(st.sampled_from(["", "no JSON", "blank"]), min_size=2, max_size=60), st.integers(1, 60))
def test_an_entry_is_cut_in_four_as_equal_as_can_be(lines: list[str], batch_size: int) -> None:
    text = {"": '{"inputs": {"x": 1}}\n', "no JSON": "?\r\n", "blank": '\n \n{"inputs": {"x": 2}}\n'}
    cloud = JobCloud()
    try:
        uri = cloud.put_items("items.jsonl", "".join(text[line] for line in lines).encode())
        round_, entries = planned(cloud, uri, batch_size=batch_size)
        for entry in entries:
            if entry.count == 1:
                continue
            commit = handled(cloud, round_.job_id, entry)
            assert len(commit.rest) == min(limits.CUT_INTO, entry.count)
            counts = [piece.count for piece in commit.rest]
            assert max(counts) - min(counts) <= 1
            assert commit.rest[0].start == entry.start
            assert commit.rest[-1].end == entry.end
            for before, after in zip(commit.rest, commit.rest[1:], strict=False):
                assert (before.end, before.first + before.count) == (after.start, after.first)
            assert {piece.attempt for piece in commit.rest} == {2}
            assert (commit.died, commit.predicted, commit.dead_lettered) == ("Sandbox.Timedout", 0, 0)
            # What is cut can be predicted: each piece holds what it says.
            for piece in commit.rest:
                payload = {"job_id": round_.job_id, "entry": msgspec.to_builtins(piece)}
                answer = cloud.predict(payload)
                assert answer["predicted"] + answer["dead_lettered"] == piece.count
    finally:
        cloud.close()


def test_the_death_is_billed_to_the_timeout(cloud: JobCloud) -> None:
    round_, (entry,) = planned(cloud, cloud.put_items("i.jsonl", b"{}\n{}\n"))
    invocation = handled(cloud, round_.job_id, entry).invocation
    assert (invocation.duration_ms, invocation.cold) == (TIMEOUT_S * 1000, False)


def test_a_jsonl_item_that_died_alone_is_a_dead_letter_as_it_came(cloud: JobCloud) -> None:
    line = b'\n{"id": "a", "uri": "b/c.png", "label": 1.10, "big": 12345678901234567890}\n'
    assert dead_letter(cloud, "d/i.jsonl", line) == {
        "index": 0,
        "id": "a",
        "uri": f"s3://{INPUT}/d/b/c.png",
        "label": 1.1,
        "big": 12345678901234567890,
        "failure": {
            "error": "Sandbox.Timedout",
            "message": "Task timed out after 120.00 seconds",
            "stage": "invocation",
            "attempts": 1,
            "line": 2,
        },
    }


def test_a_csv_item_that_died_alone_is_a_dead_letter_as_it_came(cloud: JobCloud) -> None:
    row = dead_letter(cloud, "i.csv", b'id,x,note\n7,1.5,"two\nlines"\n')
    assert (row["id"], row["inputs"], row["note"]) == ("7", {"x": 1.5}, "two\nlines")
    assert row["failure"]["line"] == 2


@pytest.mark.parametrize(
    ("data", "raw"),
    [
        (b"no JSON", {"raw": "no JSON"}),
        (b"\xff\xfe", {"raw": "//4=", "raw_encoding": "base64"}),
    ],
)
def test_a_line_that_is_no_item_dies_as_the_line_it_is(
    cloud: JobCloud, data: bytes, raw: dict[str, str]
) -> None:
    row = dead_letter(cloud, "i.jsonl", data)
    assert {key: row[key] for key in raw} == raw
    assert row["failure"]["stage"] == "invocation"


def test_a_line_of_40_mb_dies_without_being_read_whole(cloud: JobCloud) -> None:
    line = b'{"inputs": {"x": 1}, "pad": "' + b"." * (limits.MAX_ENTRY_BYTES + 8_000_000) + b'"}\n'
    row = dead_letter(cloud, "i.jsonl", line)
    assert len(row["raw"]) == limits.RAW_KEPT_BYTES


def test_an_entry_that_was_decided_meanwhile_is_left_as_it_is(cloud: JobCloud) -> None:
    uri = cloud.put_items("i.jsonl", b'{"inputs": {"x": 1}}\n' * 3)
    round_, (entry,) = planned(cloud, uri)
    cloud.predict({"job_id": round_.job_id, "entry": msgspec.to_builtins(entry)})
    cloud.storage.delete(uri)  # nor are its items looked at
    commit = handled(cloud, round_.job_id, entry)
    assert (commit.predicted, commit.died) == (3, None)


def test_a_rival_that_commits_last_of_all_goes_by_the_cut(cloud: JobCloud) -> None:
    round_, (entry,) = planned(cloud, cloud.put_items("i.jsonl", b'{"inputs": {"x": 1}}\n' * 8))
    cut = handled(cloud, round_.job_id, entry)
    zombie = Commit(
        entry=entry.entry, attempt=1, invocation=Invocation(request_id="z", duration_ms=1), predicted=8
    )
    assert decide(cloud.storage, home_of(RESULTS, round_.job_id), zombie) == cut


@pytest.mark.parametrize("change", ["other bytes", "gone"])
@pytest.mark.parametrize("count", [1, 3])
def test_items_that_changed_since_the_plan_are_not_cut(cloud: JobCloud, count: int, change: str) -> None:
    uri = cloud.put_items("i.jsonl", b'{"inputs": {"x": 1}}\n' * count)
    round_, (entry,) = planned(cloud, uri)
    if change == "gone":
        cloud.storage.delete(uri)
    else:
        cloud.put_items("i.jsonl", b"other")
    with pytest.raises(ItemsChanged, match=r"i\.jsonl is no longer the version that was planned"):
        handled(cloud, round_.job_id, entry)
    assert read_commit(cloud.storage, home_of(RESULTS, round_.job_id), entry.entry) is None


def test_an_entry_of_one_whose_bytes_hold_two_is_refused(cloud: JobCloud) -> None:
    round_, (entry,) = planned(cloud, cloud.put_items("i.jsonl", b"{}\n{}\n"))
    with pytest.raises(ItemsChanged, match="planned with 1 item and its bytes hold 2"):
        handled(cloud, round_.job_id, msgspec.structs.replace(entry, count=1))


REQUEST = "RequestId: 9a3e7f7a-0f2b-4a0e-9b62-0c5c3c1f0f5e Error: "


@pytest.mark.parametrize(
    ("error", "cause", "message"),
    [
        (
            "Runtime.ExitError",
            json.dumps({"errorType": "Runtime.ExitError", "errorMessage": REQUEST + "Runtime exited"}),
            "Runtime exited",
        ),
        (
            "Runtime.OutOfMemory",
            json.dumps(
                {"errorMessage": REQUEST + "Runtime exited with error: signal: killed", "errorType": "x"}
            ),
            "Runtime exited with error: signal: killed",
        ),
        (
            "Lambda.Unknown",
            "The cause could not be determined because Lambda did not return an error type. Returned payload:"
            ' {"errorMessage":"2026-08-01T15:29:05.297Z 9a3e7f7a-0f2b-4a0e-9b62-0c5c3c1f0f5e Task timed out after'
            ' 3.01 seconds"}',
            "Task timed out after 3.01 seconds",
        ),
        ("States.Timeout", "", "States.Timeout"),
        ("Runtime.ExitError", "plain words\nof two lines", "plain words"),
        ("Runtime.ExitError", "GET https://h/k?X-Amz-Signature=5f3a", "GET https://h/k?X-Amz-Signature=…"),
        ("Runtime.ExitError", '{"errorMessage": ""}', "Runtime.ExitError"),
        ("Runtime.ExitError", '{"errorMessage": null}', '{"errorMessage": null}'),
        (
            "Runtime.ExitError",
            '{"errorMessage": "a \\"quote\\" and Error: more"}',
            'a "quote" and Error: more',
        ),
        ("Runtime.ExitError", json.dumps({"errorMessage": "x" * 9999}), f"{'x' * 749}…{'x' * 250}"),
    ],
)
def test_the_message_is_what_lambda_said_without_the_requests_id(
    cloud: JobCloud, error: str, cause: str, message: str
) -> None:
    row = dead_letter(cloud, "i.jsonl", b'{"inputs": {"x": 1}}', {"Error": error, "Cause": cause})
    assert (row["failure"]["error"], row["failure"]["message"]) == (error, message)


def test_a_cause_may_be_left_out(cloud: JobCloud) -> None:
    row = dead_letter(cloud, "i.jsonl", b'{"inputs": {"x": 1}}', {"Error": "States.Timeout"})
    assert row["failure"]["message"] == "States.Timeout"
