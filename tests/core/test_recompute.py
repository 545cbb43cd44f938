"""Items that are predicted again alone, within a job: which ones, what counts as the same, and the verdict."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_model import FakeModel
from fanwise.errors import ItemError
from fanwise.model.model import Row
from fanwise.prediction.recompute import _difference
from fanwise.recomputation import draw
from fanwise.records import Commit, Entry, Invocation, Part, home_of
from fanwise_local.states.errors import StatesError
from fanwise_local.states.executions import Execution
from jobs import RESULTS, JobCloud, JobResults


def plus(amount: float, result: Any) -> dict[str, object] | ItemError:
    return result if isinstance(result, ItemError) else {"y": result["y"] + amount}


class NeighbourlyModel(FakeModel):
    """A model whose answer to a row depends on the rows beside it."""

    def predict(self, rows: Sequence[Row]) -> list[dict[str, object] | ItemError]:
        results = super().predict(rows)
        together = sum(float(row["x"]) for row in rows)
        return [plus(together, one) for one in results]


class RoundingModel(FakeModel):
    """A model whose last bits depend on the rows beside it."""

    def predict(self, rows: Sequence[Row]) -> list[dict[str, object] | ItemError]:
        results = super().predict(rows)
        return [plus(1e-7 * len(rows), one) for one in results]


def run(cloud: JobCloud, orders: Sequence[str], **manifest: Any) -> Execution:
    lines = [json.dumps({"inputs": {"x": x, "order": order}}) for x, order in enumerate(orders)]
    items = cloud.put_items("items.jsonl", "\n".join(lines).encode())
    return cloud.run(cloud.start({"items": items, "batch_size": 5, **manifest}))


def summary_of(execution: Execution, cloud: JobCloud) -> dict[str, Any]:
    assert cloud.events, execution.cause
    (event,) = cloud.events
    summary: dict[str, Any] = JobResults.of(cloud, event["Detail"]["job_id"]).summary
    return summary


def test_every_item_comes_out_the_same_though_entries_were_cut_and_others_are_dead_letters() -> None:
    cloud = JobCloud(faults=["killed", "", "store"])
    execution = run(cloud, ["", "", "NotFound", *[""] * 20, "PredictionFailed"], recompute=100)
    assert execution.status == "SUCCEEDED"
    summary = summary_of(execution, cloud)
    assert summary["recomputed"] == {
        "items": 22,
        "agreed": 22,
        "unread": 0,
        "runtime": "tensorflow",
        "differ": [],
        "reason": None,
    }
    assert (summary["status"], summary["rounds"]) == ("PARTIALLY_FAILED", 2)
    cloud.close()


def test_nothing_is_predicted_again_where_nobody_asks() -> None:
    cloud = JobCloud()
    assert summary_of(run(cloud, [""] * 3), cloud)["recomputed"] is None
    assert [name for name, payload in cloud.calls if "recompute" in payload] == []
    cloud.close()


def test_a_prediction_that_depends_on_its_neighbours_fails_the_job() -> None:
    cloud = JobCloud(model=NeighbourlyModel())
    execution = run(cloud, [""] * 12, recompute=3, batch_size=4)
    assert execution.status == "FAILED"
    summary = summary_of(execution, cloud)
    assert summary["status"] == "FAILED"
    assert summary["items"]["predicted"] == 12
    assert summary["reason"].startswith(
        "3 of 3 items come out otherwise when they are predicted again alone; predictions/000000-"
    )
    assert "line 1 has 'y' " in summary["reason"]
    first = summary["recomputed"]["differ"][0]
    assert first["index"] < 4
    assert first["line"] == first["index"] + 1
    assert not JobResults.of(cloud, summary["job_id"]).exists("_SUCCESS")
    cloud.close()


def test_rounding_is_no_difference() -> None:
    cloud = JobCloud(model=RoundingModel())
    assert summary_of(run(cloud, [""] * 12, recompute=12), cloud)["recomputed"]["agreed"] == 12
    cloud.close()


def test_a_job_without_predictions_has_nothing_to_predict_again() -> None:
    cloud = JobCloud()
    assert summary_of(run(cloud, ["NotFound"] * 3, recompute=3), cloud)["recomputed"] is None
    cloud.close()


def test_a_function_that_cannot_be_called_is_said_and_takes_no_result_away() -> None:
    class Refusing(JobCloud):
        async def call(self, resource: str, arguments: Any) -> Any:
            if arguments.get("FunctionName") and arguments["Payload"].keys() == {"job_id", "recompute"}:
                raise StatesError("Lambda.AccessDeniedException", "not authorized")
            return await super().call(resource, arguments)

    cloud = Refusing()
    summary = summary_of(run(cloud, [""] * 3, recompute=3), cloud)
    assert (summary["status"], summary["recomputed"]) == (
        "SUCCEEDED",
        {"items": 0, "agreed": 0, "reason": "Lambda.AccessDeniedException: not authorized"},
    )
    cloud.close()


@pytest.mark.parametrize("recompute", [-1, 1001, "20", 2.5, True])
def test_a_number_that_cannot_be_is_refused(recompute: Any) -> None:
    cloud = JobCloud()
    execution = run(cloud, [""], recompute=recompute)
    assert execution.error == "ManifestError"
    assert "recompute" in str(execution.cause)
    cloud.close()


counts = st.lists(st.integers(0, 9), min_size=1, max_size=12)


@given(counts=counts, items=st.integers(1, 40))
def test_drawing_takes_each_stretch_once(counts: list[int], items: int) -> None:
    cloud = JobCloud()
    home = home_of(RESULTS, "job-1")
    entries, commits, first = [], [], 0
    for number, count in enumerate(counts):
        name = f"{number:06d}"
        entries.append(
            Entry(entry=name, start=first, end=first + count, first=first, first_line=1, count=count)
        )
        part = (
            Part(key=f"predictions/{name}-a.jsonl", first=first, count=count, size_bytes=0) if count else None
        )
        commits.append(
            Commit(
                entry=name,
                attempt=1,
                invocation=Invocation(request_id="a", duration_ms=1),
                predicted=count,
                predictions=part,
            )
        )
        first += count
    cloud.storage.write(
        home + "work/0.jsonl", b"".join(json.dumps(as_json(entry)).encode() + b"\n" for entry in entries)
    )
    drawn = draw(cloud.storage, home, commits, items, "seed")
    assert drawn == draw(cloud.storage, home, list(reversed(commits)), items, "seed")
    positions = sorted(one.part.first + line for one in drawn for line in one.lines)
    wanted = min(items, first)
    assert len(positions) == len(set(positions)) == wanted
    for stretch, position in enumerate(positions):
        assert first * stretch // wanted <= position < first * (stretch + 1) // wanted
    assert all(one.entry.entry == one.part.key[12:18] for one in drawn)
    cloud.close()


def as_json(entry: Entry) -> Any:
    return {name: getattr(entry, name) for name in Entry.__struct_fields__}


RANKING = [{"label": "a", "score": 0.9}, {"label": "b", "score": 0.05}, {"label": "c", "score": 0.05}]


@pytest.mark.parametrize(
    ("written", "found", "differs"),
    [
        ({"y": 1.0}, {"y": 1.0 + 5e-6}, False),
        ({"y": 1.0}, {"y": 1.0 + 5e-5}, True),
        ({"y": [1000.0, 1.0]}, {"y": [1000.0, 1.005]}, False),  # of the largest value of the output
        ({"y": [1.0, 2.0]}, {"y": [1.0]}, True),
        ({"y": [2.0, 1.0]}, {"y": [1.0, 2.0]}, True),
        ({"y": 1}, {"y": 1}, False),
        ({"y": 1}, {"y": 2}, True),
        ({"y": 1}, {"y": True}, True),
        ({"y": "a"}, {"y": "b"}, True),
        ({"y": 1.0}, {"z": 1.0}, True),
        ({"y": None}, {"y": 1.0}, True),
        ({"s": RANKING[:1]}, {"s": RANKING}, False),
        ({"s": [RANKING[0], RANKING[2]]}, {"s": RANKING}, False),  # as good as the second
        ({"s": [{"label": "b", "score": 0.9}]}, {"s": RANKING}, True),
        ({"s": RANKING[0]}, {"s": RANKING}, False),
        ({"s": {"label": "c", "score": 0.9}}, {"s": RANKING}, True),
        ({"s": {"label": "a", "score": 0.8}}, {"s": RANKING}, True),
        ({"s": [*RANKING, RANKING[0]]}, {"s": RANKING}, True),
    ],
)
def test_what_is_the_same(written: Any, found: Any, differs: bool) -> None:
    assert (_difference(written, found, 1e-5) is not None) is differs


def test_numbers_are_as_json_has_them() -> None:
    assert _difference({"y": [0.1]}, {"y": [float(np.float32(0.1))]}, 1e-5) is None
