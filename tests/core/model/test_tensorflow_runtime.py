"""TensorFlow's answers against calling the model directly, and its errors."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanwise.errors import ItemError, ModelError, NonFiniteResult, PredictionFailed
from fanwise.model.contract import Contract, OutputContract, TextInput
from fanwise.model.model import Model, load
from fanwise.model.runtime import ComputeError
from fanwise.records import ModelRef
from keras_models import ROWS

REF = ModelRef(name="m", version="1", digest="", uri="s3://m/models/m/1", runtime="tensorflow", kinds={})


def bundle(tmp_path: Path, saved_model: Path, contract: str = "{}") -> Path:
    """A bundle that is not frozen."""
    (tmp_path / "saved_model").symlink_to(saved_model)
    (tmp_path / "model.json").write_text(contract)
    return tmp_path


def encode(model: Model, **inputs: Any) -> dict[str, np.ndarray[Any, Any]]:
    raws = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in inputs.items()}
    return model.encode(raws, None, lambda _: b"", lambda uri: uri)


@pytest.fixture
def tabular(made_models: Path, tmp_path: Path) -> Model:
    return load(bundle(tmp_path, made_models / "tabular"), REF, memory_mb=1769)


@pytest.fixture
def reference(made_models: Path) -> dict[str, np.ndarray[Any, Any]]:
    with np.load(made_models / "tabular.npz") as arrays:
        return dict(arrays)


def test_two_inputs_and_two_outputs_predict_what_the_model_does(
    tabular: Model, reference: dict[str, np.ndarray[Any, Any]]
) -> None:
    assert tabular.kinds == {"age": "number", "history": "number"}
    assert tabular.mini_batch == ROWS
    ages, histories = reference["age"].tolist(), reference["history"].tolist()
    rows = [
        encode(tabular, age=age[0], history=history) for age, history in zip(ages, histories, strict=True)
    ]
    found = tabular.predict(rows)
    assert all(
        not isinstance(prediction, ItemError) and list(prediction) == ["cost", "risk"] for prediction in found
    )
    for name in ("risk", "cost"):
        predicted = np.array([prediction[name] for prediction in found])  # type: ignore[index]
        np.testing.assert_allclose(predicted, reference[name], atol=1e-5)


def test_a_row_does_not_depend_on_what_is_beside_it(
    tabular: Model, reference: dict[str, np.ndarray[Any, Any]]
) -> None:
    """At its place in a mini-batch, to the last bit; at another one some processors differ in the last."""
    rows = [
        {"age": age, "history": history}
        for age, history in zip(reference["age"], reference["history"], strict=True)
    ]
    whole = tabular.predict(rows)

    @settings(max_examples=25)
    @given(st.integers(0, ROWS - 1), st.integers(1, ROWS))
    def check(start: int, size: int) -> None:
        assert tabular.predict(rows[:size]) == whole[:size]
        moved = tabular.predict(rows[start:])
        for name in ("risk", "cost"):
            found = np.array([prediction[name] for prediction in moved])  # type: ignore[index]
            expected = np.array([prediction[name] for prediction in whole[start:]])  # type: ignore[index]
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)

    check()


def test_text_goes_through_a_lookup_table(made_models: Path, tmp_path: Path) -> None:
    model = load(bundle(tmp_path, made_models / "text"), REF, memory_mb=1769)
    with np.load(made_models / "text.npz") as arrays:
        text, expected = arrays["text"], arrays["output_0"]
    rows = [encode(model, text=str(line)) for line in text]
    found = [
        p for start in (0, model.mini_batch) for p in model.predict(rows[start : start + model.mini_batch])
    ]
    predicted = np.array([p["output_0"] for p in found])  # type: ignore[index]
    np.testing.assert_allclose(predicted, expected, atol=1e-5)


ODD = {
    "whole": [1, 2],
    "half": 1,
    "brain": [1, 2.5],
    "flag": True,
    "word": "größe",
    "open": [1, 2, 3],
}


@pytest.fixture
def odd(made_models: Path, tensorflow_runtime: Any) -> Model:
    runtime = tensorflow_runtime.TensorFlowRuntime(made_models / "odd", "serving_default", threads=1)
    contract = Contract(inputs={"word": TextInput()}, outputs={"sizes": OutputContract(drop=True)})
    model = Model(contract, {}, runtime)
    model.warm_up()
    return model


def test_every_dtype_goes_in_and_out(odd: Model) -> None:
    (found,) = odd.predict([encode(odd, **ODD)])
    assert found == {
        "doubled": [2, 4],
        "logarithm": 0.0,
        "brain": [2.0, 5.0],
        "not": False,
        "word": "größegröße",
        "sum": 6.0,
    }
    assert b'"word":"gr\xc3\xb6\xc3\x9fegr\xc3\xb6\xc3\x9fe"' in msgspec.json.encode(found)


def test_one_bad_row_among_good_ones(odd: Model) -> None:
    changes: list[dict[str, Any]] = [{}, {"whole": [-1, 2]}, {"half": 0}, {"open": [5]}, {"whole": [3, 4]}]
    good, rejected, infinite, shorter, last = odd.predict(
        [encode(odd, **(ODD | change)) for change in changes]
    )
    assert isinstance(rejected, PredictionFailed)
    assert "assertion failed: [whole is negative." in str(rejected)
    assert "\n" not in str(rejected)
    assert isinstance(infinite, NonFiniteResult)
    assert "'logarithm'" in str(infinite)
    assert isinstance(good, dict)
    assert shorter == good | {"sum": 5.0}
    assert last == good | {"doubled": [6, 8]}


def test_an_error_of_values_is_told_from_one_of_the_model(made_models: Path, tensorflow_runtime: Any) -> None:
    runtime = tensorflow_runtime.TensorFlowRuntime(made_models / "odd", "serving_default", threads=1)
    tensors = {name: np.zeros((2, 2), "float32") for name in ("whole", "brain", "open")}
    tensors |= {name: np.zeros(2) for name in ("half", "flag")} | {"word": np.array([b"", b""], object)}
    tensors["whole"] -= 1
    with pytest.raises(ComputeError) as refused:
        runtime.predict(tensors)
    assert refused.value.of_values


def test_an_output_that_has_not_a_row_for_each_item(made_models: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"model m@1: output 'sizes' is int32 \[2\], whatever the number"):
        load(bundle(tmp_path, made_models / "odd"), REF, memory_mb=1769)


def test_a_batch_size_of_its_own(made_models: Path, tmp_path: Path) -> None:
    model = load(bundle(tmp_path, made_models / "fixed"), REF, memory_mb=1769)
    assert model.mini_batch == 4
    assert model.predict([encode(model, x=[1, 2])] * 3) == [{"y": [2.0, 3.0]}] * 3


@pytest.mark.parametrize(
    ("contract", "message"),
    [
        ('{"signature": "other"}', "saved_model has no signature 'other'; it has serve, serving_default"),
        (
            '{"inputs": {"income": {"kind": "number"}}}',
            "inputs.income: the signature has no such input; it has age",
        ),
        ('{"outputs": {"risk": {"keep": "argmax", "labels": "none.txt"}}}', "none.txt"),
        ('{"inputs": 3}', "model.json: inputs: must be an object"),
    ],
)
def test_what_is_wrong_with_a_bundle_is_one_line(
    made_models: Path, tmp_path: Path, contract: str, message: str
) -> None:
    with pytest.raises(ModelError) as refused:
        load(bundle(tmp_path, made_models / "tabular", contract), REF, memory_mb=1769)
    assert str(refused.value).startswith("model m@1: ")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("graph", [None, b"no graph"])
def test_a_savedmodel_that_is_none(tmp_path: Path, graph: bytes | None) -> None:
    if graph is not None:
        (tmp_path / "saved_model").mkdir()
        (tmp_path / "saved_model/saved_model.pb").write_bytes(graph)
    with pytest.raises(ModelError, match="model m@1: saved_model: TensorFlow cannot load it: ") as refused:
        load(tmp_path, REF, memory_mb=1769)
    assert "\n" not in str(refused.value)
