"""What comes out of a job is what the model says: called directly, at the same mini-batch, within 1e-5.

At any batch size and concurrency, for images (digits) and for two inputs of which one is named columns (tabular);
and the same job again gives the same bytes. On either runtime. The one test that runs TensorFlow through whole
jobs in this process.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from fanwise.model.bundle import RUNTIMES
from fanwise.model.runtime import import_runtime
from fanwise.records import Runtime
from fanwise_cli import bundles
from jobs import INPUT, MODELS, JobCloud, JobResults

Arrays = Mapping[str, NDArray[Any]]

ROWS = 96
CLOSE = 1e-5
TABULAR = {
    "name": "tabular",
    "inputs": {
        "age": {"kind": "number"},
        "history": {"kind": "number", "columns": ["first", "second", "third"]},
    },
}

batches = given(st.integers(1, 200), st.integers(1, 10))
few = settings(max_examples=8)
on_either_runtime = pytest.mark.parametrize("runtime", RUNTIMES)


@dataclass
class Example:
    """A model with its items: jobs over them, and what the model says of them when it is called."""

    cloud: JobCloud
    model: str
    items: str
    saved_model: Path
    inputs: Arrays
    runtime: Runtime = "tensorflow"

    def on(self, runtime: Runtime) -> "Example":
        """The same, with jobs on that runtime."""
        return replace(self, runtime=runtime)

    def run(self, batch_size: int, concurrency: int, run: str) -> JobResults:
        """A job of its own for each `run`."""
        manifest = {
            "model": self.model,
            "items": self.items,
            "batch_size": batch_size,
            "max_concurrency": concurrency,
            "runtime": self.runtime,
        }
        execution = self.cloud.run(self.cloud.start(manifest, run=run), f"{run}-{len(self.cloud.calls)}")
        assert execution.status == "SUCCEEDED", execution.cause
        results = JobResults.of(self.cloud, execution.output["job_id"])
        assert results.job.model.runtime == self.runtime
        return results

    def direct(self, call: Callable[[Arrays], Arrays]) -> dict[str, NDArray[Any]]:
        """The model's outputs for all items, in the mini-batches that PredictBatch makes of one entry."""
        job = self.run(100_000, 1, "direct").job
        rows = self.cloud.environment.kept.model(job.model).mini_batch
        count = len(next(iter(self.inputs.values())))
        answers: list[Arrays] = []
        for start in range(0, count, rows):
            part = {name: values[start : start + rows] for name, values in self.inputs.items()}
            padded = {
                name: np.concatenate([values, np.repeat(values[:1], rows - len(values), axis=0)])
                for name, values in part.items()
            }
            answers.append(call(padded))
        return {name: np.concatenate([answer[name] for answer in answers])[:count] for name in answers[0]}


def directly(saved_model: Path) -> Callable[[Arrays], Arrays]:
    """The signature of a SavedModel, as one calls it in TensorFlow."""
    import_runtime("tensorflow")  # with the settings that its environment has
    import tensorflow as tf

    loaded = tf.saved_model.load(str(saved_model))

    def call(inputs: Arrays) -> Arrays:
        tensors = {name: tf.constant(values) for name, values in inputs.items()}
        return {
            name: tensor.numpy() for name, tensor in loaded.signatures["serving_default"](**tensors).items()
        }

    return call


def published(model: Path, folder: Path, cache: Path) -> str:
    folder.mkdir()
    return bundles.publish(bundles.prepare(model, cache), folder)


@pytest.fixture(scope="module")
def digits(
    digits_example: Path, cache_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Example]:
    """The held-out scans of the example, and its bundle with all ten scores in place of the best three."""
    folder = tmp_path_factory.mktemp("equal-digits")
    model = shutil.copytree(digits_example / "model", folder / "model")
    contract = json.loads((model / "model.json").read_bytes())
    contract["outputs"]["output_0"]["k"] = 10
    (model / "model.json").write_text(json.dumps(contract))
    reference = published(model, folder / "models", cache_dir / "bundles")
    lines = (digits_example / "items.jsonl").read_text().splitlines()
    pixels = [np.asarray(Image.open(digits_example / json.loads(line)["uri"])) for line in lines]
    cloud = JobCloud(folders={INPUT: digits_example, MODELS: folder / "models"}, bundles=folder / "kept")
    yield Example(
        cloud,
        reference,
        f"s3://{INPUT}/items.jsonl",
        model / "saved_model",
        {"scan": (np.stack(pixels) / 255).astype(np.float32)[..., np.newaxis]},
    )
    cloud.close()


@pytest.fixture(scope="module")
def tabular(
    made_models: Path, cache_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Example]:
    """Rows of a CSV file, for a model with two inputs: a number, and a vector of three columns."""
    folder = tmp_path_factory.mktemp("equal-tabular")
    model = folder / "tabular"
    shutil.copytree(made_models / "tabular", model / "saved_model")
    (model / "model.json").write_text(json.dumps(TABULAR))
    reference = published(model, folder / "models", cache_dir / "bundles")
    random = np.random.default_rng(11)
    ages = random.integers(18, 99, (ROWS, 1)).astype(np.float32)
    histories = random.standard_normal((ROWS, 3)).astype(np.float32)
    lines = [
        ",".join(map(repr, [*age.tolist(), *history.tolist()]))
        for age, history in zip(ages, histories, strict=True)
    ]
    (folder / "input").mkdir()
    (folder / "input/rows.csv").write_text("\n".join(["age,first,second,third", *lines]))
    cloud = JobCloud(folders={INPUT: folder / "input", MODELS: folder / "models"}, bundles=folder / "kept")
    yield Example(
        cloud,
        reference,
        f"s3://{INPUT}/rows.csv",
        model / "saved_model",
        {"age": ages, "history": histories},
    )
    cloud.close()


def scores_of(results: JobResults) -> NDArray[np.float64]:
    """The scores of all items by class, (items, 10)."""
    scores = np.full((results.job.total, 10), np.nan)
    for index, row in results.predictions.items():
        for scored in row["prediction"]["scores"]:
            scores[index, int(scored["label"])] = scored["score"]
    return scores


@on_either_runtime
def test_digits_are_what_the_model_says_however_the_work_is_cut(digits: Example, runtime: Runtime) -> None:
    digits = digits.on(runtime)
    expected = digits.direct(directly(digits.saved_model))["output_0"]

    @few
    @batches
    def check(batch_size: int, concurrency: int) -> None:
        results = digits.run(batch_size, concurrency, f"{batch_size}-{concurrency}")
        assert results.summary["entries"]["planned"] == -(-len(expected) // batch_size)
        np.testing.assert_allclose(scores_of(results), expected, rtol=0, atol=CLOSE)

    check()
    best = scores_of(digits.run(64, 10, "best")).argmax(axis=1)
    labels = [row["item"]["label"] for row in digits.run(64, 10, "best-2").predictions.values()]
    assert (best == labels).mean() > 0.97


@on_either_runtime
def test_tabular_predictions_are_what_the_model_says_however_the_work_is_cut(
    tabular: Example, runtime: Runtime
) -> None:
    tabular = tabular.on(runtime)
    expected = tabular.direct(directly(tabular.saved_model))
    assert sorted(expected) == ["cost", "risk"]

    @few
    @batches
    def check(batch_size: int, concurrency: int) -> None:
        results = tabular.run(batch_size, concurrency, f"{batch_size}-{concurrency}")
        for name, values in expected.items():
            found = [row["prediction"][name] for row in results.predictions.values()]
            np.testing.assert_allclose(found, values, rtol=0, atol=CLOSE)

    check()


@on_either_runtime
@pytest.mark.parametrize("name", ["digits", "tabular"])
def test_the_same_job_again_gives_the_same_bytes(
    name: str, runtime: Runtime, request: pytest.FixtureRequest
) -> None:
    example: Example = request.getfixturevalue(name).on(runtime)
    first, second = (example.run(50, 3, run).text("predictions/") for run in ("once", "again"))
    assert first == second
    if runtime == "litert":  # of TensorFlow, bits may depend on a row's place in its mini-batch
        assert example.run(7, 3, "in-sevens").text("predictions/") == first
