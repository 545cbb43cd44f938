"""Lithops over rows: `map` over shares of the lines, on its localhost backend.

`python -m benchmarks.rows.lithops_map FOLDER COUNT SCORES`: a worker process and a call a core, with TensorFlow on
one thread; lines are read by `json`, predicted 1,024 at a time, and written as a file.
"""

import json
import os
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

from pathlib import Path

import lithops
import numpy as np

from benchmarks.jpegs.lithops_map import CONFIG, loaded
from benchmarks.rows.lines import INPUT, ITEMS_FILE, cores, mini_batches, shares
from benchmarks.told import Ramp, Scores, tell

MINI_BATCH = 1024


def predict(folder: str, start: int, stop: int, out: str) -> tuple[Ramp, Scores]:
    """In a worker: when it was at work on these rows, and their scores."""
    _model, name, signature = loaded(f"{folder}/model/saved_model")
    started_s, kept, index = time.monotonic(), [], start
    with Path(out).open("w") as file:
        for lines in mini_batches(Path(folder) / ITEMS_FILE, range(start, stop), MINI_BATCH):
            features = np.array([json.loads(line)["inputs"][INPUT] for line in lines], np.float32)
            scores = next(iter(signature(**{name: features}).values())).numpy()
            file.writelines(
                json.dumps({"index": index + i, "scores": row}) + "\n"
                for i, row in enumerate(scores.tolist())
            )
            kept.append(scores)
            index += len(lines)
    return (started_s, time.monotonic(), stop - start), np.concatenate(kept)


def main(folder: Path, count: int, scores_path: Path) -> None:
    """Predict the first `count` rows of the workload."""
    # By its name: Lithops then sends a name, and not this script.
    from benchmarks.rows import lithops_map  # noqa: PLC0415, PLW0406

    calls = [
        {
            "folder": str(folder),
            "start": rows.start,
            "stop": rows.stop,
            "out": str(scores_path.with_name(f"predictions-{i}.jsonl")),
        }
        for i, rows in enumerate(shares(count, cores()))
    ]
    with lithops.FunctionExecutor(config=CONFIG) as executor:
        executor.map(lithops_map.predict, calls)
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
