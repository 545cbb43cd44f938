"""The loop over rows with LiteRT, an interpreter of one thread in each process."""

from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from benchmarks.rows.lines import FEATURES
from benchmarks.rows.loop import MINI_BATCH, Predict, main
from benchmarks.told import Scores


def load(folder: Path) -> Predict:
    """The model at a fixed size, the last mini-batch padded."""
    model = Interpreter(str(folder / "model.tflite"), num_threads=1)
    features, scores = model.get_input_details()[0]["index"], model.get_output_details()[0]["index"]
    model.resize_tensor_input(features, (MINI_BATCH, FEATURES))
    model.allocate_tensors()

    def predict(rows: Scores) -> Scores:
        padded = np.zeros((MINI_BATCH, FEATURES), np.float32)
        padded[: len(rows)] = rows
        model.set_tensor(features, padded)
        model.invoke()
        answer: Scores = model.get_tensor(scores)
        return answer[: len(rows)]

    return predict


if __name__ == "__main__":
    main(load)
