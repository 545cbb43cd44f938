"""The loop over rows with TensorFlow, on one thread in each process."""

import os
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

from benchmarks.rows.loop import Predict, main
from benchmarks.told import Scores


def load(folder: Path) -> Predict:
    """The model's signature."""
    import tensorflow as tf  # noqa: PLC0415 - in the processes that predict

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    model = tf.saved_model.load(str(folder / "model/saved_model"))
    signature = model.signatures["serving_default"]
    name = next(iter(signature.structured_input_signature[1]))

    def predict(rows: Scores, model: object = model) -> Scores:  # which holds the variables of its signature
        answer: Scores = next(iter(signature(**{name: tf.constant(rows)}).values())).numpy()
        return answer

    return predict


if __name__ == "__main__":
    main(load)
