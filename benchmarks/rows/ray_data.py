"""Ray Data over rows: `read_json` (Arrow's reader), `map_batches` with the model in a pool of actors.

`python -m benchmarks.rows.ray_data FOLDER COUNT SCORES`: an actor a core, each with TensorFlow on one thread,
4,096 rows at a time, as Arrow has them. The lines lie in as many files as there are cores, since a file is read by
one task. Predictions are kept in memory, in order, and not written: that much Ray is spared.
"""

import os
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import ray

from benchmarks.rows.lines import FEATURES, INPUT, ITEMS_FILE, cores, mini_batches, shares
from benchmarks.told import follow_each_other, tell

MINI_BATCH = 4096


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

    def __call__(self, table: Any) -> dict[str, Any]:
        """A table of lines → the scores of each."""
        values = pa.chunked_array(table["inputs"]).combine_chunks().field(INPUT).flatten()
        rows = values.to_numpy().astype(np.float32).reshape(-1, FEATURES)
        return {"scores": next(iter(self._signature(**{self._name: self._constant(rows)}).values())).numpy()}


def split(folder: Path, count: int, into: Path) -> list[str]:
    """The first `count` lines in a file a core."""
    paths = []
    for i, rows in enumerate(shares(count, cores())):
        path = into / f"items-{i}.jsonl"
        with path.open("wb") as file:
            for lines in mini_batches(folder / ITEMS_FILE, rows, MINI_BATCH):
                file.writelines(lines)
        paths.append(str(path))
    return paths


def main(folder: Path, count: int, scores_path: Path) -> None:
    """Predict the first `count` rows of the workload."""
    paths = split(folder, count, scores_path.parent)
    ray.init(num_cpus=cores(), include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    predicted = ray.data.read_json(paths).map_batches(
        Predictor,
        fn_constructor_args=(str(folder / "model/saved_model"),),
        batch_format="pyarrow",
        batch_size=MINI_BATCH,
        num_cpus=0.5,  # so that there is room for the tasks that read
        compute=ray.data.ActorPoolStrategy(size=cores()),
    )
    ends: list[tuple[float, int]] = []
    scores, started_s = [], time.monotonic()
    for batch in predicted.iter_batches(batch_size=None):
        scores.append(batch["scores"])
        ends.append((time.monotonic(), len(batch["scores"])))
    tell(follow_each_other(started_s, ends), np.concatenate(scores), scores_path)
    ray.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
