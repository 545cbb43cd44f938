"""What is converted to LiteRT, and what is left with TensorFlow, and why. TensorFlow runs in this process."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from fanwise.model.bundle import Conversion
from fanwise.model.contract import Contract, OutputContract
from fanwise.model.runtime import import_runtime
from fanwise.model.signature import Signature, TensorSpec
from fanwise_cli.bundles import Report
from fanwise_cli.comparing import REJECTED, Reference, Samples

X = {"x": np.linspace(0, 1, 8, dtype=np.float32).reshape(4, 2)}
INPUTS = {"x": TensorSpec("float32", (None, 2))}

Converted = Callable[..., Conversion]


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Converted:
    """Saves a function of `x`, converts it, and says what came of it; `changed` changes what is expected."""
    import_runtime("tensorflow")
    import tensorflow as tf

    from fanwise_cli.converting import convert
    from fanwise_cli.operations.saved_model import reached

    def run(
        function: Callable[[Any], dict[str, Any]],
        changed: Callable[[dict[str, Any]], Any] = dict,
        **outputs: OutputContract,
    ) -> Conversion:
        folder = tmp_path_factory.mktemp("converting") / "bundle"
        module = tf.Module()
        module.f = tf.function(function, input_signature=[tf.TensorSpec((None, 2), tf.float32, "x")])
        tf.saved_model.save(module, str(folder / "saved_model"), signatures=module.f)
        answers = {name: value.numpy() for name, value in module.f(tf.constant(X["x"])).items()}
        specs = {
            name: TensorSpec(value.dtype.name, (None, *value.shape[1:])) for name, value in answers.items()
        }
        reference = Reference(Signature(INPUTS, specs), Samples(4, [X]), [changed(answers)])
        operations = reached(folder / "saved_model", "serving_default")
        conversion, _ = convert(
            folder, folder / "saved_model", Contract(outputs=outputs), {}, reference, operations
        )
        assert (folder / "model.tflite").exists() == (conversion.refused is None)
        assert sorted(path.name for path in folder.parent.iterdir()) == ["bundle"]
        return conversion

    return run


def doubled(x: Any) -> dict[str, Any]:
    return {"y": x * 2}


def test_what_is_the_same_is_converted(converted: Converted) -> None:
    assert converted(doubled) == Conversion(rows=4, difference=0.0)
    small = converted(doubled, lambda answers: {"y": answers["y"] + np.float32(9e-5)})
    assert small.refused is None
    assert small.difference == pytest.approx(9e-5 / 2, rel=0.1)  # of outputs up to 2


def test_what_differs_is_refused_with_how_much(converted: Converted) -> None:
    other = converted(doubled, lambda answers: {"y": answers["y"] + np.float32(1e-2)})
    assert other.difference == pytest.approx(5e-3, rel=0.1)
    assert other.refused == "converted, its outputs differ by 0.005, more than 0.0001"
    assert converted(doubled, lambda answers: {"y": answers["y"][:3]}) == Conversion(
        rows=4, refused="converted, its outputs are others", can_be_accepted=True
    )


def test_another_best_score_is_refused_however_small_the_difference(converted: Converted) -> None:
    def nearly_turned(answers: dict[str, Any]) -> dict[str, Any]:
        return {"y": answers["y"] + np.array([3e-5, 0], np.float32)}

    def close(x: Any) -> dict[str, Any]:
        return {"y": x[:, :1] + [[0.0, 1e-5]]}

    assert converted(close, nearly_turned).refused is None
    scores = converted(close, nearly_turned, y=OutputContract(keep="argmax"))
    assert scores.refused == "converted, the best score of its output 'y' is another one"


def test_an_output_that_is_dropped_may_differ(converted: Converted) -> None:
    def two(x: Any) -> dict[str, Any]:
        return {"y": x * 2, "z": x + 1}

    def other_z(answers: dict[str, Any]) -> dict[str, Any]:
        return answers | {"z": answers["z"] + 1}

    assert converted(two, other_z).refused is not None
    assert converted(two, other_z, z=OutputContract(drop=True)).refused is None


def test_a_model_that_checks_its_values_stays_with_tensorflow(converted: Converted) -> None:
    """LiteRT would leave the check out, and predict what TensorFlow refuses."""
    import tensorflow as tf

    def checked(x: Any) -> dict[str, Any]:
        with tf.control_dependencies([tf.debugging.assert_non_negative(x)]):
            return {"y": x * 2}

    refused = converted(checked).refused
    assert refused == "it checks its values (Assert), which LiteRT would leave out"


def test_an_operation_that_litert_has_not_is_named(converted: Converted) -> None:
    import tensorflow as tf

    refused = converted(lambda x: {"y": tf.linalg.det(x[:, :, None] * x[:, None, :])}).refused
    assert refused == "it has operations that LiteRT has not (MatrixDeterminant)"


def test_a_model_without_answers_to_compare_is_not_converted(tmp_path: Path) -> None:
    from fanwise_cli.converting import convert
    from fanwise_cli.operations.saved_model import Reached

    conversion, _ = convert(tmp_path, tmp_path, Contract(), {}, None, Reached((), ()))
    assert conversion == Conversion(refused=REJECTED)


def test_a_model_that_kills_the_converter_still_runs_on_tensorflow(made_models: Path, tmp_path: Path) -> None:
    folder, report = tmp_path / "bundle", tmp_path / "report.json"
    folder.mkdir()
    (folder / "model.keras").write_bytes((made_models / "digits.keras").read_bytes())
    code = f"""
import os, signal
from fanwise.model.runtime import import_runtime
import_runtime("tensorflow")
from fanwise_cli import converting, prepare_bundle
converting.convert = lambda *_, **__: os.kill(os.getpid(), signal.SIGSEGV)
prepare_bundle.main([{str(folder)!r}, {str(report)!r}, "no"])
"""
    quiet = os.environ | {"KERAS_BACKEND": "tensorflow"}
    done = subprocess.run([sys.executable, "-c", code], env=quiet, capture_output=True, check=False)
    assert done.returncode == -11
    told = msgspec.json.decode(report.read_bytes(), type=Report)
    assert told.runtimes == ("tensorflow",)
    assert told.conversion == Conversion(refused="the process that converted it died")
    assert sorted(path.name for path in folder.iterdir()) == ["frozen", "model.keras"]
