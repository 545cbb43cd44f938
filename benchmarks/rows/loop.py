"""The loops to beat, over rows: a process a core, each with a share of the lines and its own file of predictions.

Lines are read by msgspec with their type, as fast as Python reads JSON, 1,024 at a time, and predictions written
as lines. Nothing is checked: a line that is not as it should be ends it all. With `load` from `litert_loop` or
`tensorflow_loop`.
"""

import multiprocessing
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.rows.lines import ITEMS_FILE, cores, mini_batches, shares
from benchmarks.told import Ramp, Scores, follow_each_other, tell

MINI_BATCH = 1024

Predict = Callable[[Scores], Scores]  # float32 (rows, features) → (rows, classes), at most MINI_BATCH rows
Load = Callable[[Path], Predict]


class Inputs(msgspec.Struct):
    """The values of a line."""

    features: list[float]


class Line(msgspec.Struct):
    """A line of the items file."""

    inputs: Inputs


def work(load: Load, folder: Path, rows: range, out: Path, answer: Connection) -> None:
    """Predict these rows into `out`, and send the ramps and the scores."""
    predict = load(folder)
    decoder, encoder = msgspec.json.Decoder(Line), msgspec.json.Encoder()
    index, kept = rows.start, []
    ends: list[tuple[float, int]] = []
    started_s = time.monotonic()
    with out.open("wb") as file:
        for lines in mini_batches(folder / ITEMS_FILE, rows, MINI_BATCH):
            features = [decoder.decode(line).inputs.features for line in lines]
            scores = predict(np.array(features, np.float32))
            predictions = [{"index": index + i, "scores": row} for i, row in enumerate(scores.tolist())]
            file.write(encoder.encode_lines(predictions))
            kept.append(scores)
            ends.append((time.monotonic(), len(lines)))
            index += len(lines)
    answer.send((follow_each_other(started_s, ends), np.concatenate(kept)))


def main(load: Load) -> None:
    """Predict the first COUNT rows of the workload: FOLDER COUNT SCORES."""
    folder, count, scores_path = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    context = multiprocessing.get_context("spawn")
    started = []
    for i, rows in enumerate(shares(count, cores())):
        here, there = context.Pipe(duplex=False)
        out = scores_path.with_name(f"predictions-{i}.jsonl")
        process = context.Process(target=work, args=(load, folder, rows, out, there))
        process.start()
        started.append((process, here))
    ramps: list[Ramp] = []
    scores: list[Scores] = []
    for process, here in started:
        its_ramps, its_scores = here.recv()
        process.join()
        ramps += its_ramps
        scores.append(its_scores)
    tell(ramps, np.concatenate(scores), scores_path)
