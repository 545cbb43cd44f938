"""Right or refused: whatever the model, an item's prediction is what the model says of that item alone.

Over the zoo: at any batch size, order, cut and retry the same bits on LiteRT, and within 1e-5 on TensorFlow; an
item that the model does not compute is a dead letter. A model with which that cannot be is refused when its bundle
is made.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from fanwise.records import Runtime
from zoo import direct
from zoo.entries import ZOO, Entry
from zoo.items import Drawn, item
from zoo.making import MODELS, PUBLISHED, TOLD, zoo_folder
from zoo.running import Bench, Ran

__all__ = ["zoo_folder"]  # a fixture

# Of the largest number: what a row's place may change on TensorFlow, and what conversion may.
TENSORFLOW, CONVERTED = 1e-5, 1e-4
EXAMPLES = max(5, settings().max_examples // 20)
MOST_ITEMS = 40


@dataclass(frozen=True)
class Case:
    """Items to predict: `items` are different ones, `lines` their positions in the file; and how it is cut."""

    items: Sequence[Drawn]
    lines: Sequence[int]
    shuffled: Sequence[int]
    cuts: Sequence[int]
    again: int


def cases(entry: Entry) -> st.SearchStrategy[Case]:
    """Few different items, many lines of them, in two orders."""

    def arranged(items: list[Drawn]) -> st.SearchStrategy[Case]:
        lines = st.lists(st.integers(0, len(items) - 1), min_size=len(items), max_size=MOST_ITEMS)
        return lines.flatmap(
            lambda lines: st.builds(
                Case,
                items=st.just(items),
                lines=st.just(lines),
                shuffled=st.permutations(range(len(lines))),
                cuts=st.lists(st.integers(1, max(1, len(lines) - 1)), max_size=6),
                again=st.integers(0, 6),
            )
        )

    return st.lists(item(entry.inputs), min_size=1, max_size=6, unique_by=lambda drawn: drawn.key).flatmap(
        arranged
    )


def told(folder: Path, name: str) -> dict[str, Any]:
    """What was said when the bundle was made."""
    said: dict[str, Any] = json.loads((folder / TOLD / f"{name}.json").read_bytes())
    assert "died" not in said, "its bundle was not made, and nobody said why"
    return said


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

    @settings(
        max_examples=EXAMPLES, phases=(Phase.explicit, Phase.reuse, Phase.generate)
    )  # shrinking: minutes
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


class Judge:
    """What the model says of each item alone, asked once an item, and what came out before."""

    def __init__(self, entry: Entry, folder: Path, name: str, runtime: Runtime) -> None:
        self._entry, self._runtime = entry, runtime
        self._asks: list[tuple[direct.Ask, float]] = []
        originals = [folder / MODELS / name / "saved_model", folder / MODELS / f"{name}.original"]
        for original in originals:
            if original.exists():
                tolerance = TENSORFLOW if runtime == "tensorflow" else CONVERTED
                self._asks.append((direct.in_tensorflow(original, anew=entry.keeps_state), tolerance))
        if runtime == "litert":
            self._asks.append(
                (direct.in_litert(folder / PUBLISHED / "models" / name / "1" / "model.tflite"), 0.0)
            )
        self._expected: dict[str, list[tuple[dict[str, Any] | None, float]]] = {}
        self._seen: dict[str, Mapping[str, Any]] = {}

    def judge(self, items: Sequence[Drawn], lines: Sequence[int], ran: Ran) -> None:
        """Each line is there once, and right."""
        assert sorted(ran.predictions.keys() | ran.failures.keys()) == list(range(len(lines)))
        for index, at in enumerate(lines):
            one = items[at]
            found = ran.predictions[index]["prediction"] if index in ran.predictions else None
            failure = ran.failures[index]["failure"] if found is None else {}
            for expected, tolerance in self._of(one):
                if found is None or expected is None:
                    right = found is expected
                elif tolerance:
                    right = direct.close(found, expected, tolerance)
                else:
                    right = direct.same_bits(found, expected)
                if not right:
                    pytest.fail(f"{self._runtime}: {one.key}: {found or failure}, and alone {expected}")
            now = found if found is not None else {"error": failure["error"]}
            seen = self._seen.setdefault(one.key, now)
            same = now == seen if self._runtime == "litert" else direct.close(now, seen, TENSORFLOW)
            if not same:
                pytest.fail(f"{self._runtime}: {one.key}: {now}, and before {seen}")

    def _of(self, one: Drawn) -> Iterator[tuple[dict[str, Any] | None, float]]:
        if one.key not in self._expected:
            self._expected[one.key] = [(self._ask(one, ask), tolerance) for ask, tolerance in self._asks]
        yield from self._expected[one.key]

    def _ask(self, one: Drawn, ask: direct.Ask) -> dict[str, Any] | None:
        if one.wrong:
            return None
        try:
            return direct.prediction(self._entry, one.rows, ask)
        except direct.Rejected:
            return None
