"""LiteRT's answers: TensorFlow's, the same bits however many rows and threads, and its errors."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fanwise.errors import ModelError, PredictionFailed
from fanwise.model.bundle import BundleFile, Digest, digest_of, sha256_of
from fanwise.model.layout import Layout
from fanwise.model.model import Model, load
from fanwise.model.runtime import ComputeError, Runtime, import_runtime
from fanwise.model.signature import Signature, TensorSpec
from fanwise.records import ModelRef
from keras_models import ROWS

REF = ModelRef(name="m", version="1", digest="", uri="s3://m/models/m/1", runtime="litert", kinds={})
WORD = '{"inputs": {"word": {"kind": "text"}}}'

Open = Callable[..., Any]


@pytest.fixture
def open_lite(made_models: Path) -> Open:
    """Opens one of the made models by its name."""

    def open_model(name: str, threads: int = 1, signature: str = "serving_default") -> Runtime:
        module = import_runtime("litert")
        runtime: Runtime = module.LiteRTRuntime(made_models / f"{name}.tflite", signature, threads=threads)
        return runtime

    return open_model


@pytest.fixture
def load_lite(made_models: Path, tmp_path: Path) -> Callable[..., Model]:
    """Loads a bundle of one of the made models, as PredictBatch does."""

    def load_model(name: str, contract: str = "{}") -> Model:
        shutil.copy(made_models / f"{name}.tflite", tmp_path / "model.tflite")
        (tmp_path / "model.json").write_text(contract)
        return load(tmp_path, REF, memory_mb=1769)

    return load_model


def digits_of(made_models: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    with np.load(made_models / "digits.npz") as arrays:
        return arrays["pixels"], arrays["output_0"]


def tensors(rows: int, **others: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Input of the model `lite`."""
    return {
        "whole": np.ones((rows, 2), np.int32),
        "flag": np.zeros(rows, bool),
        "word": np.array([b"a\0b", "größe".encode(), b""] * rows, object)[:rows],
        "open": np.ones((rows, 3), np.float32),
        "bytes": np.arange(3 * rows, dtype=np.uint8).reshape(rows, 3),
    } | others


def test_it_predicts_what_keras_does(open_lite: Open, made_models: Path) -> None:
    pixels, expected = digits_of(made_models)
    runtime = open_lite("digits")
    assert runtime.inputs == {"pixels": TensorSpec("float32", (None, 8, 8, 1))}
    assert runtime.outputs == {"output_0": TensorSpec("float32", (None, 10))}
    np.testing.assert_allclose(runtime.predict({"pixels": pixels})["output_0"], expected, atol=1e-5)


def test_the_same_bits_at_any_batch_size_and_number_of_threads(open_lite: Open, made_models: Path) -> None:
    pixels, _ = digits_of(made_models)
    by_threads = {threads: open_lite("digits", threads) for threads in (1, 2, 3)}
    whole = by_threads[1].predict({"pixels": pixels})["output_0"]

    @settings(max_examples=40)
    @given(st.sampled_from([1, 2, 3]), st.integers(0, ROWS - 1), st.integers(1, ROWS))
    def check(threads: int, start: int, rows: int) -> None:
        part = pixels[start : start + rows]
        found = by_threads[threads].predict({"pixels": part})["output_0"]
        assert found.tobytes() == whole[start : start + rows].tobytes()

    check()


def test_answers_stay_what_they_are(open_lite: Open, made_models: Path) -> None:
    """An interpreter's tensors are its own memory, which the next batch is written to."""
    pixels, _ = digits_of(made_models)
    runtime = open_lite("digits")
    first = runtime.predict({"pixels": pixels})["output_0"]
    before = first.copy()
    runtime.predict({"pixels": 1 - pixels})
    np.testing.assert_array_equal(first, before)


@pytest.mark.parametrize("name", ["lite", "unsigned"])
def test_every_dtype_goes_in_and_out(open_lite: Open, name: str) -> None:
    runtime = open_lite(name)
    assert runtime.inputs == {
        "bytes": TensorSpec("uint8", (None, 3)),
        "flag": TensorSpec("bool", (None,)),
        "open": TensorSpec("float32", (None, None)),
        "whole": TensorSpec("int32", (None, 2)),
        "word": TensorSpec("string", (None,)),
    }
    if name == "unsigned":  # which has nothing to name its outputs by but what the converter called them
        for _ in range(2):
            by_dtype = {value.dtype.name: value for value in runtime.predict(tensors(3)).values()}
            assert by_dtype["object"].tolist() == [b"a\0b", "größe".encode(), b""]
            assert by_dtype["int64"].tolist() == [[2, 2]] * 3
        return
    found = runtime.predict(tensors(3))
    assert {name: values.tolist() for name, values in found.items()} == {
        "doubled": [[2, 2]] * 3,
        "not": [True] * 3,
        "word": [b"a\0b", "größe".encode(), b""],
        "sum": [3.0] * 3,
        "bytes": [[2, 1, 0], [5, 4, 3], [8, 7, 6]],
        "taken": [20.0] * 3,
    }
    assert {values.dtype.name for values in found.values()} == {"int64", "bool", "object", "float32", "uint8"}
    assert runtime.predict(tensors(2, open=np.ones((2, 5), np.float32)))["sum"].tolist() == [5.0] * 2


def test_a_quantized_model_takes_and_gives_its_own_integers(open_lite: Open, made_models: Path) -> None:
    pixels, expected = digits_of(made_models)
    runtime = open_lite("quantized")
    assert runtime.inputs == {"pixels": TensorSpec("uint8", (None, 8, 8, 1))}
    found = runtime.predict({"pixels": (pixels * 255).astype(np.uint8)})["output_0"]
    assert found.dtype == np.uint8
    np.testing.assert_allclose(found / 256, expected, atol=0.05)


def test_one_bad_row_among_good_ones(load_lite: Callable[..., Model]) -> None:
    model = load_lite("lite", WORD)

    def encoded(**changes: Any) -> Any:
        item = {"whole": [1, 1], "flag": True, "word": "größe", "open": [1, 2], "bytes": [1, 2, 3]} | changes
        raws = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in item.items()}
        return model.encode(raws, None, lambda _: b"", lambda uri: uri)

    good, rejected, shorter, last = model.predict(
        [encoded(), encoded(whole=[7, 1]), encoded(open=[5]), encoded(whole=[2, 1])]
    )
    assert isinstance(rejected, PredictionFailed)
    assert str(rejected) == "the model failed on this item: gather index out of bounds (GATHER)"
    assert isinstance(good, dict)
    assert (good["word"], good["taken"], good["sum"]) == ("größe", 20.0, 3.0)
    assert shorter == good | {"sum": 5.0}
    assert last == good | {"taken": 30.0, "doubled": [4, 2]}


def test_an_error_is_told_once_however_often_it_comes(open_lite: Open) -> None:
    runtime = open_lite("lite")
    for _ in range(3):
        with pytest.raises(ComputeError) as refused:
            runtime.predict(tensors(2, whole=np.full((2, 2), 7, np.int32)))
        assert refused.value.of_values
        assert str(refused.value) == "gather index out of bounds (GATHER)"
    assert runtime.predict(tensors(2))["taken"].tolist() == [20.0] * 2


def test_a_batch_size_of_its_own(load_lite: Callable[..., Model]) -> None:
    model = load_lite("fixed")
    assert model.mini_batch == 4
    rows = [{"x": np.array([1, 2], np.float32)}] * 3
    assert model.predict(rows) == [{"y": [2.0, 3.0]}] * 3


def test_the_layout_of_a_bundle_is_gone_by_and_not_tried_again(
    made_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only of a bundle from before there was one."""
    lite = (made_models / "digits.tflite").read_bytes()
    (tmp_path / "model.tflite").write_bytes(lite)
    files = {"model.tflite": BundleFile(sha256_of(tmp_path / "model.tflite"), len(lite))}

    def loaded(layout: Layout | None) -> Model:
        digest = Digest(
            digest=digest_of({name: file.sha256 for name, file in files.items()}, layout=layout),
            files=files,
            runtimes=("litert",),
            signature=Signature({}, {}),
            prepared_by="a test",
            layout=layout,
        )
        (tmp_path / "digest.json").write_bytes(msgspec.json.encode(digest))
        return load(tmp_path, REF, memory_mb=1769)

    assert loaded(None).mini_batch > 1
    monkeypatch.setattr("fanwise.model.trial.try_out", None)
    assert loaded(Layout()).mini_batch > 1
    assert loaded(Layout(item_at_a_time=True)).mini_batch == 1


def test_an_operation_that_litert_has_not_is_the_models_fault(load_lite: Callable[..., Model]) -> None:
    with pytest.raises(ModelError) as refused:
        load_lite("custom")
    assert str(refused.value) == (
        "model m@1: the model cannot compute: it has the operation MatrixDeterminant, which LiteRT has not;"
        " export it without"
    )


@pytest.mark.parametrize(
    ("name", "contract", "message"),
    [
        ("digits", '{"signature": "other"}', "model.tflite has no signature 'other'; it has serving_default"),
        ("unsigned", '{"signature": "other"}', "model.tflite has no signature 'other'; it has none"),
        (
            "digits",
            '{"inputs": {"scan": {"kind": "number"}}}',
            "inputs.scan: the signature has no such input",
        ),
    ],
)
def test_what_is_wrong_with_a_bundle_is_one_line(
    load_lite: Callable[..., Model], name: str, contract: str, message: str
) -> None:
    with pytest.raises(ModelError) as refused:
        load_lite(name, contract)
    assert str(refused.value).startswith("model m@1: ")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("content", [None, b"", b"no model", b"\0" * 5000, "half"])
def test_a_file_that_is_none(made_models: Path, tmp_path: Path, content: bytes | str | None) -> None:
    if content == "half":
        whole = (made_models / "digits.tflite").read_bytes()
        content = whole[: len(whole) // 2]
    if isinstance(content, bytes):
        (tmp_path / "model.tflite").write_bytes(content)
    with pytest.raises(ModelError, match=r"model m@1: model\.tflite: LiteRT cannot load it: ") as refused:
        load(tmp_path, REF, memory_mb=1769)
    assert "\n" not in str(refused.value)
