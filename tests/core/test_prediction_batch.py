"""One invocation: what it commits always adds up, what it leaves is exactly the rest, and it decides once."""

import json
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_model import FakeModel
from fanwise import limits
from fanwise.commits import decide, read_commit
from fanwise.errors import ItemsChanged, ModelError, StoreUnavailable
from fanwise.records import Commit, Entry, Invocation, Round, job_prefix
from jobs import RESULTS, JobCloud, planned

ERRORS = ["NotFound", "UndecodableImage", "ShapeMismatch", "PredictionFailed", "NonFiniteResult"]


@pytest.fixture
def cloud() -> Iterator[JobCloud]:
    made = JobCloud()
    yield made
    made.close()


class Planned:
    """A planned job of items with these orders, and its invocations one by one."""

    def __init__(
        self, cloud: JobCloud, orders: list[str], batch_size: int = 256, *, raw: bytes = b""
    ) -> None:
        lines = [json.dumps({"id": f"n{i}", "inputs": {"x": i, "order": o}}) for i, o in enumerate(orders)]
        self.cloud = cloud
        self.uri = cloud.put_items("items.jsonl", raw or "".join(line + "\n" for line in lines).encode())
        self.round: Round
        self.entries: list[Entry]
        self.round, self.entries = planned(cloud, self.uri, batch_size=batch_size)
        self.home = f"s3://{RESULTS}/{job_prefix(self.round.job_id)}"

    def predict(self, entry: Entry | None = None, **changes: Any) -> dict[str, Any]:
        entry = entry or self.entries[0]
        payload = {"job_id": self.round.job_id, "entry": msgspec.to_builtins(entry)}
        answer: dict[str, Any] = self.cloud.predict(payload, **changes)
        return answer

    def commit(self, entry: Entry | None = None) -> Commit:
        found = read_commit(self.cloud.storage, self.home, (entry or self.entries[0]).entry)
        assert found is not None
        return found

    def lines(self, commit: Commit, kind: str) -> list[dict[str, Any]]:
        """The lines of a commit's part, after checking that it is what the commit says."""
        part = commit.predictions if kind == "predictions" else commit.failures
        if part is None:
            return []
        body = self.cloud.storage.read(self.home + part.key)
        rows = [json.loads(line) for line in body.splitlines()]
        assert (len(body), len(rows), rows[0]["index"]) == (part.size_bytes, part.count, part.first)
        return rows

    def objects(self) -> list[str]:
        """What lies in the job's home beside the plan."""
        prefix = f"jobs/{self.round.job_id}/"
        keys = [info.key.removeprefix(prefix) for info in self.cloud.storage.list(self.home)]
        return sorted(key for key in keys if key.startswith(("commits", "predictions", "failures")))


def counts(answer: dict[str, Any]) -> dict[str, Any]:
    """What an answer says beside the commit."""
    return {name: value for name, value in answer.items() if name != "commit"}


def test_an_entry_is_read_predicted_written_and_committed(cloud: JobCloud) -> None:
    job = Planned(cloud, ["", "NotFound", "", "PredictionFailed"])
    answer = job.predict()
    assert counts(answer) == {"entry": "000000", "predicted": 2, "dead_lettered": 2, "rest": 0}
    commit = job.commit()
    assert msgspec.convert(answer["commit"], Commit) == commit
    assert commit.failures_by_error == {"NotFound": 1, "PredictionFailed": 1}
    assert cloud.storage.read(job.home + str(commit.predictions and commit.predictions.key)) == (
        b'{"index":0,"id":"n0","prediction":{"y":1.0}}\n{"index":2,"id":"n2","prediction":{"y":5.0}}\n'
    )
    first, second = job.lines(commit, "failures")
    assert first == {
        "index": 1,
        "id": "n1",
        "inputs": {"x": 1, "order": "NotFound"},
        "failure": {
            "error": "NotFound",
            "message": "as the item ordered: NotFound",
            "stage": "fetch",
            "attempts": 1,
            "line": 2,
        },
    }
    assert (second["index"], second["failure"]["stage"]) == (3, "predict")


@given(
    st.lists(st.sampled_from(["", "", "", *ERRORS, "StoreUnavailable"]), min_size=1, max_size=40),
    st.integers(1, 40),
    st.integers(1, 6),
    st.integers(1, 60),
)
def test_counts_add_up_whatever_happens(
    orders: list[str], batch_size: int, mini_batch: int, calls_left: int
) -> None:
    """Faults of the store and of time anywhere; what is left is tried as it is left, until nothing is."""
    cloud = JobCloud(model=FakeModel(mini_batch))
    try:
        job = Planned(cloud, orders, batch_size)
        todo, seen = list(job.entries), dict[int, str]()
        while todo:
            entry = todo.pop()
            waiting = iter(range(calls_left, 0, -1))  # each time it is asked there is less time
            try:
                job.predict(entry, time_left_s=lambda w=waiting: next(w, 0) + limits.AFTER_LOAD_S)
            except StoreUnavailable:
                assert orders[entry.first] == "StoreUnavailable"
                with pytest.raises(AssertionError):
                    job.commit(entry)
                orders[entry.first] = ""  # the store comes back
                cloud.model._obey = lambda order: None  # type: ignore[method-assign]
                todo.append(entry)
                continue
            commit = job.commit(entry)
            done = commit.predicted + commit.dead_lettered
            assert done + sum(rest.count for rest in commit.rest) == entry.count
            set_apart = orders[entry.first] == "StoreUnavailable" and entry.attempt >= limits.ALONE_ATTEMPT
            assert done >= 1 or (set_apart and commit.rest[0].count == 1 < entry.count)
            position, start, line = entry.first + done, None, None
            for rest in commit.rest:
                assert rest.first == position
                assert start in (None, rest.start)
                position, start, line = rest.first + rest.count, rest.end, rest.first_line
                assert (rest.attempt, line) == (entry.attempt + 1, rest.first + 1)
            assert position == entry.first + entry.count
            assert start in (None, entry.end)
            todo += commit.rest
            for kind in ("predictions", "failures"):
                for row in job.lines(commit, kind):
                    assert row["index"] not in seen
                    seen[row["index"]] = kind
                    assert entry.first <= row["index"] < entry.first + done
        assert sorted(seen) == list(range(len(orders)))
    finally:
        cloud.close()


def test_an_entry_that_is_decided_is_not_predicted_again(cloud: JobCloud) -> None:
    job = Planned(cloud, [""] * 5)
    first = job.predict()
    objects = job.objects()
    assert job.predict() == first
    assert sum(map(len, cloud.model.predicted)) == 5
    assert job.objects() == objects


def test_a_rivals_commit_wins(cloud: JobCloud) -> None:
    """It comes between this invocation's look and its own commit; this one answers with it."""
    job = Planned(cloud, [""] * 5)
    rival = Commit(
        entry="000000",
        attempt=1,
        invocation=Invocation(request_id="rival", duration_ms=1),
        dead_lettered=5,
        failures_by_error={"NotFound": 5},
    )

    def commit_meanwhile() -> None:
        decide(cloud.storage, job.home, rival)

    cloud.model._on_predict = commit_meanwhile
    assert counts(job.predict()) == {"entry": "000000", "predicted": 0, "dead_lettered": 5, "rest": 0}
    assert job.commit() == rival


def test_a_commit_whose_answer_was_lost_is_read_back(cloud: JobCloud) -> None:
    job = Planned(cloud, [""] * 5)
    cloud.results.fault = "commit's answer lost"
    assert job.predict()["predicted"] == 5
    assert job.commit().predicted == 5


def test_a_commit_that_was_refused_is_worth_another_attempt(cloud: JobCloud) -> None:
    job = Planned(cloud, [""] * 5)
    cloud.results.fault = "commit refused"
    with pytest.raises(StoreUnavailable, match=r"s3://results/.*/commits/000000\.json: 409 Conflict"):
        job.predict()
    assert job.predict()["predicted"] == 5
    assert [key.split("/")[0] for key in job.objects()] == ["commits", "predictions", "predictions"]


def test_requests_and_times_are_those_of_this_invocation(cloud: JobCloud) -> None:
    for i in range(3):
        cloud.storage.write(f"s3://input/{i}", b"%d" % i)
    raw = b"".join(b'{"uri": "%d"}\n' % i for i in range(3)) + b"no JSON\n"
    job = Planned(cloud, [], raw=raw, batch_size=2)
    began = time.monotonic()
    job.predict(job.entries[0], request_id="r1", cold=True, init_ms=123.46)
    job.predict(job.entries[1], request_id="r2", cold=False)
    took_ms = (time.monotonic() - began) * 1000
    cold, warm = job.commit(job.entries[0]).invocation, job.commit(job.entries[1]).invocation
    # job.json (once), the look for a commit, the items and an object each; a part each, and the commit
    assert (cold.request_id, cold.gets, cold.puts) == ("r1", 1 + 1 + 1 + 2, 2)
    assert (warm.request_id, warm.gets, warm.puts) == ("r2", 1 + 1 + 1, 3)
    assert (cold.cold, cold.init_ms, warm.cold) == (True, 123.5, False)
    assert 0 < cold.duration_ms + warm.duration_ms <= took_ms + 1
    assert cold.load_ms <= cold.duration_ms


def test_a_part_grows_no_larger_than_it_may(cloud: JobCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fanwise.prediction.parts.MAX_PART_BYTES", 100)
    monkeypatch.setattr("fanwise.prediction.parts.LINES_AT_ONCE", 1)
    job = Planned(cloud, [""] * 20)
    assert counts(job.predict()) == {"entry": "000000", "predicted": 3, "dead_lettered": 0, "rest": 17}
    (rest,) = job.commit().rest
    assert (rest.entry, rest.first, rest.count, rest.attempt) == ("000000.0", 3, 17, 2)
    assert cloud.model.encoding == 0


@pytest.mark.parametrize(("load_s", "entries"), [(0.0, 9), (20.0, 6), (1000.0, 1)])
def test_a_slow_entry_leaves_as_many_entries_as_have_work_for_an_invocation(
    cloud: JobCloud, monkeypatch: pytest.MonkeyPatch, load_s: float, entries: int
) -> None:
    """A mini-batch of 4 took 40 s, and all its time: 36 items more are nine invocations' work.

    Fewer, where the model had to be loaded first, which the next invocation finds done.
    """
    now_s = [load_s]
    monkeypatch.setattr("fanwise.prediction.batch.time", SimpleNamespace(monotonic=lambda: now_s[0]))
    cloud.model._on_predict = lambda: now_s.__setitem__(0, now_s[0] + 40)
    job = Planned(cloud, [""] * 40)
    left = iter([limits.DEADLINE_RESERVE_S])
    job.predict(started=0.0, time_left_s=lambda: next(left, limits.AFTER_LOAD_S))
    rest = job.commit().rest
    names = [f"000000.0.{n}" for n in range(entries)] if entries > 1 else ["000000.0"]
    assert [entry.entry for entry in rest] == names
    assert {entry.attempt for entry in rest} == {2}
    assert (rest[0].first, rest[-1].first + rest[-1].count) == (4, 40)
    for entry in rest:
        assert job.predict(entry)["predicted"] == entry.count


def test_what_the_store_broke_off_is_left_with_the_item_it_broke_at_alone(cloud: JobCloud) -> None:
    job = Planned(cloud, [*[""] * 7, "StoreUnavailable", *[""] * 12])
    assert counts(job.predict()) == {"entry": "000000", "predicted": 7, "dead_lettered": 0, "rest": 13}
    alone, others = job.commit().rest
    assert [(rest.entry, rest.first, rest.count, rest.attempt) for rest in (alone, others)] == [
        ("000000.0", 7, 1, 2),
        ("000000.1", 8, 12, 2),
    ]
    assert job.predict(others)["predicted"] == 12
    with pytest.raises(StoreUnavailable):  # its second attempt
        job.predict(alone)
    third = msgspec.structs.replace(alone, attempt=3)
    assert counts(job.predict(third)) == {"entry": "000000.0", "predicted": 0, "dead_lettered": 1, "rest": 0}
    (row,) = job.lines(job.commit(third), "failures")
    assert row["failure"] == {
        "error": "UnreadableObject",
        "message": "could not be read in 3 attempts; the last: 503 Slow Down",
        "stage": "fetch",
        "attempts": 3,
        "line": 8,
    }


def test_a_first_item_that_is_not_to_be_had_is_set_apart_when_it_is_tried_again(cloud: JobCloud) -> None:
    job = Planned(cloud, ["StoreUnavailable", *[""] * 5])
    with pytest.raises(StoreUnavailable):
        job.predict()
    again = msgspec.structs.replace(job.entries[0], attempt=2)
    assert counts(job.predict(again)) == {"entry": "000000", "predicted": 0, "dead_lettered": 0, "rest": 6}
    assert [(rest.first, rest.count) for rest in job.commit().rest] == [(0, 1), (1, 5)]


@pytest.mark.parametrize("batch_size", [1, 16])
def test_one_object_that_is_never_to_be_had_costs_its_job_one_dead_letter(batch_size: int) -> None:
    cloud = JobCloud()
    orders = [*[""] * 30, "StoreUnavailable", *[""] * 33]
    lines = [json.dumps({"inputs": {"x": i, "order": order}}) for i, order in enumerate(orders)]
    uri = cloud.put_items("items.jsonl", "\n".join(lines).encode())
    execution = cloud.run(cloud.start({"items": uri, "batch_size": batch_size}))
    cloud.close()
    assert execution.status == "SUCCEEDED"
    assert isinstance(execution.output, dict)
    assert execution.output["items"] == {
        "total": 64,
        "predicted": 63,
        "dead_lettered": 1,
        "missing": 0,
        "duplicated": 0,
    }
    assert execution.output["failures"] == {"UnreadableObject": 1}


def test_first_items_that_hang_are_worth_another_attempt(cloud: JobCloud) -> None:
    job = Planned(cloud, ["hang"] * 3)
    with pytest.raises(StoreUnavailable, match="first items were not read before the deadline"):
        job.predict(time_left_s=lambda: limits.DEADLINE_RESERVE_S)
    assert job.objects() == []
    cloud.model.release.set()
    assert job.predict()["predicted"] == 3


def test_a_load_that_leaves_no_time_keeps_the_environment_alive(cloud: JobCloud) -> None:
    job = Planned(cloud, [""] * 3)
    with pytest.raises(
        StoreUnavailable, match="to load, which left no time; the next attempt finds it loaded"
    ):
        job.predict(time_left_s=lambda: limits.AFTER_LOAD_S - 0.1)
    assert cloud.model.predicted == []
    # Between that and the reserve, one mini-batch is tried.
    assert job.predict(time_left_s=lambda: limits.AFTER_LOAD_S)["predicted"] == 3


def test_a_line_over_the_limit_is_a_dead_letter_among_its_neighbours(cloud: JobCloud) -> None:
    long = b'{"inputs": {"x": 1}, "pad": "' + b"." * limits.MAX_LINE_BYTES + b'"}'
    job = Planned(cloud, [], raw=b'{"inputs": {"x": 0}}\n' + long + b'\n{"inputs": {"x": 2}}')
    assert counts(job.predict()) == {"entry": "000000", "predicted": 2, "dead_lettered": 1, "rest": 0}
    (row,) = job.lines(job.commit(), "failures")
    assert (row["index"], row["failure"]["error"], row["failure"]["line"]) == (1, "LineTooLong", 2)
    assert len(row["raw"]) == limits.RAW_KEPT_BYTES


@pytest.mark.parametrize("change", ["other bytes", "fewer items", "gone"])
def test_items_that_changed_since_the_plan_are_never_predicted(cloud: JobCloud, change: str) -> None:
    job = Planned(cloud, [""] * 4)
    if change == "gone":
        cloud.storage.delete(job.uri)
    else:
        cloud.put_items("items.jsonl", b"x" if change == "other bytes" else b'{"inputs": {"x": 1}}\n')
    with pytest.raises(ItemsChanged, match=r"items\.jsonl is no longer the version that was planned"):
        job.predict()
    assert job.objects() == []


@pytest.mark.parametrize("count", [3, 5])
def test_an_entry_that_is_not_what_its_bytes_hold_is_refused(cloud: JobCloud, count: int) -> None:
    job = Planned(cloud, [""] * 4)
    with pytest.raises(ItemsChanged, match=f"planned with {count} items and its bytes hold 4"):
        job.predict(msgspec.structs.replace(job.entries[0], count=count))
    assert job.objects() == []


def test_a_dead_letter_says_how_often_it_was_tried(cloud: JobCloud) -> None:
    job = Planned(cloud, ["NotFound"])
    job.predict(msgspec.structs.replace(job.entries[0], attempt=3))
    (row,) = job.lines(job.commit(), "failures")
    assert row["failure"]["attempts"] == 3


def test_a_probe_keeps_nothing(cloud: JobCloud) -> None:
    job = Planned(cloud, ["", "NotFound", "PredictionFailed", ""])
    probe = {"job_id": job.round.job_id, "probe": msgspec.to_builtins(job.entries[0])}
    assert cloud.predict(probe) == {"probed": 4, "failed": 2}
    assert job.objects() == []


@pytest.mark.parametrize(
    ("orders", "stops"),
    [
        (["PredictionFailed"] * 3, True),
        (["NonFiniteResult", "PredictionFailed"], True),
        (["PredictionFailed", "", "PredictionFailed"], False),
        (["PredictionFailed", "NotFound"], False),
        (["NotFound", "UndecodableImage"], False),
    ],
)
def test_a_probe_stops_the_job_only_where_the_model_rejects_all(
    cloud: JobCloud, orders: list[str], stops: bool
) -> None:
    job = Planned(cloud, orders)
    probe = {"job_id": job.round.job_id, "probe": msgspec.to_builtins(job.entries[0])}
    if stops:
        with pytest.raises(ModelError, match=f"rejects every one of the first {len(orders)} items \\("):
            cloud.predict(probe)
    else:
        assert cloud.predict(probe)["probed"] == len(orders)


def test_a_probe_without_time_says_nothing_of_the_model(cloud: JobCloud) -> None:
    job = Planned(cloud, ["PredictionFailed", *[""] * 9])
    probe = {"job_id": job.round.job_id, "probe": msgspec.to_builtins(job.entries[0])}
    assert cloud.predict(probe, time_left_s=lambda: 1.0) == {"probed": 4, "failed": 1}
    job = Planned(cloud, ["hang"])
    probe = {"job_id": job.round.job_id, "probe": msgspec.to_builtins(job.entries[0])}
    assert cloud.predict(probe, time_left_s=lambda: 1.0) == {"probed": 0, "failed": 0}


def test_load_only_loads_and_reads_no_item(cloud: JobCloud) -> None:
    job = Planned(cloud, [""])
    answer = cloud.predict({"job_id": job.round.job_id, "load_only": True})
    assert answer["loaded"].startswith("sha256:")
    assert (cloud.kept.loads, cloud.model.encoded, job.objects()) == (1, [], [])


def test_a_model_error_passes(cloud: JobCloud) -> None:
    job = Planned(cloud, ["", "ModelError"])
    with pytest.raises(ModelError, match="not one row an item"):
        job.predict()
    assert job.objects() == []
    cloud.kept.fails = ModelError("no signature 'x'")
    with pytest.raises(ModelError, match="no signature"):
        job.predict()


def test_an_event_that_asks_nothing_is_refused(cloud: JobCloud) -> None:
    job = Planned(cloud, [""])
    with pytest.raises(msgspec.ValidationError, match="wants an entry, a probe, recompute or load_only"):
        cloud.predict({"job_id": job.round.job_id})
