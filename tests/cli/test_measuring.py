"""What a bundle takes to run, measured when it is made: figures of the right kind, never in the bundle's way."""

import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fanwise.model.profile import BATCHES, Profile, read_profile
from fanwise_cli import prepare_bundle
from fanwise_cli.bundles import prepare
from fanwise_cli.measuring import measure_apart, this_machine
from profiles import profile


@pytest.fixture(scope="module")
def measured(made_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Profile:
    """The profile of a LiteRT model of images."""
    bundle = prepare(made_models / "digits.tflite", tmp_path_factory.mktemp("cache"))
    return read_profile((bundle.folder / "profile.json").read_bytes(), "profile.json")


def test_a_bundle_has_a_profile_of_this_machine(measured: Profile) -> None:
    assert list(measured.runtimes) == ["litert"]
    runtime, here = measured.runtimes["litert"], this_machine()
    assert msgspec.structs.replace(runtime.measured_on, at="") == msgspec.structs.replace(here, at="")
    assert runtime.measured_on.kind == "machine"
    assert min(runtime.init_ms, runtime.load_ms, runtime.compute_ms[1]) > 0
    assert 20 < runtime.peak_memory_mb < 400  # of its own process, without what TensorFlow needed in this one


def test_the_figures_are_told_by_size_of_entry(measured: Profile) -> None:
    runtime = measured.runtimes["litert"]
    assert [batch.items for batch in runtime.batches] == list(BATCHES)
    times = [batch.item_ms for batch in runtime.batches]
    assert times == sorted(times, reverse=True)


def test_a_profile_that_came_with_the_model_is_kept(made_models: Path, tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    shutil.copy(made_models / "digits.tflite", given)
    (given / "profile.json").write_bytes(msgspec.json.encode(profile(init_ms=4711)))
    bundle = prepare(given, tmp_path / "cache")
    assert read_profile((bundle.folder / "profile.json").read_bytes(), "") == profile(init_ms=4711)


def test_a_model_that_cannot_be_measured_is_a_bundle_all_the_same(made_models: Path, tmp_path: Path) -> None:
    shutil.copy(made_models / "custom.tflite", tmp_path / "model.tflite")  # LiteRT has not its operation
    assert measure_apart(tmp_path, "litert") is None
    assert [path.name for path in tmp_path.iterdir()] == ["model.tflite"]


def test_whatever_tensorflow_raises_while_it_is_measured_is_no_reason_against_the_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(prepare_bundle, "measure", broken)
    assert prepare_bundle._of_tensorflow(Path("nowhere"), 1.0, 1) is None
