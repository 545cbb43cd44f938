"""Lithops: `map` over chunks of the images, on its localhost backend (lithops-cloud.github.io).

`python -m benchmarks.jpegs.lithops_map FOLDER COUNT SCORES`: a worker process and a call a core, with TensorFlow
on one thread, and mini-batches of 32. More calls are slower: each loads the model anew.
"""

import os
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

from pathlib import Path
from typing import Any

import lithops
import numpy as np

from benchmarks.jpegs.pixels import image_files, pixels
from benchmarks.told import Ramp, Scores, tell

MINI_BATCH = 32
CONFIG: dict[str, Any] = {
    "lithops": {"backend": "localhost", "storage": "localhost", "log_level": "ERROR"},
    "localhost": {"runtime": sys.executable, "worker_processes": len(os.sched_getaffinity(0))},
}


def loaded(saved_model: str) -> tuple[Any, str, Any]:
    """The model, its input's name and its signature."""
    import tensorflow as tf  # noqa: PLC0415 - in the workers alone

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    model = tf.saved_model.load(saved_model)
    signature = model.signatures["serving_default"]
    return model, next(iter(signature.structured_input_signature[1])), signature


def predict(saved_model: str, paths: list[str]) -> tuple[Ramp, Scores]:
    """In a worker: when it was at work on these images, and their scores."""
    _model, name, signature = loaded(saved_model)
    started_s, scores = time.monotonic(), []
    for i in range(0, len(paths), MINI_BATCH):
        images = np.stack([pixels(Path(path)) for path in paths[i : i + MINI_BATCH]])
        scores.append(next(iter(signature(**{name: images}).values())).numpy())
    return (started_s, time.monotonic(), len(paths)), np.concatenate(scores)


def main(folder: Path, count: int, scores_path: Path) -> None:
    """Predict the first `count` images of the workload."""
    # By its name: Lithops then sends a name, and not this script.
    from benchmarks.jpegs import lithops_map  # noqa: PLC0415, PLW0406

    cores = CONFIG["localhost"]["worker_processes"]
    paths = [str(path) for path in image_files(folder, count)]
    chunks = [
        {
            "saved_model": str(folder / "model/saved_model"),
            "paths": paths[len(paths) * i // cores : len(paths) * (i + 1) // cores],
        }
        for i in range(cores)
    ]
    with lithops.FunctionExecutor(config=CONFIG) as executor:
        executor.map(lithops_map.predict, chunks)
        answers = executor.get_result(show_progressbar=False)
    ended_s = time.monotonic()
    tell(
        [ramp for ramp, _ in answers],
        np.concatenate([scores for _, scores in answers]),
        scores_path,
        ended_s=ended_s,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
