"""Ray Data: `map_batches` with the model in a pool of actors, as its guide to batch inference has it.

`python -m benchmarks.jpegs.ray_data FOLDER COUNT SCORES` (docs.ray.io/en/latest/data/batch_inference.html): an
actor a core, each with TensorFlow on one thread, mini-batches of 32, which it decodes itself: an operator of its
own for decoding would send every image through the object store. Ray has no dashboard here, tells nobody, and
listens on the loopback alone.
"""

import os
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

from pathlib import Path
from typing import Any

import numpy as np
import ray

from benchmarks.jpegs.pixels import image_files, pixels
from benchmarks.told import follow_each_other, tell

MINI_BATCH = 32


class Predictor:
    """An actor: the model, loaded once."""

    def __init__(self, saved_model: str) -> None:
        import tensorflow as tf  # noqa: PLC0415 - in the actor alone

        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        self._constant = tf.constant
        self._model = tf.saved_model.load(saved_model)
        self._signature = self._model.signatures["serving_default"]
        self._name = next(iter(self._signature.structured_input_signature[1]))

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """`path` of each image → its scores, beside its `index`."""
        images = np.stack([pixels(Path(path)) for path in batch["path"]])
        scores = next(iter(self._signature(**{self._name: self._constant(images)}).values())).numpy()
        return {"index": batch["index"], "scores": scores}


def main(folder: Path, count: int, scores_path: Path) -> None:
    """Predict the first `count` images of the workload."""
    cores = len(os.sched_getaffinity(0))
    ray.init(num_cpus=cores, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
    ray.data.DataContext.get_current().enable_progress_bars = False
    files = image_files(folder, count)
    items = ray.data.from_items(
        [{"index": index, "path": str(path)} for index, path in enumerate(files)],
        override_num_blocks=-(-len(files) // MINI_BATCH),
    )
    predicted = items.map_batches(
        Predictor,
        fn_constructor_args=(str(folder / "model/saved_model"),),
        batch_size=MINI_BATCH,
        num_cpus=1,
        compute=ray.data.ActorPoolStrategy(size=cores),
    )
    ends: list[tuple[float, int]] = []
    scores: dict[int, Any] = {}
    started_s = time.monotonic()
    for batch in predicted.iter_batches(batch_size=None):
        ends.append((time.monotonic(), len(batch["index"])))
        scores.update(zip(batch["index"].tolist(), batch["scores"], strict=True))
    tell(
        follow_each_other(started_s, ends),
        np.stack([scores[index] for index in range(len(files))]),
        scores_path,
    )
    ray.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
