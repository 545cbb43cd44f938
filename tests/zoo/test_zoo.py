"""Right or refused: whatever the model, an item's prediction is what the model says of that item alone.

Over the zoo: at any batch size, order, cut and retry the same bits on LiteRT, and within 1e-5 on TensorFlow; an
item that the model does not compute is a dead letter. A model with which that cannot be is refused when its bundle
is made.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from fanwise.records import Runtime
from jobs import HARMLESS, Fault, JobCloud, JobResults, Stop
from jobs import MODELS as MODEL_BUCKET
from zoo.entries import ZOO, Entry
from zoo.judging import Case, Judge, cases
from zoo.making import PUBLISHED, TOLD, zoo_folder
from zoo.running import Bench

__all__ = ["zoo_folder"]  # a fixture

few = settings(
    max_examples=max(5, settings().max_examples // 20),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # shrinking takes minutes
)


def told(folder: Path, name: str) -> dict[str, Any]:
    """What was said when the bundle was made."""
    said: dict[str, Any] = json.loads((folder / TOLD / f"{name}.json").read_bytes())
    assert "died" not in said, "its bundle was not made, and nobody said why"
    return said


# What is not right yet: the mark goes with the fault.
REFUSED = [name for name, entry in ZOO.items() if entry.refused]
RUN = [name for name, entry in ZOO.items() if not entry.refused]


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_when_its_bundle_is_made(zoo_folder: Path, name: str) -> None:
    said = told(zoo_folder, name)
    assert ZOO[name].refused in said.get("refused", ""), said


@pytest.mark.parametrize("name", RUN)
def test_a_prediction_is_what_the_model_says_of_the_item_alone(
    zoo_folder: Path, tmp_path: Path, name: str
) -> None:
    entry, said = ZOO[name], told(zoo_folder, name)
    if "refused" in said:
        assert entry.may_refuse
        assert entry.may_refuse in said["refused"]
        return
    if entry.litert is not None:
        assert ("litert" in said["runtimes"]) == entry.litert, said
    for runtime in said["runtimes"]:
        bench = Bench(zoo_folder / PUBLISHED, tmp_path / "kept", name, runtime)
        try:
            check(entry, bench, Judge(entry, zoo_folder, name, runtime))
        finally:
            bench.close()


def check(entry: Entry, bench: Bench, judge: "Judge") -> None:
    """Whatever the items, their order, and how they are cut."""

    @few
    @given(cases(entry))
    def hold(case: Case) -> None:
        lines = [json.dumps(case.items[at].line).encode() for at in case.lines]
        whole = bench.run(lines)
        judge.judge(case.items, case.lines, whole)
        assert bench.run(lines).parts == whole.parts  # the same job and cut: the same bytes
        shuffled = [lines[at] for at in case.shuffled]
        entries = 1 + len({cut for cut in case.cuts if cut < len(lines)})
        order = sorted(range(entries), key=lambda number: (number * 7 + case.again) % 11)
        cut = bench.run(shuffled, case.cuts, order, case.again % entries)
        judge.judge(case.items, [case.lines[at] for at in case.shuffled], cut)

    hold()


# Models of whose kinds a whole job is run: by chance of what they say of an item, and of what is an item's.
IN_JOBS = ("best", "whole_number", "logarithms", "running_mean", "lite_int8", "lite_counter", "kept_rows")


@pytest.mark.parametrize("name", IN_JOBS)
def test_a_job_that_met_faults_and_was_stopped_and_resumed_predicts_the_same(
    zoo_folder: Path, tmp_path: Path, name: str
) -> None:
    entry, said = ZOO[name], told(zoo_folder, name)
    for runtime in said["runtimes"]:
        check_jobs(entry, zoo_folder, tmp_path / "kept", name, runtime)


def check_jobs(entry: Entry, folder: Path, kept: Path, name: str, runtime: Runtime) -> None:
    """Whatever happens to a job, and wherever it is stopped."""
    judge = Judge(entry, folder, name, runtime)

    @few
    @given(
        cases(entry),
        st.integers(1, 9),
        st.lists(st.sampled_from([fault for fault in HARMLESS if fault != "forbidden"]), max_size=5),
        st.integers(1, 40),
    )
    def hold(case: Case, batch_size: int, faults: list[Fault], stop_after: int) -> None:
        folders = {MODEL_BUCKET: folder / PUBLISHED}
        cloud = JobCloud(faults, folders=folders, bundles=kept, seed=stop_after)
        try:
            lines = [json.dumps(case.items[at].line).encode() for at in case.lines]
            items = cloud.put_items("items.jsonl", b"\n".join(lines))
            manifest = {"model": f"{name}@1", "items": items, "batch_size": batch_size, "runtime": runtime}
            start = cloud.start(manifest, resume=True)
            cloud.run(start, stop=Stop(stop_after))
            cloud.run(start, "second")
            job_id = next(payload["job_id"] for _, payload in cloud.calls if "job_id" in payload)
            judge.judge(case.items, case.lines, JobResults.of(cloud, job_id))
        finally:
            cloud.close()

    hold()
