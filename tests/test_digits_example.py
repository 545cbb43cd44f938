"""examples/digits: what it writes is true to the data, to its contract, and to its promise of accuracy."""

import importlib.util
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

from fanwise.model.contract import ImageInput, read_contract
from fanwise.model.images import image_reader
from fanwise.model.signature import TensorSpec

TRAIN = Path(__file__).parents[1] / "examples/digits/train.py"


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("digits_train", TRAIN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def items(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "items.jsonl").read_text(encoding="utf-8").splitlines()]


def test_every_item_is_a_held_out_scan_as_the_data_have_it(digits_example: Path) -> None:
    data = load_digits()
    found = items(digits_example)
    assert len(found) == 599
    assert {f"scans/{path.name}" for path in (digits_example / "scans").iterdir()} == {
        item["uri"] for item in found
    }
    for item in found:
        number = int(str(item["id"]).removeprefix("scan-"))
        with Image.open(digits_example / str(item["uri"])) as scan:
            assert (scan.format, scan.mode, scan.size) == ("PNG", "L", (8, 8))
            assert np.array_equal(np.rint(np.asarray(scan) / 255 * 16), data.images[number])
        assert item["label"] == data.target[number]


def test_each_digit_is_held_out_in_proportion_and_never_trained_on(example: ModuleType) -> None:
    _, labels = example.digits()
    seen, held_out = example.split(labels)
    assert sorted([*seen, *held_out]) == list(range(1797))
    of_all, of_held_out = Counter(labels.tolist()), Counter(labels[held_out].tolist())
    assert all(abs(of_held_out[digit] - of_all[digit] / 3) < 1 for digit in range(10))


def test_the_contract_makes_of_a_scan_what_the_model_was_trained_on(
    digits_example: Path, example: ModuleType
) -> None:
    path = digits_example / "model/model.json"
    contract = read_contract(path.read_bytes(), str(path)).inputs["scan"]
    assert isinstance(contract, ImageInput)
    read = image_reader(contract, TensorSpec("float32", (None, 8, 8, 1)))
    pixels, labels = example.digits()
    _, held_out = example.split(labels)
    expected: NDArray[np.float32] = example.as_read(pixels[held_out])
    scans = [read((digits_example / str(item["uri"])).read_bytes()) for item in items(digits_example)]
    got = np.stack(scans)
    assert got.dtype == expected.dtype == np.float32
    assert np.array_equal(got, expected)


def test_the_exported_model_has_the_names_of_the_contract_and_is_right(
    digits_example: Path, example: ModuleType
) -> None:
    import tensorflow as tf

    contract = json.loads((digits_example / "model/model.json").read_bytes())
    loaded = tf.saved_model.load(str(digits_example / "model/saved_model"))
    signature = loaded.signatures[contract["signature"]]
    assert set(signature.structured_input_signature[1]) == set(contract["inputs"])
    assert set(signature.structured_outputs) == set(contract["outputs"])
    pixels, labels = example.digits()
    _, held_out = example.split(labels)
    scores = signature(scan=tf.constant(example.as_read(pixels[held_out])))["output_0"].numpy()
    assert scores.shape == (599, 10)
    assert (scores.argmax(axis=1) == labels[held_out]).mean() > 0.98
    assert (digits_example / "model/labels.txt").read_text().splitlines() == [
        str(digit) for digit in range(10)
    ]


def test_items_and_scans_have_the_same_bytes_each_time(
    digits_example: Path, example: ModuleType, tmp_path: Path
) -> None:
    pixels, labels = example.digits()
    example.write_items(tmp_path, pixels, labels, example.split(labels)[1])
    again = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.*"))
    assert len(again) == 600
    assert [
        path for path in again if (tmp_path / path).read_bytes() != (digits_example / path).read_bytes()
    ] == []


def test_where_it_is_already_nothing_is_done(digits_example: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in digits_example.rglob("*")}
    done = subprocess.run(
        [sys.executable, TRAIN, digits_example], capture_output=True, text=True, timeout=600, check=True
    )
    assert done.stdout == f"{digits_example} holds the example already; remove it to train anew\n"
    assert done.stderr == ""
    assert {path: path.stat().st_mtime_ns for path in digits_example.rglob("*")} == before


def test_a_folder_with_something_else_in_it_is_refused(example: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="choose another folder"):
        example.main(tmp_path)
    assert os.listdir(tmp_path) == ["thesis.txt"]


def test_training_that_is_broken_off_leaves_nothing(
    example: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken_off(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(example, "train", broken_off)
    with pytest.raises(KeyboardInterrupt):
        example.main(tmp_path / "data")
    assert os.listdir(tmp_path) == []
