"""Trains a small Keras CNN on scikit-learn's handwritten digits and lays out everything that a job needs.

```
FOLDER/model/       the bundle: saved_model/, model.json (its contract), labels.txt
FOLDER/scans/       the held-out scans, which the model has not seen, as PNG files
FOLDER/items.jsonl  an item a line, with the true label, which comes back beside each prediction
```

`fanwise demo` begins here; by hand: `python examples/digits/train.py FOLDER`.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

HELD_OUT = 599  # a third of 1,797
SEED = 8
EPOCHS = 30
BATCH = 64
DARKEST = 16  # scikit-learn's scans have grey levels 0 to 16
CONTRACT = {
    "name": "digits",
    "signature": "serving_default",
    "inputs": {"scan": {"kind": "image", "height": 8, "width": 8, "channels": 1, "scale": [0, 1]}},
    "outputs": {"output_0": {"as": "scores", "keep": "top_k", "k": 3, "labels": "labels.txt"}},
}


def main(folder: Path) -> None:
    """Write the example into `folder`, whole or not at all; nothing is done where it is already.

    Raises `FileExistsError` where `folder` has something else in it.
    """
    if (folder / "items.jsonl").exists():
        print(f"{folder} holds the example already; remove it to train anew")
        return
    if folder.is_dir() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty, and not this example; choose another folder")
    began = time.perf_counter()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as unfinished:
        whole = Path(unfinished, folder.name)
        pixels, labels = digits()
        seen, held_out = split(labels)
        model = train(pixels[seen], labels[seen])
        write_bundle(model, whole / "model")
        write_items(whole, pixels, labels, held_out)
        right = accuracy(model, pixels[held_out], labels[held_out])
        whole.rename(folder)
    print(
        f"Trained on {len(seen):,} scans in {time.perf_counter() - began:.0f} s: {right:.2%} right on the other"
        f" {len(held_out)}, which are in {folder / 'items.jsonl'}"
    )


def digits() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The scans as PNG holds them, uint8 (1797, 8, 8) with 255 for the darkest of their 17 levels; and labels."""
    found = load_digits()
    pixels = np.rint(found.images * (255 / DARKEST)).astype(np.uint8)
    return pixels, found.target.astype(np.int64)


def split(labels: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which scans to train on and which to hold out, each digit in proportion; always the same, in order."""
    seen, held_out = train_test_split(
        np.arange(len(labels)), test_size=HELD_OUT, random_state=SEED, stratify=labels
    )
    return np.sort(seen), np.sort(held_out)


def as_read(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the bundle's contract (`scale` [0, 1]) makes of a scan: float32 (batch, 8, 8, 1), 0 to 1."""
    return (pixels / 255).astype(np.float32)[..., np.newaxis]


def train(pixels: NDArray[np.uint8], labels: NDArray[np.int64]) -> Any:
    """A Keras model from `scan` (batch, 8, 8, 1) to the probabilities of ten digits (batch, 10).

    The same weights each time on one machine: seeds, and TensorFlow's deterministic kernels.
    """
    # TensorFlow reads these as it is imported. oneDNN announces itself on every import where it is on.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    import keras  # noqa: PLC0415
    import tensorflow as tf  # noqa: PLC0415

    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(SEED)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1), name="scan"),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dropout(0.3),
            layers.Dense(10, activation="softmax"),
        ],
        name="digits",
    )
    steps = EPOCHS * -(-len(labels) // BATCH)
    model.compile(
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.003, steps)),
        loss="sparse_categorical_crossentropy",
    )
    model.fit(as_read(pixels), labels, batch_size=BATCH, epochs=EPOCHS, verbose=0)
    return model


def accuracy(model: Any, pixels: NDArray[np.uint8], labels: NDArray[np.int64]) -> float:
    """The share of scans that the model reads right, 0 to 1."""
    scores = model.predict(as_read(pixels), verbose=0)
    return float((scores.argmax(axis=1) == labels).mean())


def write_bundle(model: Any, folder: Path) -> None:
    """The model as a SavedModel, its contract and the names of its classes."""
    folder.mkdir(parents=True)
    model.export(folder / "saved_model", verbose=False)
    (folder / "model.json").write_text(json.dumps(CONTRACT, indent=2) + "\n", encoding="utf-8")
    (folder / "labels.txt").write_text("".join(f"{digit}\n" for digit in range(10)), encoding="utf-8")


def write_items(
    folder: Path, pixels: NDArray[np.uint8], labels: NDArray[np.int64], held_out: NDArray[np.int64]
) -> None:
    """The held-out scans as PNG files, and the items file that names them; the same bytes each time."""
    (folder / "scans").mkdir(parents=True)
    lines = []
    for number in held_out:
        scan = f"scan-{number:04}"
        Image.fromarray(pixels[number]).save(folder / "scans" / f"{scan}.png")
        lines.append(json.dumps({"id": scan, "uri": f"scans/{scan}.png", "label": int(labels[number])}))
    (folder / "items.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train the digits example and write it into FOLDER.")
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    main(parser.parse_args().folder)
