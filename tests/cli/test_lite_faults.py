"""What LiteRT gets wrong by itself, which operations of a model count, and which do not."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fanwise.model.runtime import import_runtime

Specs = Sequence[tuple[str, tuple[int | None, ...], str]]


@pytest.fixture(scope="module")
def converted() -> Callable[[Any, Specs], bytes]:
    """Converts a function of the named inputs."""
    import_runtime("tensorflow")
    import tensorflow as tf

    def convert(function: Any, specs: Specs) -> bytes:
        module = tf.Module()
        signature = [tf.TensorSpec(shape, dtype, name) for name, shape, dtype in specs]
        module.f = tf.function(lambda *given: {"y": function(*given)}, input_signature=signature)
        concrete = module.f.get_concrete_function()
        made: bytes = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module).convert()
        return made

    return convert


X: Specs = [("x", (None, 4), "float32")]
OPEN: Specs = [("x", (None, None), "float32")]
WITH_K: Specs = [*X, ("k", (None,), "int32")]


def faults(model: bytes) -> list[str]:
    """The operations of a model that count."""
    from fanwise_cli.operations.faults import fault_of
    from fanwise_cli.operations.lite import operators

    return [str(one) for one in operators(model, "serving_default") if fault_of(one)]


def tensorflow() -> Any:
    import tensorflow as tf

    return tf


@pytest.mark.parametrize(
    ("function", "specs", "named"),
    [
        (lambda x: x[:, -1], OPEN, ["STRIDED_SLICE"]),
        (lambda x: x[:, 2], OPEN, ["STRIDED_SLICE"]),
        (lambda x: tensorflow().transpose(x)[-1], OPEN, ["STRIDED_SLICE"]),
        (lambda x, k: x[:, k[0]], WITH_K, ["STRIDED_SLICE"]),
        (lambda x, k: tensorflow().reverse_sequence(x, k, seq_axis=1), WITH_K, ["REVERSE_SEQUENCE"]),
        (lambda x, k: tensorflow().math.unsorted_segment_sum(x, k, 4), WITH_K, ["UNSORTED_SEGMENT_SUM"]),
        (lambda x: tensorflow().cast(x * 2, "int32"), X, ["CAST"]),
        (lambda x: tensorflow().matmul(x, np.ones((4, 3), np.float32)), OPEN, ["FULLY_CONNECTED"]),
        (
            lambda x: tensorflow().nn.max_pool1d(x, 3, 1, "VALID"),
            [("x", (None, None, 2), "float32")],
            ["MAX_POOL_2D"],
        ),
        (lambda x, k: tensorflow().one_hot(k, k[0]), WITH_K, ["ONE_HOT"]),
        (
            lambda x, k: tensorflow().while_loop(
                lambda i, _: i < k[0], lambda i, y: (i + 1, y + x[:, i]), [0, x[:, 0]]
            )[1],
            WITH_K,
            ["STRIDED_SLICE"],
        ),
    ],
)
def test_what_goes_by_an_input_counts(converted: Any, function: Any, specs: Specs, named: list[str]) -> None:
    assert set(named) <= set(faults(converted(function, specs)))


@pytest.mark.parametrize(
    ("function", "specs"),
    [
        (lambda x: x[:, -1], X),
        (lambda x: x[:, 1:3], OPEN),
        (lambda x: tensorflow().reshape(x, (tensorflow().shape(x)[0], 2, 2)), X),
        (lambda x: tensorflow().reshape(x, (-1, 2)), X),
        (lambda x: tensorflow().concat([x, tensorflow().zeros((tensorflow().shape(x)[0], 1))], 1), X),
        (lambda x, k: tensorflow().gather(np.arange(9, dtype=np.float32), k), WITH_K),
        (lambda x, k: tensorflow().one_hot(k, 3), WITH_K),
        (lambda x, k: tensorflow().cast(k, "float32"), WITH_K),
        (lambda x: tensorflow().cast(tensorflow().argmax(x, 1), "int32"), X),
        (lambda x: tensorflow().matmul(x, np.ones((4, 3), np.float32)), X),
        (
            lambda x: tensorflow().while_loop(
                lambda i, _: i < 3, lambda i, y: (i + 1, y + x[:, i]), [0, x[:, 0]]
            )[1],
            X,
        ),
    ],
)
def test_what_goes_by_constants_and_the_batch_does_not(converted: Any, function: Any, specs: Specs) -> None:
    assert faults(converted(function, specs)) == []


@pytest.mark.parametrize(
    ("function", "specs", "given"),
    [
        (lambda x: x[:, 2], OPEN, {"x": np.ones((2, 1), np.float32)}),
        (
            lambda x, k: tensorflow().reverse_sequence(x, k, seq_axis=1),
            WITH_K,
            {"x": np.ones((2, 4), np.float32), "k": np.array([1, 9], np.int32)},
        ),
        (lambda x: tensorflow().cast(x * 2, "int32"), X, {"x": np.full((2, 4), 3e9, np.float32)}),
        (
            lambda x: tensorflow().matmul(x, np.ones((4, 3), np.float32)),
            OPEN,
            {"x": np.ones((2, 8), np.float32)},
        ),
        (
            lambda x, k: tensorflow().pow(tensorflow().constant([4, 4]), k),
            WITH_K,
            {"x": np.ones((2, 4), np.float32), "k": np.array([40, 2], np.int32)},
        ),
    ],
)
def test_the_table_is_true(converted: Any, function: Any, specs: Specs, given: dict[str, Any]) -> None:
    """TensorFlow refuses, or answers otherwise; LiteRT answers. Where that ends, the row may go."""
    from ai_edge_litert.interpreter import Interpreter

    tf = tensorflow()
    model = converted(function, specs)
    assert faults(model)
    interpreter = Interpreter(model_content=model)
    for details in interpreter.get_input_details():
        name = details["name"].removeprefix("serving_default_").partition(":")[0]
        interpreter.resize_tensor_input(details["index"], given[name].shape)
    interpreter.allocate_tensors()
    for details in interpreter.get_input_details():
        name = details["name"].removeprefix("serving_default_").partition(":")[0]
        interpreter.set_tensor(details["index"], given[name])
    interpreter.invoke()
    answer = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    try:
        expected = function(*(tf.constant(given[name]) for name, _, _ in specs)).numpy()
    except tf.errors.InvalidArgumentError:
        return
    assert not np.array_equal(expected, answer)


def test_what_keeps_state_is_known_by_what_it_writes(converted: Any, tmp_path: Path) -> None:
    from fanwise_cli.operations.lite import operators
    from fanwise_cli.operations.refusing import resets_of_lite

    tf = tensorflow()
    module = tf.Module()
    module.count = tf.Variable(0.0)
    given = [tf.TensorSpec((None, 4), tf.float32, "x")]
    module.f = tf.function(lambda x: {"y": x + module.count.assign_add(1.0)}, input_signature=given)
    tf.saved_model.save(module, str(tmp_path), signatures=module.f)
    model = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path)).convert()
    state, resets = resets_of_lite(operators(model, "serving_default"))
    assert (state, [one.reset for one in resets]) == ("ASSIGN_VARIABLE", ["model"])
    assert resets_of_lite(operators(converted(lambda x: x * 2, X), "serving_default")) == (None, [])
