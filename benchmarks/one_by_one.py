"""A function that somebody writes for one image an invocation, as AWS's samples have it: what each takes.

`python -m benchmarks.one_by_one litert|tensorflow FOLDER COUNT`: imports and loads once, which is its cold start;
then for each image reads, decodes and predicts it alone, and makes its line. Prints `{"start_ms", "work_ms"}`, the
latter of the mean invocation after the first one.
"""

import json
import os
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.jpegs.pixels import image_files, pixels


def litert(folder: Path) -> Callable[[Any], Any]:
    """The model in LiteRT, on one thread."""
    from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415 - one of two

    model = Interpreter(str(folder / "model.tflite"), num_threads=1)
    model.allocate_tensors()
    image, scores = model.get_input_details()[0]["index"], model.get_output_details()[0]["index"]

    def predict(rows: Any) -> Any:
        model.set_tensor(image, rows)
        model.invoke()
        return model.get_tensor(scores)

    return predict


def tensorflow(folder: Path) -> Callable[[Any], Any]:
    """The SavedModel, on one thread."""
    import tensorflow as tf  # noqa: PLC0415 - one of two

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    model = tf.saved_model.load(str(folder / "model/saved_model"))
    signature = model.signatures["serving_default"]
    name = next(iter(signature.structured_input_signature[1]))

    def predict(rows: Any, model: object = model) -> Any:  # which holds the variables of its signature
        return next(iter(signature(**{name: tf.constant(rows)}).values())).numpy()

    return predict


def main(runtime: str, folder: Path, count: int) -> None:
    """Time the start, and each image."""
    began_s = time.monotonic()
    predict = {"litert": litert, "tensorflow": tensorflow}[runtime](folder)
    start_ms = (time.monotonic() - began_s) * 1000
    times_ms = []
    for file in image_files(folder, count):
        began_s = time.monotonic()
        scores = predict(pixels(file)[None])[0]
        json.dumps({"uri": file.name, "scores": scores.tolist()})
        times_ms.append((time.monotonic() - began_s) * 1000)
    start_ms += times_ms[0]  # traces, allocates and warms up: part of what a first invocation costs
    sys.stdout.write(json.dumps({"start_ms": start_ms, "work_ms": fmean(times_ms[1:])}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
