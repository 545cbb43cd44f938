"""Jobs over a zoo's items, drawn; and what each line of their outcome is held against."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest
from hypothesis import strategies as st

from fanwise.records import Runtime
from zoo import direct
from zoo.entries import Entry
from zoo.items import Drawn, item
from zoo.making import MODELS, PUBLISHED

# Of the largest number: what a row's place may change on TensorFlow, and what conversion may.
TENSORFLOW, CONVERTED = 1e-5, 1e-4
MOST_ITEMS = 40


class Results(Protocol):
    """A job's lines by index."""

    @property
    def predictions(self) -> Mapping[int, Mapping[str, Any]]: ...
    @property
    def failures(self) -> Mapping[int, Mapping[str, Any]]: ...


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

    def judge(self, items: Sequence[Drawn], lines: Sequence[int], ran: Results) -> None:
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
