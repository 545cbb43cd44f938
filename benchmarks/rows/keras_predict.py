"""Keras over rows: `model.predict` on 50,000 of them at a time, read by `json`, and written as lines.

`python -m benchmarks.rows.keras_predict FOLDER COUNT SCORES`
"""

import json
import os
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

from pathlib import Path

import keras
import numpy as np

from benchmarks.rows.lines import INPUT, ITEMS_FILE, mini_batches
from benchmarks.told import follow_each_other, tell

CHUNK = 50_000
MINI_BATCH = 1024


def main(folder: Path, count: int, scores_path: Path) -> None:
    """Predict the first `count` rows of the workload."""
    model = keras.models.load_model(folder / "model.keras", compile=False)
    ends: list[tuple[float, int]] = []
    kept, index, started_s = [], 0, time.monotonic()
    with scores_path.with_name("predictions.jsonl").open("w") as out:
        for lines in mini_batches(folder / ITEMS_FILE, range(count), CHUNK):
            features = np.array([json.loads(line)["inputs"][INPUT] for line in lines], np.float32)
            scores = model.predict(features, batch_size=MINI_BATCH, verbose=0)
            out.writelines(
                json.dumps({"index": index + i, "scores": row}) + "\n"
                for i, row in enumerate(scores.tolist())
            )
            kept.append(scores)
            ends.append((time.monotonic(), len(lines)))
            index += len(lines)
    tell(follow_each_other(started_s, ends), np.concatenate(kept), scores_path)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
