"""The loop to beat: what somebody with a model, a folder of images and an hour writes with TensorFlow.

`python benchmarks/tensorflow_loop.py FOLDER COUNT SCORES`: one process, TensorFlow's own threads, mini-batches of
32, two of them decoded ahead in two threads. Keeps the scores in memory, says on stdout when each mini-batch was
done (JSON, `time.monotonic()`), and then writes SCORES (npy, float32 (count, classes)) for the comparison. Not
imported by anything: from the start of its process, all that it does is this.
"""

import json
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
from PIL import Image

MINI_BATCH = 32
MINI_BATCHES_AHEAD = 2
DECODE_THREADS = 2


def pixels(path: Path) -> np.ndarray[Any, np.dtype[np.float32]]:
    """float32 (224, 224, 3), -1 to 1."""
    image = Image.open(path).convert("RGB").resize((224, 224), Image.Resampling.BILINEAR)
    return np.asarray(image, np.float32) / 127.5 - 1


def main(folder: Path, count: int, scores_path: Path) -> None:
    """Predict the first `count` images of the workload."""
    files = sorted((folder / "img").glob("*.jpg"))[:count]
    model = tf.saved_model.load(str(folder / "model/saved_model"))
    signature = model.signatures["serving_default"]
    name = next(iter(signature.structured_input_signature[1]))
    mini_batches = iter([files[i : i + MINI_BATCH] for i in range(0, len(files), MINI_BATCH)])
    ahead: deque[list[Future[np.ndarray[Any, np.dtype[np.float32]]]]] = deque()
    scores, done = [], []
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
            done.append({"ended_s": time.monotonic(), "count": len(images)})
    sys.stdout.write(json.dumps({"started_s": started_s, "mini_batches": done}))
    np.save(scores_path, np.concatenate(scores))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
