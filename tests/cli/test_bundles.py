"""A model in any form → a bundle in the cache → published; TensorFlow only in a child, and only once."""

import json
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
import pytest

from fanwise.errors import BundleError
from fanwise.model.bundle import (
    DIGEST_FILE,
    RUNTIMES,
    BundleFile,
    Conversion,
    digest_of,
    fetch,
    read_digest,
    resolve,
    sha256_of,
)
from fanwise.model.model import load
from fanwise.records import Runtime
from fanwise.storage import FolderBackend, Storage
from fanwise_cli import bundles
from fanwise_cli.bundle_sources import BundleSource, find_source
from fanwise_cli.bundles import PreparedBundle, Report, prepare, publish

DIGITS = {
    "name": "digits",
    "inputs": {"pixels": {"kind": "image", "height": 8, "width": 8, "channels": 1, "scale": [0, 1]}},
    "outputs": {"output_0": {"as": "scores", "keep": "top_k", "k": 2, "labels": "labels.txt"}},
}
LABELS = "".join(f"digit {i}\n" for i in range(10))


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for the session: what is made once is found by all."""
    return tmp_path_factory.mktemp("cache") / "bundles"


@pytest.fixture(scope="session")
def digits_folder(made_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle folder as a person writes it: a Keras file, model.json, labels, and one more file."""
    folder = tmp_path_factory.mktemp("given") / "my digits"
    folder.mkdir()
    shutil.copy(made_models / "digits.keras", folder / "best.keras")
    (folder / "model.json").write_text(json.dumps(DIGITS))
    (folder / "labels.txt").write_text(LABELS)
    (folder / "README.md").write_text("how it was trained")
    return folder


@pytest.fixture(scope="session")
def digits(digits_folder: Path, cache: Path) -> PreparedBundle:
    return prepare(digits_folder, cache)


@pytest.fixture
def no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on, starting a process fails the test."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)


def files_of(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_keras_file_becomes_a_bundle_for_both_runtimes(digits: PreparedBundle, digits_folder: Path) -> None:
    assert files_of(digits.folder) == [
        "digest.json",
        "frozen/saved_model.pb",
        "labels.txt",
        "model.json",
        "model.keras",
        "model.tflite",
        "profile.json",
    ]
    assert digits.name == "digits"
    assert digits.version == digits.digest.removeprefix("sha256:")[:12]
    assert digits.folder.name == digits.digest.removeprefix("sha256:")
    (note,) = digits.notes
    says, _, measured = note.partition(": ")
    assert (
        says
        == "Made for LiteRT, and for TensorFlow; largest difference of their outputs, on 35 synthetic items"
    )
    assert re.fullmatch(r"\de-\d+\.", measured)
    assert files_of(digits_folder) == ["README.md", "best.keras", "labels.txt", "model.json"]
    digest = read_digest((digits.folder / "digest.json").read_bytes(), "digest.json")
    assert str(digest.signature.inputs["pixels"]) == "float32 [?, 8, 8, 1]"
    assert str(digest.signature.outputs["output_0"]) == "float32 [?, 10]"
    assert digest.runtimes == ("litert", "tensorflow")
    assert digest.conversion is not None
    assert digest.conversion.rows == 35
    assert digest.conversion.difference is not None
    assert 0 < digest.conversion.difference < 1e-6


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_bundle_predicts_what_keras_does(
    digits: PreparedBundle, made_models: Path, tmp_path: Path, runtime: Runtime
) -> None:
    reference = publish(digits, tmp_path)
    storage = Storage({"m": FolderBackend(tmp_path, writable=False)}, s3=False)
    ref = resolve(storage, "m", reference, runtime)
    assert ref.kinds == {"pixels": "image"}
    model = load(fetch(storage, ref, tmp_path / "fetched"), ref, memory_mb=1769)
    with np.load(made_models / "digits.npz") as arrays:
        pixels, expected = arrays["pixels"], arrays["output_0"]
    assert len(pixels) == model.mini_batch
    for prediction, scores in zip(model.predict([{"pixels": row} for row in pixels]), expected, strict=True):
        assert isinstance(prediction, dict)
        first, second = cast(list[dict[str, Any]], prediction["scores"])
        best = np.argsort(-scores)[:2]
        np.testing.assert_allclose([first["score"], second["score"]], scores[best], atol=1e-5)
        assert first["label"] == f"digit {best[0]}"


def test_the_same_model_again_starts_nothing(
    digits: PreparedBundle, digits_folder: Path, cache: Path, tmp_path: Path, no_child: None
) -> None:
    assert prepare(digits_folder, cache) == digits
    moved = tmp_path / "moved"
    shutil.copytree(digits_folder, moved)
    assert prepare(moved, cache) == digits


def test_what_an_earlier_preparation_left_in_the_cache_is_not_taken_for_this_ones(
    digits_folder: Path, digits: PreparedBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared: list[Runtime] = ["tensorflow"]

    def as_told(
        source: BundleSource, folder: Path, report_path: Path, samples: Path | None, *, accept: bool
    ) -> Report:
        signature = read_digest((digits.folder / DIGEST_FILE).read_bytes(), "").signature
        return Report(signature=signature, runtimes=tuple(prepared))

    monkeypatch.setattr(bundles, "_run_prepare_bundle", as_told)
    monkeypatch.setattr(bundles, "PREPARATION", bundles.PREPARATION - 1)
    before = prepare(digits_folder, tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(bundles, "_run_prepare_bundle", as_told)
    prepared.insert(0, "litert")
    now = prepare(digits_folder, tmp_path)
    assert now.folder == before.folder  # of the same files
    assert read_digest((now.folder / DIGEST_FILE).read_bytes(), "").runtimes == ("litert", "tensorflow")


def test_with_samples_it_is_made_anew_and_what_is_known_without_them_stays(
    digits_folder: Path, digits: PreparedBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path | None] = []

    def as_told(
        source: BundleSource, folder: Path, report_path: Path, samples: Path | None, *, accept: bool
    ) -> Report:
        asked.append(samples)
        signature = read_digest((digits.folder / DIGEST_FILE).read_bytes(), "").signature
        conversion = Conversion(rows=1, given=samples is not None, difference=0.0)
        notes = [f"on {samples}"]
        return Report(signature=signature, runtimes=("litert",), conversion=conversion, notes=notes)

    monkeypatch.setattr(bundles, "_run_prepare_bundle", as_told)
    cache, given = tmp_path / "cache", tmp_path / "items.jsonl"
    given.touch()
    assert prepare(digits_folder, cache).notes == ["on None"]
    for _ in range(2):
        prepared = prepare(digits_folder, cache, given)
        assert prepared.notes == [f"on {given}"]
        conversion = read_digest((prepared.folder / DIGEST_FILE).read_bytes(), "").conversion
        assert conversion == Conversion(rows=1, given=True, difference=0.0)
    assert prepare(digits_folder, cache).notes == ["on None"]
    assert asked == [None, given, given]


def test_samples_that_cannot_be_compared_on(
    digits: PreparedBundle, made_models: Path, tmp_path: Path, no_child: None
) -> None:
    (tmp_path / "items.jsonl").touch()
    for model, samples, why in (
        (made_models / "digits.keras", "none.jsonl", "none.jsonl: no such file or folder"),
        (
            made_models / "digits.tflite",
            "items.jsonl",
            "runs on LiteRT as it is, so there is nothing to compare",
        ),
        (
            digits.folder,
            "items.jsonl",
            "was prepared before, so nothing is compared on --samples; delete",
        ),
    ):
        with pytest.raises(BundleError, match=why):
            prepare(model, tmp_path / "cache", tmp_path / samples)


def test_the_command_itself_never_imports_tensorflow(
    digits_folder: Path, cache: Path, digits: PreparedBundle
) -> None:
    code = f"""
import sys
from pathlib import Path
from fanwise_cli.bundles import prepare
print(prepare(Path({str(digits_folder)!r}), Path({str(cache)!r})).digest)
print([name for name in ("tensorflow", "ai_edge_litert", "keras", "numpy", "PIL") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [digits.digest, "[]"]


def test_a_damaged_bundle_is_made_anew_with_the_same_digest(
    digits: PreparedBundle, digits_folder: Path, cache: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "cache"
    shutil.copytree(cache, copy)
    made = ("frozen/saved_model.pb", "model.tflite")
    for name in made:
        (copy / digits.folder.name / name).write_bytes(b"")
    again = prepare(digits_folder, copy)
    assert again.digest == digits.digest
    for name in made:
        assert (again.folder / name).read_bytes() == (digits.folder / name).read_bytes()


def test_a_savedmodel_folder_with_its_contract_inside_or_beside(
    made_models: Path, cache: Path, tmp_path: Path
) -> None:
    bare = tmp_path / "tabular v2.1"
    shutil.copytree(made_models / "tabular", bare)
    without = prepare(bare, cache)
    assert without.name == "tabular-v2.1"
    assert "model.json" not in files_of(without.folder)
    assert "saved_model/saved_model.pb" in files_of(without.folder)
    assert "frozen/saved_model.pb" in files_of(without.folder)
    (tmp_path / "model.json").write_text('{"name": "beside"}')
    assert find_source(bare).contract.name == "beside"
    (bare / "model.json").write_text('{"name": "inside"}')
    inside = find_source(bare)
    assert inside.contract.name == "inside"
    assert "saved_model/model.json" not in inside.files


def test_a_model_that_cannot_be_frozen_runs_as_it_is(made_models: Path, cache: Path) -> None:
    text = prepare(made_models / "text", cache)
    assert "frozen/saved_model.pb" not in files_of(text.folder)
    not_lite, not_frozen, alone = text.notes
    assert not_lite.startswith(
        "Made for TensorFlow alone, not for LiteRT: it has operations that LiteRT has not (RaggedTensorToTensor,"
    )
    assert not_frozen.startswith("TensorFlow runs it as it is, not frozen, which may be slower: it refers to")
    assert alone.startswith("Predicted an item at a time: its operation DenseBincount")
    digest = read_digest((text.folder / "digest.json").read_bytes(), "digest.json")
    assert digest.runtimes == ("tensorflow",)
    assert digest.conversion is not None
    assert digest.conversion.refused is not None
    assert digest.conversion.refused in not_lite


def test_a_prepared_bundle_is_taken_as_it_is(digits: PreparedBundle, tmp_path: Path) -> None:
    given = tmp_path / "downloaded"
    shutil.copytree(digits.folder, given)
    taken = prepare(given, tmp_path / "cache")
    assert (taken.digest, taken.name) == (digits.digest, "digits")
    assert files_of(taken.folder) == files_of(digits.folder)
    (given / "labels.txt").write_text(LABELS.replace("9", "nine"))
    with pytest.raises(
        BundleError, match=r"labels.txt: missing or changed since digest.json was written; delete"
    ):
        prepare(given, tmp_path / "cache")


def test_a_prepared_bundle_that_reaches_outside_is_refused(digits: PreparedBundle, tmp_path: Path) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    given = tmp_path / "downloaded"
    shutil.copytree(digits.folder, given)
    path = given / "frozen" / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    nodes = model.meta_graphs[0].graph_def.node
    nodes.add(name="leak", op="WriteFile")
    last = model.meta_graphs[0].signature_def["serving_default"].outputs["output_0"].name.partition(":")[0]
    next(node for node in nodes if node.name == last).input.append("^leak")
    path.write_bytes(model.SerializeToString())
    digest = read_digest((digits.folder / DIGEST_FILE).read_bytes(), "")
    files = {
        name: BundleFile(sha256_of(given / name), (given / name).stat().st_size) for name in digest.files
    }
    made = digest_of({name: file.sha256 for name, file in files.items()}, digest.calls, digest.layout)
    text = msgspec.json.encode(msgspec.structs.replace(digest, digest=made, files=files))
    (given / DIGEST_FILE).write_bytes(text)
    with pytest.raises(
        BundleError, match=r"downloaded: its operation WriteFile \(leak\) reads or writes files"
    ):
        prepare(given, tmp_path / "cache")


def test_many_may_prepare_and_publish_at_once(digits: PreparedBundle, tmp_path: Path) -> None:
    given, cache, bucket = tmp_path / "given", tmp_path / "cache", tmp_path / "bucket"
    shutil.copytree(digits.folder, given)
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(publish(prepare(given, cache), bucket)))
        for _ in range(8)
    ]
    bucket.mkdir()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [f"digits@{digits.version}"] * 8
    assert sorted(path.name for path in cache.iterdir()) == sorted([digits.folder.name, "sources"])
    assert [path.name for path in bucket.iterdir()] == ["models"]


def test_a_version_is_written_once(
    digits: PreparedBundle, made_models: Path, cache: Path, tmp_path: Path
) -> None:
    assert publish(digits, tmp_path, version="3") == "digits@3"
    assert publish(digits, tmp_path, version="3") == "digits@3"
    assert (tmp_path / "models/digits/3/model.json").stat().st_nlink > 1  # no second copy on the disk
    other = prepare(made_models / "text", cache)
    assert publish(other, tmp_path) == f"text@{other.version}"
    with pytest.raises(
        BundleError, match=r"model digits@3 is published with sha256:.* a version is written once"
    ):
        publish(other, tmp_path, "digits", "3")


@pytest.mark.parametrize(("name", "version"), [("a/b", "1"), ("a", ".."), ("", "1 2"), ("a@b", "1")])
def test_names_and_versions_that_are_none(
    digits: PreparedBundle, tmp_path: Path, name: str, version: str
) -> None:
    with pytest.raises(BundleError, match=r"cannot be a model's (name|version)"):
        publish(digits, tmp_path, name, version)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("files", "model", "message"),
    [
        ([], "none", "none: no such file or folder; give a folder with saved_model/"),
        (
            ["m/notes.txt"],
            "m",
            "m: holds no model; give a folder with saved_model/, a .keras or a .tflite file",
        ),
        (["m.h5"], "m.h5", "a Keras model in the old HDF5 format; load it in Keras and save it as .keras"),
        (["m.onnx"], "m.onnx", "not a model that fanwise knows; give"),
        (["m/a.keras", "m/b.tflite"], "m", "holds 2 models; give one of them, such as"),
        (
            ["m/a.keras", "m/saved_model/saved_model.pb"],
            "m",
            "holds both saved_model/ and a.keras; remove one",
        ),
        (
            ["m/a.tflite", "m/saved_model/saved_model.pb"],
            "m",
            "holds both saved_model/ and a.tflite; remove one",
        ),
    ],
)
def test_what_is_no_model(tmp_path: Path, no_child: None, files: list[str], model: str, message: str) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(BundleError) as refused:
        prepare(tmp_path / model, tmp_path / "cache")
    assert message in str(refused.value)
    assert str(tmp_path / model) in str(refused.value)


@pytest.mark.parametrize("form", ["a file", "a folder"])
def test_a_litert_model_is_taken_as_it_is(made_models: Path, tmp_path: Path, form: str) -> None:
    given = tmp_path / "given"
    given.mkdir()
    shutil.copy(made_models / "digits.tflite", given / "small.tflite")
    if form == "a folder":
        (given / "model.json").write_text(json.dumps(DIGITS))
        (given / "labels.txt").write_text(LABELS)
    bundle = prepare(given if form == "a folder" else given / "small.tflite", tmp_path / "cache")
    further = ["labels.txt", "model.json"] if form == "a folder" else []
    assert files_of(bundle.folder) == sorted(["digest.json", "model.tflite", "profile.json", *further])
    assert (bundle.name, bundle.notes) == ("digits" if form == "a folder" else "small", [])
    digest = read_digest((bundle.folder / "digest.json").read_bytes(), "digest.json")
    assert (digest.runtimes, digest.conversion) == (("litert",), None)
    assert str(digest.signature.inputs["pixels"]) == "float32 [?, 8, 8, 1]"


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("custom", "the model cannot compute: it has the operation MatrixDeterminant, which LiteRT has not"),
        (None, "model.tflite: LiteRT cannot load it: "),
    ],
)
def test_a_litert_model_that_does_not_run_is_refused(
    made_models: Path, tmp_path: Path, model: str | None, message: str
) -> None:
    given = tmp_path / "m.tflite"
    given.write_bytes((made_models / f"{model}.tflite").read_bytes() if model else b"no model")
    with pytest.raises(BundleError) as refused:
        prepare(given, tmp_path / "cache")
    assert str(refused.value).startswith(f"{given}: {message}")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("contract", "message"),
    [
        (
            {"outputs": {"y": {"keep": "argmax", "labels": "l.txt"}}},
            "names the labels 'l.txt', but there is no",
        ),
        ({"outputs": {"y": {"keep": "argmax", "labels": "blank.txt"}}}, "blank.txt: line 1 is blank"),
        ({"input": {}}, "model.json: unknown key 'input'; did you mean 'inputs'?"),
    ],
)
def test_a_wrong_contract_is_said_before_tensorflow_starts(
    tmp_path: Path, no_child: None, contract: dict[str, Any], message: str
) -> None:
    (tmp_path / "m.keras").write_bytes(b"x")
    (tmp_path / "blank.txt").write_text("\nb\n")
    (tmp_path / "model.json").write_text(json.dumps(contract))
    with pytest.raises(BundleError) as refused:
        prepare(tmp_path / "m.keras", tmp_path / "cache")
    assert message in str(refused.value)


def test_what_the_child_finds_wrong_is_one_line(made_models: Path, tmp_path: Path) -> None:
    given = tmp_path / "given"
    shutil.copytree(made_models / "tabular", given)
    (given / "model.json").write_text('{"inputs": {"history": {"kind": "number", "columns": ["a", "b"]}}}')
    with pytest.raises(BundleError) as refused:
        prepare(given, tmp_path / "cache")
    assert str(refused.value) == (
        f"{given}: model.json: inputs.history says 2 columns, and the signature takes float32 [?, 3]; name as"
        f" many as it takes"
    )
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_keras_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "m.keras").write_bytes(b"no zip")
    with pytest.raises(
        BundleError, match=r"m.keras: Keras cannot load the file: .*given as a SavedModel"
    ) as refused:
        prepare(tmp_path / "m.keras", tmp_path / "cache")
    assert "\n" not in str(refused.value)


def test_a_child_that_dies_is_reported(
    digits_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dies = tmp_path / "python"
    dies.write_text("#!/bin/sh\necho out of luck >&2\nkill -9 $$\n")
    dies.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(dies))
    with pytest.raises(BundleError, match=r"TensorFlow died .*exit status -9: out of luck"):
        prepare(digits_folder, tmp_path / "cache")
