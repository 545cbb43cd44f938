"""What a larger job is tried on before the fan-out, and what stops it there."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.test_job import job_id_of
from fake_model import FakeModel
from fanwise import limits
from fanwise.commits import read_job
from fanwise.errors import MissingInput
from fanwise.items.lines import split_records
from fanwise.planning import probing
from fanwise.planning.probing import probe_of
from fanwise.records import Entry, Probe, Round, home_of
from fanwise_local.states.executions import Execution
from jobs import RESULTS, JobCloud, JobResults


def lines(items: Sequence[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in items)


def plan(cloud: JobCloud, body: bytes, batch_size: int, name: str = "items.jsonl") -> Round:
    """The first round of a job over these items."""
    start = cloud.start({"items": cloud.put_items(name, body), "batch_size": batch_size})
    asked = {"execution": "arn:one", "started_at": "2026-08-01T02:00:00.000Z", "start": start}
    return msgspec.convert(cloud.plan(asked), Round)


def indices(cloud: JobCloud, round_: Round, entry: Entry) -> list[int]:
    """The items in the bytes of an entry, as their own values say."""
    job = read_job(cloud.storage, home_of(RESULTS, round_.job_id))
    data = cloud.storage.read(job.items.uri, entry.start, entry.end)
    records = list(split_records(data, job.items.kind, start=entry.start, first_line=entry.first_line))
    assert len(records) == entry.count
    header = job.items.kind == "csv"
    assert [record.line for record in records] == [entry.first + n + 1 + header for n in range(entry.count)]
    return [
        int(record.text.split(b",")[0]) if header else json.loads(record.text)["id"] for record in records
    ]


@given(
    items=st.integers(21, 700),
    batch_size=st.integers(1, 33),
    is_csv=st.booleans(),
    pad=st.integers(0, 40),
    looked_at=st.sampled_from([1, 30, 200, 1024 * 1024]),
)
def test_ranges_lie_over_the_whole_plan(
    items: int, batch_size: int, is_csv: bool, pad: int, looked_at: int
) -> None:
    cloud = JobCloud()
    pads = ["x" * (n * pad % 41) for n in range(items)]
    if is_csv:
        body = b"id,x,pad\n" + b"".join(b"%d,1,%s\n" % (n, text.encode()) for n, text in enumerate(pads))
    else:
        body = lines([{"id": n, "inputs": {"x": 1}, "pad": text} for n, text in enumerate(pads)])
    with pytest.MonkeyPatch.context() as less:
        less.setattr(probing, "_LOOKED_AT_BYTES", looked_at)
        round_ = plan(cloud, body, batch_size, "items.csv" if is_csv else "items.jsonl")
        again = probe_of(
            cloud.storage,
            home_of(RESULTS, round_.job_id),
            read_job(cloud.storage, home_of(RESULTS, round_.job_id)),
        )
    cloud.close()
    assert round_.probe == again  # whoever plans it
    if round_.entries <= limits.PROBE_ENTRIES:
        assert round_.probe is None
        return
    assert round_.probe is not None
    drawn = [indices(cloud, round_, entry) for entry in round_.probe.ranges()]
    assert len(drawn) == 8
    assert drawn[0][0] == 0
    flat = [index for some in drawn for index in some]
    assert flat == sorted(set(flat))
    assert all(some == list(range(some[0], some[0] + len(some))) for some in drawn)
    assert all(1 <= len(some) <= limits.PROBE_ITEMS for some in drawn)
    eighth = items / 8
    assert all(abs(some[0] - part * eighth) <= 2 * batch_size + eighth for part, some in enumerate(drawn))
    if looked_at > 1000:
        assert len(flat) >= 20  # enough, whatever the batch size


def test_a_range_varies_where_in_its_entry_it_lies() -> None:
    cloud = JobCloud()
    round_ = plan(cloud, lines([{"id": n, "inputs": {"x": 1}} for n in range(256 * 40)]), 256)
    cloud.close()
    assert round_.probe is not None
    assert len({entry.first % 256 for entry in round_.probe.ranges()}) > 5


def test_a_record_that_is_too_long_is_none_of_the_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "_LOOKED_AT_BYTES", 100)
    monkeypatch.setattr(probing, "_LONGER_BYTES", 200)
    cloud = JobCloud()
    items = [{"id": n, "inputs": {"x": 1}, "pad": "x" * (300 if n == 0 else 120)} for n in range(30)]
    round_ = plan(cloud, lines(items), 1)
    assert round_.probe is not None
    assert len(round_.probe.ranges()) == 7
    assert round_.probe.entry == "probe"
    assert indices(cloud, round_, round_.probe) == [3]
    cloud.close()


def test_the_probe_of_an_earlier_version_is_read() -> None:
    entry = Entry(entry="probe", start=0, end=9, first=0, first_line=1, count=1)
    told = msgspec.to_builtins(entry)
    read = msgspec.convert(told, Probe)
    assert (read.ranges(), msgspec.to_builtins(read)) == ((read,), told)
    # And an earlier version reads this one's: it tries the first items.
    assert msgspec.convert({**told, "others": [told]}, Entry) == entry


def run(items: Sequence[dict[str, Any] | str], batch_size: int = 4) -> tuple[Execution, JobCloud, JobResults]:
    cloud = JobCloud(model=FakeModel(8))
    body = "".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in items).encode()
    execution = cloud.run(
        cloud.start({"items": cloud.put_items("items.jsonl", body), "batch_size": batch_size})
    )
    return execution, cloud, JobResults.of(cloud, job_id_of(execution))


GOOD: dict[str, Any] = {"inputs": {"x": 1}}
LACKING: dict[str, Any] = {"inputs": {"X ": 1}}  # the model takes x


@pytest.mark.parametrize(
    ("item", "why"),
    [
        (LACKING, "'X ' is not 'x'"),
        ({"uri": "no.txt", "x": 1} | LACKING, "'x' stands beside \"inputs\", not in it"),
        ({"x": 1, "order": "die"}, 'neither "uri" nor "inputs", so there is nothing to predict from; put'),
    ],
)
def test_items_that_all_lack_an_input_stop_the_job_before_the_fan_out(item: dict[str, Any], why: str) -> None:
    item = {key: value for key, value in item.items() if key != "uri"}
    _, cloud, results = run([item] * 200)
    summary = results.summary
    assert (summary["status"], summary["items"]["missing"]) == ("FAILED", 200)
    assert summary["reason"].startswith(
        "MissingInput: none of 60 items drawn over the whole job has a value for"
    )
    assert "'x'" in summary["reason"]
    assert why in summary["reason"]
    assert [name for name, _ in cloud.calls] == ["PlanJob", "PredictBatch", "AggregateResults"]
    # What the job comes to by a resume is the same again, and nothing is predicted for nothing.
    cloud.calls.clear()
    again = cloud.run({"resume": summary["job_id"]}, "second")
    cloud.close()
    assert again.status == "FAILED"
    assert [name for name, _ in cloud.calls] == ["PlanJob", "PredictBatch", "AggregateResults"]


@pytest.mark.parametrize(
    "lacks",
    [
        lambda n: n < 8,  # bad rows at the top
        lambda n: n < 100,
        lambda n: n >= 8,  # good ones at the top
        lambda n: n % 4 == 0,  # the first of each entry
        lambda n: n % 4 != 0,
        lambda n: n != 0,
    ],
)
def test_items_some_of_which_have_it_stop_nothing(lacks: Any) -> None:
    _, cloud, results = run([LACKING if lacks(n) else GOOD for n in range(200)])
    cloud.close()
    good = sum(not lacks(n) for n in range(200))
    assert results.summary["items"] == {
        "total": 200,
        "predicted": good,
        "dead_lettered": 200 - good,
        "missing": 0,
        "duplicated": 0,
    }


def test_lines_that_are_no_items_lack_nothing() -> None:
    _, cloud, results = run(["no JSON" if n % 4 == 1 else LACKING for n in range(200)])
    cloud.close()
    assert results.summary["reason"].startswith("MissingInput: none of ")
    _, cloud, results = run(["no JSON"] * 200)
    cloud.close()
    assert results.summary["items"]["dead_lettered"] == 200
    _, cloud, results = run([{"inputs": {"x": 1, "order": "NotANumber"}}] * 200)  # not for want of an input
    cloud.close()
    assert results.summary["items"]["dead_lettered"] == 200


def test_items_that_lack_different_inputs_stop_nothing() -> None:
    class Both(FakeModel):
        """A model that reads `order` too."""

        def encode(self, inputs: Any, uri: Any, read: Any, resolve_uri: Any) -> Any:
            if "order" not in inputs:
                raise MissingInput("the item has no value 'order'")
            return super().encode(inputs, uri, read, resolve_uri)

    cloud = JobCloud(model=Both(8))
    body = lines([{"inputs": {"x": 1}} if n % 2 else {"inputs": {"order": ""}} for n in range(200)])
    execution = cloud.run(cloud.start({"items": cloud.put_items("items.jsonl", body), "batch_size": 4}))
    cloud.close()
    assert JobResults.of(cloud, job_id_of(execution)).summary["items"]["dead_lettered"] == 200


def test_a_small_job_says_so_of_each_item() -> None:
    _, cloud, results = run([LACKING] * 20)
    cloud.close()
    assert results.summary["reason"] == "none of 20 items could be predicted (MissingInput 20)"


def test_a_model_that_rejects_the_first_items_and_not_the_others_stops_nothing() -> None:
    bad = {"inputs": {"x": 1, "order": "PredictionFailed"}}
    _, cloud, results = run([bad] * 8 + [GOOD] * 192)
    cloud.close()
    assert results.summary["items"]["predicted"] == 192
    _, cloud, results = run([bad] * 200)
    cloud.close()
    assert results.summary["reason"].startswith(
        "ModelError: the model rejects every one of the first 60 items (PredictionFailed 60) that were drawn over"
    )


MANY = limits.PROBE_SUSPECTS


@pytest.mark.parametrize("batch_size", [100_000, 1000])
@pytest.mark.parametrize(
    "item",
    [
        {"inputs": {"X": 1, "order": ""}},
        {"x": 1, "order": ""},
        {"uri": "u", "inputs": {"order": ""}},
    ],
)
def test_many_items_in_few_entries_that_all_lack_an_input_stop_too(
    item: dict[str, Any], batch_size: int
) -> None:
    class Strict(FakeModel):
        """A model for which a `uri` is nothing."""

        def encode(self, inputs: Any, uri: Any, read: Any, resolve_uri: Any) -> Any:
            return super().encode(inputs, None, read, resolve_uri)

    cloud = JobCloud(model=Strict(8))
    body = lines([item] * MANY)
    execution = cloud.run(
        cloud.start({"items": cloud.put_items("items.jsonl", body), "batch_size": batch_size})
    )
    cloud.close()
    summary = JobResults.of(cloud, job_id_of(execution)).summary
    assert summary["reason"].startswith(
        "MissingInput: none of 64 items drawn over the whole job has a value for"
    )
    assert [name for name, _ in cloud.calls] == ["PlanJob", "PredictBatch", "AggregateResults"]


@pytest.mark.parametrize("name", ["items.csv", "items.jsonl"])
@pytest.mark.parametrize(
    "lacks", [lambda n: False, lambda n: n < MANY // 2, lambda n: n > 100, lambda n: n % 7]
)
def test_many_items_some_of_which_have_it_are_not_even_probed(name: str, lacks: Any) -> None:
    cloud = JobCloud(model=FakeModel(64))
    if name.endswith("csv"):
        body = b"order,x\n" + b"".join(b",\n" if lacks(n) else b",1\n" for n in range(MANY))
    else:
        body = lines([{"inputs": {"order": "", "y" if lacks(n) else "x": 1}} for n in range(MANY)])
    round_ = plan(cloud, body, 1000, name)
    cloud.close()
    assert round_.probe is None


def test_rows_without_a_column_are_probed() -> None:
    cloud = JobCloud(model=FakeModel(64))
    body = b"order,y\n" + b',"two\nlines"\n' * MANY
    start = cloud.start({"items": cloud.put_items("items.csv", body), "batch_size": 100_000})
    execution = cloud.run(start)
    cloud.close()
    assert (
        JobResults.of(cloud, job_id_of(execution))
        .summary["reason"]
        .startswith("MissingInput: none of 8 items")
    )


def test_what_only_seems_to_be_lacking_stops_nothing() -> None:
    cloud = JobCloud(model=FakeModel(64))  # which can do without `order`
    execution = cloud.run(
        cloud.start({"items": cloud.put_items("items.jsonl", lines([GOOD] * MANY)), "batch_size": 100_000})
    )
    cloud.close()
    assert JobResults.of(cloud, job_id_of(execution)).summary["items"]["predicted"] == MANY
    assert [name for name, payload in cloud.calls if "probe" in payload] == [
        "PredictBatch",
        "AggregateResults",
    ]


@given(
    sizes=st.lists(st.integers(0, 400), min_size=1, max_size=60),
    looked_at=st.sampled_from([(1, 50), (100, 1000), (64 * 1024, 1024 * 1024)]),
    end=st.sampled_from([b"", b"\n", b"\r\n", b"\n\n \n"]),
)
def test_ranges_of_suspects_are_whole_lines(sizes: list[int], looked_at: tuple[int, int], end: bytes) -> None:
    cloud = JobCloud()
    body = b"\n".join(json.dumps({"id": n, "pad": "x" * size}).encode() for n, size in enumerate(sizes)) + end
    with pytest.MonkeyPatch.context() as less:
        less.setattr(limits, "PROBE_SUSPECTS", 1)
        less.setattr("fanwise.planning.suspects._LOOKED_AT_BYTES", looked_at)
        round_ = plan(cloud, body, 1000)
    job = read_job(cloud.storage, home_of(RESULTS, round_.job_id))
    for entry in () if round_.probe is None else round_.probe.ranges():
        data = cloud.storage.read(job.items.uri, entry.start, entry.end)
        found = [
            json.loads(record.text)
            for record in split_records(data, "jsonl", start=entry.start, first_line=1)
        ]
        assert 1 <= len(found) == entry.count <= 8
        assert [len(one["pad"]) for one in found] == [sizes[one["id"]] for one in found]
    assert round_.probe is not None or max(sizes) + 20 > looked_at[1] or len(sizes) < 2
    cloud.close()
