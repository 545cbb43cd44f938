"""A person's own items as samples: the first good ones, in mini-batches, and what is said of the others."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fanwise.errors import BundleError
from fanwise.model.bundle import Conversion
from fanwise.model.contract import Contract, ImageInput
from fanwise.model.model import Model
from fanwise.model.runtime import import_runtime
from fanwise.model.signature import TensorSpec
from fanwise_cli import prepare_bundle as preparing
from fanwise_cli.bundles import Report
from fanwise_cli.sample_items import MINI_BATCHES, making_ms, sample_items

OUTPUTS = {"y": TensorSpec("float32", (None, 1))}


class Described:
    """A runtime of which only the signature is asked for."""

    outputs = OUTPUTS

    def __init__(self, **inputs: TensorSpec) -> None:
        self.inputs: Mapping[str, TensorSpec] = inputs

    def predict(self, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        raise AssertionError("nothing is computed here")


def numbers(*shape: int | None) -> Model:
    return Model(Contract(), {}, Described(x=TensorSpec("float32", shape)))


def lines(path: Path, *xs: object) -> Path:
    path.write_text("".join(json.dumps({"inputs": {"x": x}}) + "\n" for x in xs))
    return path


def scans() -> Model:
    contract = Contract(inputs={"scan": ImageInput(height=2, width=2, channels=1)})
    return Model(contract, {}, Described(scan=TensorSpec("float32", (2, 2, 2, 1))))


def photograph(path: Path, grey: int, pixels: int) -> None:
    path.parent.mkdir(exist_ok=True)
    file = io.BytesIO()
    Image.new("L", (pixels, pixels), grey).save(file, "PNG")
    path.write_bytes(file.getvalue())


def test_items_are_in_mini_batches_of_equal_rows(tmp_path: Path) -> None:
    given = lines(tmp_path / "items.jsonl", [1], [2, 3], [4], [5])
    samples, said = sample_items(given, numbers(2, None))
    assert [batch["x"].tolist() for batch in samples.batches] == [[[1], [4]], [[5], [5]], [[2, 3], [2, 3]]]
    assert (samples.rows, samples.given, str(samples), said) == (4, 4, "4 of your items", [])


def test_only_the_first_are_taken(tmp_path: Path) -> None:
    given = lines(tmp_path / "items.jsonl", *([x] for x in range(100)))
    samples, _ = sample_items(given, numbers(4, 1))
    assert np.concatenate([batch["x"] for batch in samples.batches]).ravel().tolist() == list(
        range(4 * MINI_BATCHES)
    )


def test_what_is_no_item_is_left_out_and_said(tmp_path: Path) -> None:
    given = lines(tmp_path / "items.jsonl", [1], "one", [2], [3, 4])
    samples, said = sample_items(given, numbers(2, 1))
    assert samples.rows == 2
    (told,) = said
    assert told.startswith(f"Left out of {given}: line 2: ")
    assert told.endswith(" (and 1 more).")


def test_a_csv(tmp_path: Path) -> None:
    given = tmp_path / "items.csv"
    given.write_text("x,name\n1.5,a\n2.5,b\n")
    samples, _ = sample_items(given, numbers(2))
    assert samples.batches[0]["x"].tolist() == [1.5, 2.5]


@pytest.mark.parametrize("given", ["photos", "items.jsonl"])
def test_images_beside_an_items_file_or_in_a_folder(tmp_path: Path, given: str) -> None:
    photos = tmp_path / "photos"
    photograph(photos / "a.png", 3, 2)
    photograph(photos / "b.png", 7, 2)
    (photos / "notes.txt").write_text("no image")
    items = [{"uri": "photos/a.png"}, {"uri": "photos/b.png"}, {"uri": "s3://elsewhere/c.png"}]
    (tmp_path / "items.jsonl").write_text("\n".join(map(json.dumps, items)))
    samples, said = sample_items(tmp_path / given, scans())
    assert [batch["scan"][:, 0, 0, 0].tolist() for batch in samples.batches] == [[3, 7]]
    assert len(said) == 1
    assert "s3://samples" not in said[0]


def test_large_images_take_longer_to_be_made_into_rows(tmp_path: Path) -> None:
    """A thousand times the pixels, and whatever the machine is at, more than twice the time."""
    for name, pixels in (("small", 64), ("large", 2048)):
        for grey in range(3):
            photograph(tmp_path / name / f"{grey}.png", grey, pixels)
    assert making_ms(tmp_path / "large", scans()) > 2 * making_ms(tmp_path / "small", scans()) > 0


def test_of_items_that_are_none_no_time_can_be_told(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(BundleError, match="can be a sample"):
        making_ms(tmp_path, scans())


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("none.jsonl", None, "none.jsonl: there is no such items file"),
        ("empty.jsonl", "", "no item of .*empty.jsonl can be a sample: it has none"),
        (
            "bad.jsonl",
            "[]\n",
            "no item of .*bad.jsonl can be a sample: line 1: the line is JSON, but no object",
        ),
        ("items.txt", "x", "items are read from .jsonl, .ndjson, .csv files"),
        ("other.csv", "age\n3\n", "other.csv, header: no column is named"),
    ],
)
def test_without_a_sample_there_is_one_line(tmp_path: Path, name: str, text: str | None, why: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(BundleError, match=why) as refused:
        sample_items(tmp_path / name, numbers(2, 1))
    assert "s3://samples" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_model_is_compared_on_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import_runtime("tensorflow")
    import tensorflow as tf

    monkeypatch.setattr(preparing, "measure_apart", lambda *_: None)
    monkeypatch.setattr(preparing, "_of_tensorflow", lambda *_: None)

    def small(x: Any) -> dict[str, Any]:
        with tf.control_dependencies([tf.debugging.assert_less(x, 10.0)]):
            return {"y": x * 2}

    def prepared(name: str, function: Any, *xs: object) -> Report:
        told: list[Any] = []
        module = tf.Module()
        module.f = tf.function(function, input_signature=[tf.TensorSpec((None, 1), tf.float32, "x")])
        tf.saved_model.save(module, str(tmp_path / name / "saved_model"), signatures=module.f)
        preparing.prepare_bundle(tmp_path / name, told.append, lines(tmp_path / f"{name}.jsonl", *xs))
        report: Report = told[-1]
        return report

    report = prepared("doubled", lambda x: {"y": x * 2}, [1], [2], "two", [300])
    assert report.conversion == Conversion(rows=43, given=True, difference=0.0)
    headline, left_out = report.notes
    assert headline == (
        "Made for LiteRT, and for TensorFlow; largest difference of their outputs, on 40 synthetic items and 3 of"
        " your items: 0."
    )
    assert left_out.startswith(f"Left out of {tmp_path / 'doubled.jsonl'}: line 3: ")
    with pytest.raises(BundleError, match=r"the model fails on the items of .*small\.jsonl: ") as refused:
        prepared("small", small, [1], [11])
    assert "\n" not in str(refused.value)
