"""Keras: `model.predict` over a `PyDataset`, which decodes in threads (keras.io/api/utils/python_utils).

`python -m benchmarks.jpegs.keras_predict FOLDER COUNT SCORES`: mini-batches of 32, as many threads as cores.
"""

import math
import os
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

from pathlib import Path
from typing import Any

import keras
import numpy as np

from benchmarks.jpegs.pixels import image_files, pixels
from benchmarks.told import follow_each_other, tell

MINI_BATCH = 32


class Images(keras.utils.PyDataset):  # type: ignore[misc]
    """Mini-batches of the images."""

    def __init__(self, files: list[Path], **how: Any) -> None:
        super().__init__(**how)
        self._files = files

    def __len__(self) -> int:
        return math.ceil(len(self._files) / MINI_BATCH)

    def __getitem__(self, index: int) -> tuple[Any]:
        files = self._files[index * MINI_BATCH : (index + 1) * MINI_BATCH]
        return (np.stack([pixels(file) for file in files]),)


class Clock(keras.callbacks.Callback):  # type: ignore[misc]
    """When each mini-batch was done."""

    def __init__(self) -> None:
        super().__init__()
        self.ends_s: list[float] = []

    def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
        self.ends_s.append(time.monotonic())


def main(folder: Path, count: int, scores_path: Path) -> None:
    """Predict the first `count` images of the workload."""
    files, clock = image_files(folder, count), Clock()
    model = keras.models.load_model(folder / "model.keras", compile=False)
    images = Images(files, workers=len(os.sched_getaffinity(0)))
    started_s = time.monotonic()
    scores = model.predict(images, verbose=0, callbacks=[clock])
    counts = [len(files[i : i + MINI_BATCH]) for i in range(0, len(files), MINI_BATCH)]
    tell(follow_each_other(started_s, list(zip(clock.ends_s, counts, strict=True))), scores, scores_path)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
