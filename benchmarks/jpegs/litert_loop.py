"""The other loop to beat: LiteRT in a process a core, each with one thread and every so-manieth of the images.

`python -m benchmarks.jpegs.litert_loop FOLDER COUNT SCORES`: mini-batches of 8, decoded and computed in turn; the
other processes fill the cores meanwhile. Measured to be faster than one process with decoding threads.
"""

import multiprocessing
import os
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from benchmarks.jpegs.pixels import SIDE_PX, image_files, pixels
from benchmarks.told import Ramp, follow_each_other, tell

MINI_BATCH = 8


def work(folder: Path, files: list[Path], answer: Connection) -> None:
    """Predict these files, and send the ramps and the scores."""
    model = Interpreter(str(folder / "model.tflite"), num_threads=1)
    image, scores = model.get_input_details()[0]["index"], model.get_output_details()[0]["index"]
    model.resize_tensor_input(image, (MINI_BATCH, SIDE_PX, SIDE_PX, 3))
    model.allocate_tensors()
    images = np.zeros((MINI_BATCH, SIDE_PX, SIDE_PX, 3), np.float32)
    ends, kept = [], []
    started_s = time.monotonic()
    for i in range(0, len(files), MINI_BATCH):
        mini_batch = files[i : i + MINI_BATCH]
        for row, file in enumerate(mini_batch):
            images[row] = pixels(file)
        model.set_tensor(image, images)
        model.invoke()
        kept.append(model.get_tensor(scores)[: len(mini_batch)])
        ends.append((time.monotonic(), len(mini_batch)))
    answer.send((follow_each_other(started_s, ends), np.concatenate(kept)))


def main(folder: Path, count: int, scores_path: Path) -> None:
    """Predict the first `count` images of the workload."""
    files, cores = image_files(folder, count), len(os.sched_getaffinity(0))
    started: list[tuple[multiprocessing.Process, Any]] = []
    for core in range(cores):
        here, there = multiprocessing.Pipe(duplex=False)
        process = multiprocessing.Process(target=work, args=(folder, files[core::cores], there))
        process.start()
        started.append((process, here))
    ramps: list[Ramp] = []
    for core, (process, here) in enumerate(started):
        its_ramps, its_scores = here.recv()
        process.join()
        if core == 0:
            scores = np.empty((len(files), its_scores.shape[1]), np.float32)
        scores[core::cores] = its_scores
        ramps += its_ramps
    tell(ramps, scores, scores_path)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
