"""Tensors of the model → the prediction of each item, as docs/contracts.md has it: raw, top_k or argmax."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fanwise.errors import ItemError, NonFiniteResult, NotUtf8Result, ResultShapeMismatch, ResultTooLarge
from fanwise.limits import MAX_LINE_BYTES
from fanwise.model.binding import BoundOutput, single_score
from fanwise.model.contract import DEFAULT_TOP_K
from fanwise.model.decimals import shortest


def answers(name: str, output: BoundOutput, tensor: NDArray[Any]) -> list[object]:
    """What output `name` says of each row of `tensor`, (rows, …): something msgspec encodes, or an `ItemError`.

    raw: nested arrays of numbers, bools or text; top_k: the best `k`, best first, equal scores by index; argmax:
    the best, of equal scores the first. `NonFiniteResult` for a row with NaN or infinity in it, `NotUtf8Result`
    for bytes that are no text, `ResultShapeMismatch` where there are no scores to choose from, or others than the
    labels are for, `ResultTooLarge` for more text than a line may have.
    """
    wrong = why_no_scores(name, output, tensor.shape[1:])
    if wrong is not None:
        return [ResultShapeMismatch(wrong) for _ in tensor]
    if tensor.dtype.kind == "O":
        return [_texts(name, row) for row in tensor]
    if tensor.dtype.kind != "f":
        return _kept(output, tensor, tensor)
    finite = np.isfinite(tensor).reshape(len(tensor), -1).all(axis=1)
    if finite.all():
        return _kept(output, tensor, shortest(tensor))
    good = iter(_kept(output, tensor[finite], shortest(tensor[finite])))
    return [
        next(good)
        if row_is_finite
        else NonFiniteResult(f"output {name!r} holds NaN or infinity for this item")
        for row_is_finite in finite
    ]


def why_no_scores(name: str, output: BoundOutput, row: tuple[int, ...]) -> str | None:
    """Why a row of this shape has nothing to choose the best of, where that is to be kept; None where it has."""
    keep = output.contract.keep
    if keep == "raw":
        return None
    if len(row) != 1 or not row[0]:
        return f'output {name!r} has shape {list(row)} for an item, and "keep": "{keep}" takes a vector of scores'
    if row[0] == 1:
        return single_score(name, keep)
    if output.labels is not None and len(output.labels) != row[0]:
        return (
            f"output {name!r} has {row[0]} scores for an item, and {output.contract.labels} has"
            f" {len(output.labels)} labels; one a score"
        )
    return None


def _kept(output: BoundOutput, tensor: NDArray[Any], written: NDArray[Any]) -> list[object]:
    """`tensor` decides the order, `written` are the same numbers as they are written."""
    if output.contract.keep == "raw":
        return list(written.tolist())
    if output.contract.keep == "argmax":
        best = tensor.argmax(axis=1)[:, None]
        return [scores[0] for scores in _labelled(best, written, output.labels)]
    k = min(output.contract.k or DEFAULT_TOP_K, tensor.shape[1])
    return list(_labelled(_best(tensor, k), written, output.labels))


def _best(tensor: NDArray[Any], k: int) -> NDArray[np.intp]:
    """The indices of the `k` highest of each row, (rows, k); of equal ones the lower index first."""
    # Read backwards, a stable sort leaves the lower index of equal scores later, that is, first from the end.
    backwards = np.argsort(tensor[:, ::-1], axis=1, kind="stable")
    best: NDArray[np.intp] = tensor.shape[1] - 1 - backwards[:, ::-1][:, :k]
    return best


def _labelled(
    indices: NDArray[np.intp], written: NDArray[Any], labels: tuple[str, ...] | None
) -> list[list[dict[str, Any]]]:
    scores = np.take_along_axis(written, indices, axis=1).tolist()
    return [
        [
            {"label": labels[i] if labels is not None else str(i), "score": score}
            for i, score in zip(row, row_scores, strict=True)
        ]
        for row, row_scores in zip(indices.tolist(), scores, strict=True)
    ]


def _texts(name: str, row: Any) -> object:
    """A row of strings, as nested arrays of text."""
    size_bytes = sum(len(value) for value in np.ravel(row))
    if size_bytes > MAX_LINE_BYTES:
        return ResultTooLarge(
            f"output {name!r} holds {size_bytes:,} bytes of text for this item; at most {MAX_LINE_BYTES:,}:"
            f' "drop" it in model.json, or export the model with a shorter one'
        )
    try:
        return _text(row.tolist() if isinstance(row, np.ndarray) else row)
    except UnicodeDecodeError as error:
        return NotUtf8Result(f"output {name!r} holds bytes that are not UTF-8 (at byte {error.start})")


def _text(value: Any) -> object:
    if isinstance(value, list):
        return [_text(inner) for inner in value]
    return value.decode() if isinstance(value, bytes) else str(value)


def together(columns: Mapping[str, Sequence[object]]) -> list[dict[str, object] | ItemError]:
    """What all outputs, by the names they are written under, say of each item; or the first error of them."""
    rows = zip(*columns.values(), strict=True)
    kinds = {kind for values in columns.values() for kind in set(map(type, values))}
    if any(issubclass(kind, ItemError) for kind in kinds):
        return [_failed(row) or dict(zip(columns, row, strict=True)) for row in rows]
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _failed(results: Sequence[object]) -> ItemError | None:
    return next((result for result in results if isinstance(result, ItemError)), None)
