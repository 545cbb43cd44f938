"""The loop to beat: what somebody with a model, a folder of images and an hour writes with TensorFlow.

`python -m benchmarks.jpegs.tensorflow_loop FOLDER COUNT SCORES`: one process, TensorFlow's own threads,
mini-batches of 32, two of them decoded ahead in two threads. Keeps the scores in memory, and writes them as SCORES
when all is done and told.
"""

import os
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.jpegs.pixels import image_files, pixels
from benchmarks.told import follow_each_other, tell

MINI_BATCH = 32
MINI_BATCHES_AHEAD = 2
DECODE_THREADS = 2


def main(folder: Path, count: int, scores_path: Path) -> None:
    """Predict the first `count` images of the workload."""
    files = image_files(folder, count)
    model = tf.saved_model.load(str(folder / "model/saved_model"))
    signature = model.signatures["serving_default"]
    name = next(iter(signature.structured_input_signature[1]))
    mini_batches = iter([files[i : i + MINI_BATCH] for i in range(0, len(files), MINI_BATCH)])
    ahead: deque[list[Future[np.ndarray[Any, np.dtype[np.float32]]]]] = deque()
    scores, ends = [], []
    started_s = time.monotonic()
    with ThreadPoolExecutor(DECODE_THREADS) as pool:

        def decode_next() -> None:
            if mini_batch := next(mini_batches, None):
                ahead.append([pool.submit(pixels, file) for file in mini_batch])

        for _ in range(MINI_BATCHES_AHEAD):
            decode_next()
        while ahead:
            images = np.stack([future.result() for future in ahead.popleft()])
            decode_next()
            scores.append(next(iter(signature(**{name: tf.constant(images)}).values())).numpy())
            ends.append((time.monotonic(), len(images)))
    tell(follow_each_other(started_s, ends), np.concatenate(scores), scores_path)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
