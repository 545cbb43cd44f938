"""How the models of the zoo are made: run only in the process that makes them (`zoo.making`).

Each function writes one model into the folder it is given: a SavedModel by default. The functions' names are the
models' names in `zoo.entries`. They are as small as they can be: one property each.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

MAKERS: dict[str, Callable[[Path], None]] = {}
FLOAT = tf.float32


def made(make: Callable[[Path], None]) -> Callable[[Path], None]:
    """Registers a maker under its function's name."""
    MAKERS[make.__name__] = make
    return make


def spec(name: str, *shape: int | None, dtype: Any = FLOAT) -> Any:
    """An input of the signature."""
    return tf.TensorSpec(shape, dtype, name)


def save(folder: Path, compute: Callable[..., Any], *inputs: Any, **held: Any) -> None:
    """A SavedModel of one function; `held` are variables and tables that it uses."""
    module = tf.Module()
    for name, value in held.items():
        setattr(module, name, value)
    module.compute = tf.function(compute, input_signature=inputs)
    tf.saved_model.save(module, str(folder), signatures=module.compute)


def save_keras(folder: Path, model: Any) -> None:
    """A Keras file, and the SavedModel that Keras exports of it, for the comparison."""
    folder.mkdir()
    model.save(folder / "model.keras")
    model.export(str(folder.with_name(folder.name + ".original")), verbose=False)


def lite(folder: Path, saved_model: Path, change: Callable[[Any], None] = lambda _: None) -> None:
    """A .tflite of a SavedModel; `change` sets the converter's options."""
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model), signature_keys=["serving_default"])
    change(converter)
    folder.mkdir()
    (folder / "model.tflite").write_bytes(converter.convert())


def save_lite(folder: Path, compute: Callable[..., Any], *inputs: Any, **held: Any) -> None:
    """A .tflite of one function."""
    original = folder.with_name(folder.name + ".saved")
    save(original, compute, *inputs, **held)
    lite(folder, original)


# Numbers.


@made
def floats(folder: Path) -> None:
    def compute(half: Any, brain: Any, single: Any, double: Any) -> Any:
        return {"half": half / 2, "brain": brain / 2, "single": single / 2, "double": double / 2}

    dtypes = {"half": tf.float16, "brain": tf.bfloat16, "single": tf.float32, "double": tf.float64}
    save(folder, compute, *(spec(name, None, 3, dtype=dtype) for name, dtype in dtypes.items()))


@made
def integers(folder: Path) -> None:
    names = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]

    def compute(*values: Any) -> Any:
        return {f"out_{name}": tf.bitwise.invert(value) for name, value in zip(names, values, strict=True)}

    save(folder, compute, *(spec(name, None, 2, dtype=getattr(tf, name)) for name in names))


@made
def bools(folder: Path) -> None:
    save(
        folder,
        lambda x: {"not": tf.logical_not(x), "any": tf.reduce_any(x, axis=1)},
        spec("x", None, 3, dtype=tf.bool),
    )


@made
def ranks(folder: Path) -> None:
    def compute(scalar: Any, one: Any, matrix: Any) -> Any:
        return {"y": scalar[:, None] * one + tf.reduce_sum(matrix, axis=2), "matrix": -matrix}

    save(folder, compute, spec("scalar", None), spec("one", None, 1), spec("matrix", None, 2, 3))


@made
def open_sum(folder: Path) -> None:
    save(folder, lambda x: {"sum": tf.reduce_sum(x, axis=1), "double": x * 2}, spec("x", None, None))


@made
def open_max(folder: Path) -> None:
    save(folder, lambda x: {"max": tf.reduce_max(x, axis=1)}, spec("x", None, None))


@made
def two_open(folder: Path) -> None:
    save(
        folder,
        lambda x: {"rows": tf.reduce_mean(x, axis=2), "sum": tf.reduce_sum(x, axis=[1, 2])},
        spec("x", None, None, None),
    )


@made
def open_pair(folder: Path) -> None:
    save(folder, lambda x, y: {"sum": x + y}, spec("x", None, None), spec("y", None, None))


@made
def columns(folder: Path) -> None:
    weights = tf.constant([[1.0], [0.5], [-0.25]])

    def compute(table: Any, age: Any) -> Any:
        return {"y": (table @ weights)[:, 0] + tf.cast(age, FLOAT)}

    save(folder, compute, spec("table", None, 3), spec("age", None, dtype=tf.int32))


@made
def whole_number(folder: Path) -> None:
    save(folder, lambda k: {"y": tf.identity(k)}, spec("k", None, dtype=tf.int64))


# Images.


@made
def grey(folder: Path) -> None:
    layers = keras.layers
    save_keras(
        folder,
        keras.Sequential(
            [
                keras.Input((8, 8, 1), name="pixels"),
                layers.Conv2D(3, 3, activation="relu"),
                layers.BatchNormalization(),
                layers.MaxPooling2D(2),
                layers.Flatten(),
                layers.Dropout(0.5),
                layers.Dense(4, activation="softmax"),
            ]
        ),
    )


@made
def colour(folder: Path) -> None:
    save(
        folder,
        lambda photo: {"mean": tf.reduce_mean(tf.cast(photo, FLOAT), axis=[1, 2]), "corner": photo[:, 0, 0]},
        spec("photo", None, 6, 5, 3, dtype=tf.uint8),
    )


@made
def clear(folder: Path) -> None:
    save(folder, lambda photo: {"mean": tf.reduce_mean(photo, axis=[1, 2])}, spec("photo", None, 4, 4, 4))


@made
def open_image(folder: Path) -> None:
    save(
        folder,
        lambda photo: {"mean": tf.reduce_mean(photo, axis=[1, 2]), "first": photo[:, 0, 0]},
        spec("photo", None, None, None, 3),
    )


@made
def small_photo(folder: Path) -> None:
    save(folder, lambda img: {"mean": tf.reduce_mean(img, axis=[1, 2])}, spec("img", None, 4, 4, 3))


# Text.


@made
def text_operations(folder: Path) -> None:
    def compute(text: Any) -> Any:
        words = tf.strings.split(text)
        return {
            "length": tf.strings.length(text, unit="UTF8_CHAR"),
            "upper": tf.strings.upper(text, encoding="utf-8"),
            "bucket": tf.strings.to_hash_bucket_fast(text, 1000),
            "words": words.row_lengths(),
            "longest": tf.reduce_max(tf.strings.length(words), axis=1),
        }

    save(folder, compute, spec("text", None, dtype=tf.string))


@made
def table(folder: Path) -> None:
    values = tf.lookup.KeyValueTensorInitializer(tf.constant(["good", "bad"]), tf.constant([1, 2], tf.int64))
    words = tf.lookup.StaticHashTable(values, -1)
    save(
        folder, lambda text: {"code": words.lookup(text)}, spec("text", None, 1, dtype=tf.string), words=words
    )


@made
def vectorized(folder: Path) -> None:
    layers = keras.layers
    text = keras.Input((1,), dtype="string", name="text")
    ids = layers.TextVectorization(output_sequence_length=4, vocabulary=["good", "bad", "ugly"])(text)
    scores = layers.Dense(2)(layers.Flatten()(layers.Embedding(8, 3)(ids)))
    save_keras(folder, keras.Model(text, scores))


@made
def padded_words(folder: Path) -> None:
    """As wide as the longest text of the mini-batch."""
    save(
        folder,
        lambda text: {"words": tf.strings.split(text).to_tensor(default_value="")},
        spec("text", None, dtype=tf.string),
    )


@made
def named(folder: Path) -> None:
    names = tf.constant(["ant", "bee", "cow"])
    save(folder, lambda x: {"name": tf.gather(names, tf.argmax(x, axis=1))}, spec("x", None, 3))


# Outputs.


def _scores(x: Any) -> Any:
    return {"scores": tf.nn.softmax(x * [1.0, -2.0, 0.5]), "sum": tf.reduce_sum(x, axis=1)}


@made
def best(folder: Path) -> None:
    save(folder, _scores, spec("x", None, 3))


@made
def whole_scores(folder: Path) -> None:
    save(folder, lambda x: {"scores": tf.stack([x, -x, x // 2], axis=1)}, spec("x", None, dtype=tf.int32))


@made
def single_score(folder: Path) -> None:
    save(
        folder, lambda x: {"scores": tf.sigmoid(tf.reduce_sum(x, axis=1, keepdims=True))}, spec("x", None, 3)
    )


@made
def late_single_score(folder: Path) -> None:
    """One column, which the signature does not say."""

    def compute(x: Any) -> Any:
        score = tf.sigmoid(tf.reduce_sum(x, axis=1, keepdims=True))
        return {"scores": tf.compat.v1.placeholder_with_default(score, (None, None))}

    save(folder, compute, spec("x", None, 3))


@made
def logarithms(folder: Path) -> None:
    save(folder, lambda x: {"scores": tf.math.log(x)}, spec("x", None, 3))


@made
def constant(folder: Path) -> None:
    names = tf.constant(["a", "b", "c", "d", "e"])
    save(folder, lambda x: {"names": tf.identity(names), "y": x * 2}, spec("x", None, 1))


@made
def constant_dropped(folder: Path) -> None:
    names = tf.constant(["a", "b", "c", "d", "e"])
    save(folder, lambda x: {"names": tf.identity(names), "y": x * 2}, spec("x", None, 1))


@made
def large_constant(folder: Path) -> None:
    weights = tf.constant(np.arange(2000, dtype=np.float32))
    save(
        folder,
        lambda x: {"y": x[:, :1] * weights[None], "w": tf.tile(weights[None, :4], [tf.shape(x)[0], 1])},
        spec("x", None, 2),
    )


@made
def complex_out(folder: Path) -> None:
    save(folder, lambda x: {"y": tf.signal.fft(tf.cast(x, tf.complex64))}, spec("x", None, 4))


# Batches.


@made
def batch_of_one(folder: Path) -> None:
    save(folder, lambda x: {"y": tf.reshape(x, (1, 3)) * 2}, spec("x", 1, 3))


@made
def batch_of_four(folder: Path) -> None:
    save(folder, lambda x: {"y": tf.reshape(x, (4, 2)) + 1}, spec("x", 4, 2))


@made
def unbatched(folder: Path) -> None:
    save(folder, lambda x, s: {"y": x[:2] * s, "total": tf.reduce_sum(x)}, spec("x", 3), spec("s"))


@made
def nms(folder: Path) -> None:
    """Detections: as many rows as there are, all of the one item."""

    def compute(boxes: Any) -> Any:
        found = boxes[0]
        return {"found": tf.boolean_mask(found, found[:, 1] > 0.5)}

    save(folder, compute, spec("boxes", 1, 4, 2))


@made
def detections(folder: Path) -> None:
    def compute(boxes: Any, scores: Any) -> Any:
        kept = tf.image.non_max_suppression(boxes[0], scores[0], 3, 0.5, 0.4)
        return {"kept": kept, "scores": tf.gather(scores[0], kept)}

    save(folder, compute, spec("boxes", 1, 4, 4), spec("scores", 1, 4))


@made
def combined_detections(folder: Path) -> None:
    def compute(boxes: Any, scores: Any) -> Any:
        found = tf.image.combined_non_max_suppression(
            boxes[:, :, None], scores[..., None], 2, 2, score_threshold=0.4
        )
        return {"scores": found.nmsed_scores, "count": found.valid_detections}

    save(folder, compute, spec("boxes", None, 4, 4), spec("scores", None, 4))


# State.


@made
def counter(folder: Path) -> None:
    calls = tf.Variable(0.0)
    save(folder, lambda x: {"y": x + calls.assign_add(1.0)}, spec("x", None), calls=calls)


@made
def running_mean(folder: Path) -> None:
    mean = tf.Variable([0.0, 0.0])

    def compute(x: Any) -> Any:
        before = tf.identity(mean)
        with tf.control_dependencies([before]):
            after = mean.assign(0.9 * before + 0.1 * x[0])
        with tf.control_dependencies([after]):
            return {"y": x - before}

    save(folder, compute, spec("x", None, 2), mean=mean)


@made
def rare_state(folder: Path) -> None:
    """Remembers only what hardly ever comes."""
    offset = tf.Variable(0.0)

    def compute(x: Any) -> Any:
        before = tf.identity(offset)
        with tf.control_dependencies([before]):
            large = tf.reduce_max(x) > 40.0
            after = tf.cond(large, lambda: offset.assign(7.0), lambda: tf.identity(offset))
        with tf.control_dependencies([after]):
            return {"y": x + before}

    save(folder, compute, spec("x", None), offset=offset)


@made
def mutable_table(folder: Path) -> None:
    seen = tf.lookup.experimental.MutableHashTable(tf.int64, tf.int64, -1)

    def compute(x: Any) -> Any:
        before = seen.lookup(x)
        with tf.control_dependencies([before]), tf.control_dependencies([seen.insert(x, x * 10)]):
            return {"before": tf.identity(before)}

    save(folder, compute, spec("x", None, dtype=tf.int64), seen=seen)


@made
def lstm(folder: Path) -> None:
    save_keras(folder, keras.Sequential([keras.Input((4, 2), name="x"), keras.layers.LSTM(3)]))


@made
def stateful_lstm(folder: Path) -> None:
    layer = keras.layers.LSTM(2, stateful=True)
    model = keras.Sequential([keras.Input(batch_shape=(1, 3, 2), name="x"), layer])
    save(folder, lambda x: {"y": model(x)}, spec("x", 1, 3, 2), model=model)


@made
def gru_open(folder: Path) -> None:
    save_keras(folder, keras.Sequential([keras.Input((None, 2), name="x"), keras.layers.GRU(3)]))


@made
def noise(folder: Path) -> None:
    save(folder, lambda x: {"y": x + tf.random.normal(tf.shape(x))}, spec("x", None, 2))


@made
def dropout_active(folder: Path) -> None:
    save(folder, lambda x: {"y": tf.nn.dropout(x, 0.5)}, spec("x", None, 8))


@made
def lite_counter(folder: Path) -> None:
    def count(converter: Any) -> None:
        converter.experimental_enable_resource_variables = True

    calls = tf.Variable(0.0)
    original = folder.with_name(folder.name + ".saved")
    save(original, lambda x: {"y": x + calls.assign_add(1.0)}, spec("x", 1, 2), calls=calls)
    lite(folder, original, count)


@made
def lite_lstm(folder: Path) -> None:
    """UNIDIRECTIONAL_SEQUENCE_LSTM, which has its state in variable tensors: what Keras 2 made of an LSTM."""
    random = np.random.default_rng(0)
    kernel, recurrent, bias = (
        tf.constant(random.standard_normal(shape), FLOAT) for shape in ((2, 8), (2, 8), (8,))
    )

    def steps(x: Any, hidden: Any, cell: Any, kernel: Any, recurrent: Any, bias: Any) -> Any:
        answers = []
        for at in range(3):
            into, forget, new, out = tf.split(x[:, at] @ kernel + hidden @ recurrent + bias, 4, 1)
            cell = tf.sigmoid(forget) * cell + tf.sigmoid(into) * tf.tanh(new)
            hidden = tf.sigmoid(out) * tf.tanh(cell)
            answers.append(hidden)
        return hidden, tf.stack(answers, 1), hidden, cell, tf.constant(1.0)

    keras_lstm = {"api_implements": "lstm_1", "go_backwards": False, "time_major": False}
    fused = tf.function(steps, experimental_attributes=keras_lstm, autograph=False)
    zeros = tf.zeros((1, 2))
    save_lite(
        folder,
        lambda x: {"y": fused(x, zeros, zeros, kernel, recurrent, bias)[0]},
        spec("x", 1, 3, 2),
    )


# An item's neighbours.


@made
def softmax_of_batch(folder: Path) -> None:
    save(folder, lambda x: {"y": tf.nn.softmax(x, axis=0)}, spec("x", None, 2))


@made
def batch_statistics(folder: Path) -> None:
    def compute(x: Any) -> Any:
        mean, variance = tf.nn.moments(x, [0])
        return {"y": tf.nn.batch_normalization(x, mean, variance, 0.0, 1.0, 1e-3)}

    save(folder, compute, spec("x", None, 2))


@made
def reversed_batch(folder: Path) -> None:
    save(folder, lambda x: {"y": tf.reverse(x, [0])}, spec("x", None, 2))


@made
def cumulative(folder: Path) -> None:
    save(folder, lambda x: {"y": tf.cumsum(x, axis=0)}, spec("x", None, dtype=tf.int32))


@made
def batch_size_out(folder: Path) -> None:
    save(folder, lambda x: {"y": x + tf.cast(tf.shape(x)[0], FLOAT)}, spec("x", None))


@made
def any_negative(folder: Path) -> None:
    """The whole mini-batch is doubled where one of it is negative: numbers from 0 to 1 never show it."""
    save(
        folder,
        lambda x: {"y": tf.cond(tf.reduce_any(x < -20.0), lambda: x * 2, lambda: x)},
        spec("x", None),
    )


@made
def length_mask(folder: Path) -> None:
    """As wide as the largest number of the mini-batch."""
    save(folder, lambda n: {"mask": tf.cast(tf.sequence_mask(n), tf.int32)}, spec("n", None, dtype=tf.int32))


# Rows.


@made
def kept_rows(folder: Path) -> None:
    save(folder, lambda x: {"y": tf.boolean_mask(x, x[:, 0] >= 0)}, spec("x", None, 2))


@made
def repeated_rows(folder: Path) -> None:
    """n rows of an item that says n: two of one and none of the next are as many as there are items."""
    save(
        folder,
        lambda n, x: {"y": tf.repeat(x, n)},
        spec("n", None, dtype=tf.int32),
        spec("x", None),
    )


# Bounds.


@made
def embedding(folder: Path) -> None:
    vectors = tf.Variable(np.arange(12, dtype=np.float32).reshape(6, 2))
    save(
        folder,
        lambda ids: {"y": tf.reduce_sum(tf.gather(vectors, ids), axis=1)},
        spec("ids", None, 3, dtype=tf.int32),
        vectors=vectors,
    )


@made
def last_token(folder: Path) -> None:
    save(folder, lambda x: {"y": x[:, -1] * 2}, spec("x", None, None, dtype=tf.int32))


@made
def picked(folder: Path) -> None:
    save(
        folder,
        lambda x, n: {"y": tf.gather(x, n, batch_dims=1)},
        spec("x", None, 4),
        spec("n", None, dtype=tf.int32),
    )


@made
def reverse_sequence(folder: Path) -> None:
    save(
        folder,
        lambda x, n: {"y": tf.reverse_sequence(x, n, seq_axis=1)},
        spec("x", None, 4),
        spec("n", None, dtype=tf.int32),
    )


@made
def segments(folder: Path) -> None:
    def compute(x: Any, k: Any) -> Any:
        return {"y": tf.transpose(tf.math.unsorted_segment_sum(tf.transpose(x), k[0], 4))}

    save(folder, compute, spec("x", 1, 3), spec("k", 1, 3, dtype=tf.int32))


@made
def scattered(folder: Path) -> None:
    def compute(n: Any) -> Any:
        rows = tf.range(tf.shape(n)[0])
        return {"y": tf.scatter_nd(tf.stack([rows, n], axis=1), tf.ones_like(n), [tf.shape(n)[0], 5])}

    save(folder, compute, spec("n", None, dtype=tf.int32))


@made
def one_hot(folder: Path) -> None:
    save(folder, lambda n: {"y": tf.one_hot(n, 4)}, spec("n", None, dtype=tf.int32))


@made
def whole_numbers(folder: Path) -> None:
    save(
        folder,
        lambda x: {"int32": tf.cast(x, tf.int32), "int64": tf.cast(x, tf.int64)},
        spec("x", None, 3),
    )


@made
def small_numbers(folder: Path) -> None:
    save(folder, lambda x: {"uint8": tf.cast(x, tf.uint8), "int8": tf.cast(x, tf.int8)}, spec("x", None, 3))


@made
def divided(folder: Path) -> None:
    save(
        folder,
        lambda x, y: {"quotient": x // y, "rest": x % y},
        spec("x", None, dtype=tf.int32),
        spec("y", None, dtype=tf.int32),
    )


@made
def best_of_open(folder: Path) -> None:
    save(
        folder,
        lambda x: {"at": tf.argmax(x, axis=1), "two": tf.math.top_k(x, 2).values},
        spec("x", None, None),
    )


@made
def reshaped_by_value(folder: Path) -> None:
    save(
        folder,
        lambda x, n: {"y": tf.reshape(x[:, : n[0]], (tf.shape(x)[0], n[0]))},
        spec("x", None, 4),
        spec("n", None, dtype=tf.int32),
    )


@made
def asserts(folder: Path) -> None:
    def compute(x: Any) -> Any:
        with tf.control_dependencies([tf.debugging.assert_non_negative(x, "x is negative")]):
            return {"y": tf.sqrt(x)}

    save(folder, compute, spec("x", None))


@made
def fourth(folder: Path) -> None:
    save(folder, lambda x: {"y": x[:, 4] + x[:, -3]}, spec("x", None, None))


@made
def sliced(folder: Path) -> None:
    save(
        folder,
        lambda x: {"y": tf.reduce_sum(tf.slice(x, [0, 1], [-1, 3]), axis=1)},
        spec("x", None, None),
    )


@made
def halved(folder: Path) -> None:
    save(
        folder,
        lambda x: {"y": tf.reduce_sum(tf.split(x, 2, axis=1)[0], axis=1)},
        spec("x", None, None),
    )


@made
def in_pairs(folder: Path) -> None:
    save(
        folder,
        lambda x: {"y": tf.reduce_sum(tf.reshape(x, [tf.shape(x)[0], -1, 2]), axis=1)},
        spec("x", None, None),
    )


@made
def folded(folder: Path) -> None:
    """As many rows as the values make: eight values are two of an item."""
    save(folder, lambda x: {"y": tf.reduce_sum(tf.reshape(x, [-1, 2, 2]), axis=2)}, spec("x", None, None))


@made
def tokens(folder: Path) -> None:
    vectors = tf.constant(np.random.default_rng(3).standard_normal((10, 4)), FLOAT)

    def compute(ids: Any) -> Any:
        found = tf.gather(vectors, ids)
        weights = tf.nn.softmax(found, axis=1)
        return {
            "max": tf.reduce_max(found, axis=1),
            "mean": tf.reduce_mean(found, axis=1),
            "sum": tf.reduce_sum(weights * found, axis=1),
        }

    save(folder, compute, spec("ids", None, None, dtype=tf.int32))


@made
def segment_of_batch(folder: Path) -> None:
    def compute(x: Any, k: Any) -> Any:
        counts = tf.math.unsorted_segment_sum(tf.ones_like(k), k, 4)
        return {"y": x + 0.0 * tf.cast(tf.reduce_sum(counts), FLOAT)}

    save(folder, compute, spec("x", None, 2), spec("k", None, dtype=tf.int32))


# Control flow and layers.


@made
def collatz(folder: Path) -> None:
    def compute(n: Any) -> Any:
        def step(n: Any, steps: Any) -> Any:
            following = tf.where(n % 2 == 0, n // 2, 3 * n + 1)
            return tf.where(n > 1, following, n), steps + tf.cast(n > 1, tf.int32)

        _, steps = tf.while_loop(lambda n, _: tf.reduce_any(n > 1), step, (n, tf.zeros_like(n)))
        return {"steps": steps}

    save(folder, compute, spec("n", None, dtype=tf.int32))


@made
def attention(folder: Path) -> None:
    x = keras.Input((5, 4), name="x")
    save_keras(folder, keras.Model(x, keras.layers.MultiHeadAttention(2, 3)(x, x)))


@made
def text_cnn(folder: Path) -> None:
    layers = keras.layers
    ids = keras.Input((None,), dtype="int32", name="ids")
    folded = layers.Conv1D(3, 2, padding="same", activation="relu")(layers.Embedding(10, 4)(ids))
    save_keras(folder, keras.Model(ids, layers.Dense(2)(layers.GlobalMaxPooling1D()(folded))))


# Given for LiteRT.


def _digits(folder: Path) -> Path:
    original = folder.with_name(folder.name + ".saved")
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input((6, 6, 1), name="pixels"),
            keras.layers.Conv2D(2, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    model.export(str(original), verbose=False)
    return original


def _quantize(converter: Any, io: Any = None) -> None:
    pixels = np.random.default_rng(1).random((8, 1, 6, 6, 1), np.float32)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([one] for one in pixels)
    if io is not None:
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = io


@made
def lite_int8(folder: Path) -> None:
    lite(folder, _digits(folder), _quantize)


@made
def lite_uint8(folder: Path) -> None:
    lite(folder, _digits(folder), lambda converter: _quantize(converter, tf.uint8))


@made
def lite_dynamic_range(folder: Path) -> None:
    def optimize(converter: Any) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]

    lite(folder, _digits(folder), optimize)


@made
def lite_table(folder: Path) -> None:
    values = tf.lookup.KeyValueTensorInitializer(tf.constant(["good", "bad"]), tf.constant([1, 2], tf.int64))
    words = tf.lookup.StaticHashTable(values, -1)
    save_lite(
        folder, lambda text: {"code": words.lookup(text)}, spec("text", None, dtype=tf.string), words=words
    )


@made
def lite_embedding(folder: Path) -> None:
    vectors = tf.constant(np.arange(12, dtype=np.float32).reshape(6, 2))
    save_lite(folder, lambda ids: {"y": tf.gather(vectors, ids)}, spec("ids", None, 3, dtype=tf.int32))


@made
def lite_unbatched(folder: Path) -> None:
    save_lite(folder, lambda x: {"y": x[:2] * 2}, spec("x", 3))


# What is refused.


@made
def reads_file(folder: Path) -> None:
    save(folder, lambda name: {"y": tf.map_fn(tf.io.read_file, name)}, spec("name", None, dtype=tf.string))


@made
def python_code(folder: Path) -> None:
    save(
        folder,
        lambda x: {"y": tf.reshape(tf.py_function(lambda y: y * 2, [x], FLOAT), tf.shape(x))},
        spec("x", None),
    )
