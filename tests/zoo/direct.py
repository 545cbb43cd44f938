"""What a model says of one item alone, asked without the product: eager TensorFlow, a LiteRT interpreter.

And what a prediction of that has to be, by model.json's words for outputs.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fanwise.model.runtime import import_runtime
from zoo.entries import Entry

Tensors = Mapping[str, NDArray[Any]]
Ask = Callable[[Tensors], dict[str, NDArray[Any]]]


@dataclass(frozen=True)
class Rejected(Exception):
    """The model does not compute the item."""

    message: str


def in_tensorflow(saved_model: Path, *, anew: bool) -> Ask:
    """Ask a SavedModel; `anew`: loaded for each item, as nothing was asked before."""
    import_runtime("tensorflow")  # with the settings that its environment has
    import tensorflow as tf

    logging.getLogger("tensorflow").setLevel("ERROR")

    def load() -> Any:
        return tf.saved_model.load(str(saved_model))

    kept = None if anew else load()

    def ask(inputs: Tensors) -> dict[str, NDArray[Any]]:
        loaded = kept or load()
        signature = loaded.signatures["serving_default"]
        specs = signature.structured_input_signature[1]
        try:
            tensors = {
                name: tf.cast(tf.constant(value), specs[name].dtype)
                if specs[name].dtype == tf.bfloat16
                else tf.constant(value, specs[name].dtype)
                for name, value in inputs.items()
            }
            return {name: _plain(tensor) for name, tensor in signature(**tensors).items()}
        except (tf.errors.OpError, ValueError) as error:
            raise Rejected(str(error)) from error

    return ask


def _plain(tensor: Any) -> NDArray[Any]:
    array = np.asarray(tensor.numpy())
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def in_litert(model: Path) -> Ask:
    """Ask a .tflite, in an interpreter of its own for each item."""
    from ai_edge_litert.interpreter import Interpreter

    def ask(inputs: Tensors) -> dict[str, NDArray[Any]]:
        run: Any = Interpreter(str(model), num_threads=1).get_signature_runner("serving_default")
        details = run.get_input_details()
        feeds = {
            name: value if value.dtype == object else value.astype(details[name]["dtype"])
            for name, value in inputs.items()
        }
        try:
            answers: dict[str, NDArray[Any]] = run(**feeds)
        except (ValueError, RuntimeError) as error:
            raise Rejected(str(error)) from error
        return answers

    return ask


def prediction(entry: Entry, rows: Tensors, ask: Ask) -> dict[str, Any]:
    """What stands under `prediction` for an item of these rows, as JSON has it, floats of the output's precision.

    Raises `Rejected` where the item has to be a dead letter: the model does not compute it, it has not one row of
    an output, or a number is not finite.
    """
    answers = ask({name: _batched(entry, row) for name, row in rows.items()})
    found: dict[str, Any] = {}
    for name, answer in answers.items():
        says = entry.outputs.get(name, {})
        if says.get("drop"):
            continue
        found[says.get("as", name)] = _kept(entry, says, _of_item(entry, name, answer))
    return found


def _batched(entry: Entry, row: NDArray[Any]) -> NDArray[Any]:
    if entry.rows == "unbatched":
        return row
    return np.repeat(row[None], entry.rows if isinstance(entry.rows, int) else 1, axis=0)


def _of_item(entry: Entry, name: str, answer: NDArray[Any]) -> NDArray[Any]:
    if entry.rows in ("whole", "unbatched"):
        return answer
    wanted = entry.rows if isinstance(entry.rows, int) else 1
    if answer.shape[:1] != (wanted,):
        raise Rejected(f"output {name} has shape {answer.shape} for one item")
    row: NDArray[Any] = answer[0]
    return row


def _kept(entry: Entry, says: Mapping[str, Any], row: NDArray[Any]) -> Any:
    if np.asarray(row).dtype.kind == "f" and not np.isfinite(row).all():
        raise Rejected("not finite")
    if says.get("keep", "raw") == "raw":
        return _json(row.tolist() if isinstance(row, np.ndarray | np.generic) else row, np.asarray(row).dtype)
    order = sorted(range(len(row)), key=lambda at: (-row[at], at))
    labels = entry.labels or tuple(map(str, range(len(row))))
    scored = [{"label": labels[at], "score": _json(row[at].item(), row.dtype)} for at in order]
    return scored[0] if says["keep"] == "argmax" else scored[: says.get("k", 5)]


def _json(value: Any, dtype: np.dtype[Any]) -> Any:
    if isinstance(value, list):
        return [_json(inner, dtype) for inner in value]
    if isinstance(value, float):
        return float(str(dtype.type(value)))  # the shortest number that reads back the same
    return value.decode() if isinstance(value, bytes) else value


def same_bits(found: Any, expected: Any) -> bool:
    """Whether two predictions are the same; of two shortest forms of a float32, either."""
    return _compare(found, expected, lambda a, b: a == b or np.float32(a) == np.float32(b))


def close(found: Any, expected: Any, tolerance: float) -> bool:
    """Whether two predictions are the same but for `tolerance`, as a share of the largest number expected or of 1.

    Of scores that are as close, either may stand first: then their labels may be exchanged.
    """
    largest = max(1.0, _largest(expected))
    return _compare(found, expected, lambda a, b: abs(a - b) <= tolerance * largest)


def _largest(value: Any) -> float:
    if isinstance(value, dict):
        return max(map(_largest, value.values()), default=0.0)
    if isinstance(value, list):
        return max(map(_largest, value), default=0.0)
    return abs(value) if isinstance(value, float) else 0.0


def _compare(found: Any, expected: Any, numbers: Callable[[float, float], bool]) -> bool:
    if isinstance(expected, float) and isinstance(found, int | float) and not isinstance(found, bool):
        return bool(numbers(found, expected))
    if type(found) is not type(expected):
        return False
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(
            _compare(found[key], expected[key], numbers) for key in expected
        )
    if isinstance(expected, list):
        return len(found) == len(expected) and all(
            _compare(one, other, numbers) for one, other in zip(found, expected, strict=True)
        )
    return bool(found == expected)
