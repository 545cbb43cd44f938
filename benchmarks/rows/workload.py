"""The workload of the rows: seeded numbers, and a network of two small layers over them, which nobody trained.

Made once: `python -m benchmarks.rows.workload FOLDER COUNT`, in a process of its own that imports TensorFlow.
```
FOLDER/items.jsonl       {"inputs": {"features": [20 numbers of 4 decimals]}}, a line each
FOLDER/model/            a bundle: saved_model/ and model.json
FOLDER/model.keras, model.tflite   the same model
```
"""

import json
import shutil
import sys
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.processes import run_module
from benchmarks.rows.lines import CLASSES, FEATURES, INPUT, ITEMS_FILE

SEED = 0
HIDDEN = 64
ROWS_AT_ONCE = 50_000


def prepare_workload(folder: Path, count: int) -> None:
    """Make the workload unless one of so many rows is there already, whole or not at all."""
    mark = folder / f"{count}-rows"
    if mark.exists():
        return
    making = folder.with_name(f"{folder.name}.making")
    for old in (folder, making):
        shutil.rmtree(old, ignore_errors=True)
    run_module("benchmarks.rows.workload", str(making), str(count), variables={"TF_CPP_MIN_LOG_LEVEL": "3"})
    making.rename(folder)
    mark.touch()


def first_items(folder: Path, count: int) -> Path:
    """An items file of the first `count` rows, beside the whole."""
    path = folder / f"items-{count}.jsonl"
    if not path.exists():
        with (folder / ITEMS_FILE).open("rb") as lines, path.open("wb") as out:
            out.writelines(islice(lines, count))
    return path


def write_rows(folder: Path, count: int) -> None:
    """Write `items.jsonl`."""
    import msgspec  # noqa: PLC0415 - only the process that makes the workload pays for these
    import numpy as np  # noqa: PLC0415

    random, encoder = np.random.default_rng(SEED), msgspec.json.Encoder()
    folder.mkdir(parents=True)
    with (folder / ITEMS_FILE).open("wb") as items:
        for start in range(0, count, ROWS_AT_ONCE):
            rows = random.normal(size=(min(ROWS_AT_ONCE, count - start), FEATURES)).round(4)
            items.write(encoder.encode_lines([{"inputs": {INPUT: row}} for row in rows.tolist()]))


def write_model(folder: Path) -> None:
    """Write the model in its three forms, and the contract."""
    import keras  # noqa: PLC0415
    import tensorflow as tf  # noqa: PLC0415

    keras.utils.set_random_seed(SEED)
    features = keras.Input((FEATURES,), name=INPUT)
    hidden = keras.layers.Dense(HIDDEN, "relu")(keras.layers.Dense(HIDDEN, "relu")(features))
    model = keras.Model(features, keras.layers.Dense(CLASSES, "softmax", name="scores")(hidden))
    saved_model = str(folder / "model/saved_model")
    model.export(saved_model, verbose=False)
    model.save(folder / "model.keras")
    (folder / "model.tflite").write_bytes(tf.lite.TFLiteConverter.from_saved_model(saved_model).convert())
    signature = tf.saved_model.load(saved_model).signatures["serving_default"]
    (name,) = signature.structured_input_signature[1]
    (output,) = signature.structured_outputs
    (folder / "model/model.json").write_text(json.dumps(contract(name, output), indent=2) + "\n")


def contract(input_name: str, output_name: str) -> dict[str, Any]:
    """model.json of the workload."""
    return {
        "name": "rows",
        "inputs": {input_name: {"kind": "number", "from": INPUT}},
        "outputs": {output_name: {"keep": "raw"}},
    }


if __name__ == "__main__":
    write_rows(Path(sys.argv[1]), int(sys.argv[2]))
    write_model(Path(sys.argv[1]))
