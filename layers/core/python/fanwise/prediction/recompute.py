"""Predictions made again: each item alone, from the items file on, and held against the line that the job wrote.

An item that stands alone has no neighbours to depend on, and TensorFlow, where the bundle has it, does not share
LiteRT's faults. What may differ is rounding: `TOLERANCE` of an output's largest value (or of 1, if that is more),
and `TOLERANCE_OF_RUNTIMES` where LiteRT's answer is held against TensorFlow's, as when the model was converted.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from math import isclose
from typing import Any

import msgspec

from fanwise.errors import ItemError, StoreUnavailable
from fanwise.items.parsing import Item
from fanwise.model.model import Model
from fanwise.prediction.entry_items import item_of_record, read_records
from fanwise.prediction.pipeline import OutOfTime, Pipeline
from fanwise.recomputation import MAX_NAMED, Difference, Drawn, Recomputed
from fanwise.records import Job, Runtime
from fanwise.storage import Storage

TOLERANCE = 1e-5
TOLERANCE_OF_RUNTIMES = 1e-4

_FETCHED = ("fetch",)  # stages whose errors are the store's, and say nothing of the model
_SHOWN_CHARACTERS = 80


class _Line(msgspec.Struct):
    """A prediction, as far as it is compared."""

    index: int
    prediction: dict[str, Any]


_line_decoder = msgspec.json.Decoder(_Line)


def recompute(
    drawn: Sequence[Drawn],
    job: Job,
    home: str,
    model: Model,
    runtime: Runtime,
    *,
    storage: Storage,
    pipeline: Pipeline,
    time_left_s: Callable[[], float],
) -> Recomputed:
    """Predict what was drawn again with `model`, the job's own on `runtime`, and compare.

    `home` is the job's, with its last slash. Until `time_left_s` is up: what is left over then is `unread`. Raises
    `ItemsChanged`, `StoreUnavailable`.
    """
    model = model.with_all_scores()
    tolerance = TOLERANCE if runtime == job.model.runtime else TOLERANCE_OF_RUNTIMES
    compared, differ, slowest_s = 0, [], 0.0
    for file, number, line, item in _drawn_items(drawn, job, home, storage):
        before_s = time_left_s()
        if before_s <= slowest_s:
            break
        result = _alone(item, model, pipeline, time_left_s)
        slowest_s = max(slowest_s, before_s - time_left_s())
        if result is None:
            continue
        compared += 1
        why = _difference(line.prediction, result, tolerance)
        if why is not None:
            differ.append(Difference(index=line.index, file=file, line=number + 1, why=why))
    return Recomputed(
        items=compared,
        agreed=compared - len(differ),
        unread=sum(len(part.lines) for part in drawn) - compared,
        runtime=runtime,
        differ=tuple(differ[:MAX_NAMED]),
    )


def _drawn_items(
    drawn: Sequence[Drawn], job: Job, home: str, storage: Storage
) -> Iterator[tuple[str, int, _Line, Item | ItemError]]:
    """Each line that was drawn, with its file and number, and its item, read from the items file again."""
    for part in drawn:
        lines = storage.read(home + part.part.key).split(b"\n")
        _, records = read_records(storage, job, part.entry)
        for number in part.lines:
            line = _line_decoder.decode(lines[number])
            record = records[line.index - part.entry.first]
            yield part.part.key, number, line, item_of_record(record, line.index, job)


def _alone(item: Item | ItemError, model: Model, pipeline: Pipeline, time_left_s: Callable[[], float]) -> Any:
    """The prediction of one item as JSON has it, or the error in its place; None where it cannot be read now."""
    try:
        with closing(pipeline.run([item], model, time_left_s)) as run:
            ((_, result),) = [outcome for outcomes in run for outcome in outcomes]
    except (StoreUnavailable, OutOfTime):
        return None
    if isinstance(result, ItemError):
        return None if result.stage in _FETCHED else result
    return msgspec.json.decode(msgspec.json.encode(result))


def _difference(written: dict[str, Any], found: Any, tolerance: float) -> str | None:
    """How a prediction that was made again differs from the one that was written; None where it does not."""
    if isinstance(found, ItemError):
        return f"is {type(found).__name__} when it is predicted again alone: {found}"
    if written.keys() != found.keys():
        return f"has the outputs {_shown(sorted(written))}, and predicted again alone {_shown(sorted(found))}"
    for name, value in written.items():
        largest = max(_magnitudes(found[name]), default=0.0)
        if not _agree(value, found[name], tolerance * max(1.0, largest)):
            return f"has {name!r} {_shown(value)}, and predicted again alone {_shown(found[name])}"
    return None


def _agree(written: Any, found: Any, within: float) -> bool:
    if isinstance(written, dict):  # argmax
        return _is_best([written], found, within)
    if isinstance(written, list) and isinstance(found, list):
        if written and isinstance(written[0], dict):
            return _is_best(written, found, within)
        return len(written) == len(found) and all(
            _agree(one, other, within) for one, other in zip(written, found, strict=True)
        )
    if isinstance(written, float) and isinstance(found, float):
        return isclose(written, found, rel_tol=0.0, abs_tol=within)
    return type(written) is type(found) and written == found


def _is_best(written: list[Any], every: Any, within: float) -> bool:
    """Whether the scores that were written are the best of `every`; labels of scores that close may swap."""
    if not isinstance(every, list) or len(written) > len(every):
        return False
    scores: dict[Any, list[float]] = {}
    for one in every:
        scores.setdefault(one["label"], []).append(one["score"])
    return all(
        _agree(one.get("score"), best["score"], within)
        and any(_agree(one.get("score"), score, within) for score in scores.get(one.get("label"), ()))
        for one, best in zip(written, every, strict=False)
    )


def _magnitudes(value: Any) -> Iterator[float]:
    if isinstance(value, list):
        for inner in value:
            yield from _magnitudes(inner)
    elif isinstance(value, dict):
        yield from _magnitudes(value.get("score"))
    elif isinstance(value, float):
        yield abs(value)


def _shown(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
