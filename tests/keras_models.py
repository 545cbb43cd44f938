"""Small models to test with, made once per run in a process of their own, with what they answer when called.

`python keras_models.py FOLDER` makes them; `made_models` is the fixture. Each lies in FOLDER, its inputs and
outputs at one mini-batch of 32 in NAME.npz, under the signature's names.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from made_once import made_once

ROWS = 32


@pytest.fixture(scope="session")
def made_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """digits.keras (image), tabular/ (two inputs, two outputs), text/ (a lookup table), odd/ (dtypes), fixed/.

    For LiteRT: digits.tflite, lite.tflite (dtypes), fixed.tflite, unsigned.tflite (no signature),
    quantized.tflite (uint8 in and out), custom.tflite (an operation that LiteRT has not).
    """
    return made_once(tmp_path_factory, "models", _make_apart)


def _make_apart(folder: Path) -> None:
    folder.mkdir()
    quiet = {
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_ENABLE_ONEDNN_OPTS": "1",
        "KERAS_BACKEND": "tensorflow",
        "CUDA_VISIBLE_DEVICES": "-1",
    }
    command = [sys.executable, __file__, str(folder)]
    done = subprocess.run(command, env=os.environ | quiet, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _make(folder: Path) -> None:
    import keras
    import numpy as np
    import tensorflow as tf

    keras.utils.set_random_seed(7)
    random = np.random.default_rng(7)
    layers = keras.layers

    digits = keras.Sequential(
        [
            keras.Input((8, 8, 1), name="pixels"),
            layers.Conv2D(4, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    digits.save(folder / "digits.keras")
    pixels = (random.integers(0, 256, (ROWS, 8, 8, 1)) / 255).astype(np.float32)
    np.savez(folder / "digits.npz", pixels=pixels, output_0=digits(pixels, training=False))

    age, history = keras.Input((1,), name="age"), keras.Input((3,), name="history")
    both = layers.Dense(8, activation="tanh")(layers.Concatenate()([age, history]))
    tabular = keras.Model(
        {"age": age, "history": history}, {"risk": layers.Dense(2)(both), "cost": layers.Dense(1)(both)}
    )
    tabular.export(str(folder / "tabular"), verbose=False)
    given = {"age": random.random((ROWS, 1), np.float32), "history": random.random((ROWS, 3), np.float32)}
    np.savez(folder / "tabular.npz", allow_pickle=False, **given, **tabular(given))

    words = keras.Input((1,), dtype="string", name="text")
    vectors = layers.TextVectorization(output_sequence_length=4, vocabulary=["good", "bad", "ugly"])(words)
    text = keras.Model(words, layers.Dense(2)(layers.Flatten()(layers.Embedding(8, 3)(vectors))))
    text.export(str(folder / "text"), verbose=False)
    lines = ["good bad"] * (ROWS - 2) + ["", "ügly ugly"]
    np.savez(folder / "text.npz", text=lines, output_0=text(tf.constant([[line] for line in lines])))

    class Odd(tf.Module):  # type: ignore[misc]
        """Every family of dtypes, a size that is left open, and a complaint about negative numbers."""

        @tf.function(  # type: ignore[untyped-decorator]
            input_signature=[
                tf.TensorSpec((None, 2), tf.int32, "whole"),
                tf.TensorSpec((None,), tf.float16, "half"),
                tf.TensorSpec((None, 2), tf.bfloat16, "brain"),
                tf.TensorSpec((None,), tf.bool, "flag"),
                tf.TensorSpec((None,), tf.string, "word"),
                tf.TensorSpec((None, None), tf.float32, "open"),
            ]
        )
        def __call__(self, whole: Any, half: Any, brain: Any, flag: Any, word: Any, open: Any) -> Any:  # noqa: A002
            with tf.control_dependencies([tf.debugging.assert_non_negative(whole, "whole is negative")]):
                doubled = tf.cast(whole, tf.int64) * 2
            return {
                "doubled": doubled,
                "logarithm": tf.math.log(half),
                "brain": brain * 2,
                "not": tf.logical_not(flag),
                "word": tf.strings.join([word, word]),
                "sum": tf.reduce_sum(open, axis=1),
                "sizes": tf.shape(open),
            }

    odd = Odd()
    tf.saved_model.save(odd, str(folder / "odd"), signatures=odd.__call__)

    class Fixed(tf.Module):  # type: ignore[misc]
        """A batch size of its own."""

        @tf.function(input_signature=[tf.TensorSpec((4, 2), tf.float32, "x")])  # type: ignore[untyped-decorator]
        def __call__(self, x: Any) -> Any:
            return {"y": tf.reshape(x, (4, 2)) + 1}

    fixed = Fixed()
    tf.saved_model.save(fixed, str(folder / "fixed"), signatures=fixed.__call__)
    _make_lite(folder, digits, pixels)


def _make_lite(folder: Path, digits: Any, pixels: Any) -> None:
    import tensorflow as tf

    class Lite(tf.Module):  # type: ignore[misc]
        """What LiteRT has of `Odd`, and an index that may be out of bounds."""

        @tf.function(  # type: ignore[untyped-decorator]
            input_signature=[
                tf.TensorSpec((None, 2), tf.int32, "whole"),
                tf.TensorSpec((None,), tf.bool, "flag"),
                tf.TensorSpec((None,), tf.string, "word"),
                tf.TensorSpec((None, None), tf.float32, "open"),
                tf.TensorSpec((None, 3), tf.uint8, "bytes"),
            ]
        )
        def __call__(self, whole: Any, flag: Any, word: Any, open: Any, bytes: Any) -> Any:  # noqa: A002
            return {
                "doubled": tf.cast(whole, tf.int64) * 2,
                "not": tf.logical_not(flag),
                "word": tf.gather(word, tf.range(tf.shape(word)[0])),
                "sum": tf.reduce_sum(open, axis=1),
                "bytes": tf.reverse(bytes, [1]),
                "taken": tf.gather(tf.constant([10.0, 20.0, 30.0]), whole[:, 0]),
            }

    class Custom(tf.Module):  # type: ignore[misc]
        @tf.function(input_signature=[tf.TensorSpec((None, 2, 2), tf.float32, "x")])  # type: ignore[untyped-decorator]
        def __call__(self, x: Any) -> Any:
            return {"y": tf.linalg.det(x)}

    def write(name: str, converter: Any) -> None:
        (folder / f"{name}.tflite").write_bytes(converter.convert())

    def saved(name: str) -> Any:
        return tf.lite.TFLiteConverter.from_saved_model(
            str(folder / name), signature_keys=["serving_default"]
        )

    lite, custom = Lite(), Custom()
    tf.saved_model.save(lite, str(folder / "lite"), signatures=lite.__call__)
    tf.saved_model.save(custom, str(folder / "custom"), signatures=custom.__call__)
    write("lite", saved("lite"))
    write("fixed", saved("fixed"))
    unknown = saved("custom")
    unknown.allow_custom_ops = True
    write("custom", unknown)
    write("digits", tf.lite.TFLiteConverter.from_keras_model(digits))
    concrete = lite.__call__.get_concrete_function()
    write("unsigned", tf.lite.TFLiteConverter.from_concrete_functions([concrete]))
    quantized = tf.lite.TFLiteConverter.from_keras_model(digits)
    quantized.optimizations = [tf.lite.Optimize.DEFAULT]
    quantized.representative_dataset = lambda: ([row[None]] for row in pixels)
    quantized.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    quantized.inference_input_type = quantized.inference_output_type = tf.uint8
    write("quantized", quantized)


if __name__ == "__main__":
    _make(Path(sys.argv[1]))
