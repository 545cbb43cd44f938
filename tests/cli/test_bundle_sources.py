"""What lies in a model's folder is the model: links do not lead out of it, and small files are small."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fanwise.errors import BundleError
from fanwise.limits import MAX_LABELS_BYTES, MAX_MANIFEST_BYTES
from fanwise_cli.bundle_sources import find_source

CONTRACT = json.dumps({"outputs": {"scores": {"as": "scores", "keep": "argmax", "labels": "labels.txt"}}})


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with a SavedModel and all that may lie beside it; `tmp_path/secret` is not of it."""
    model = tmp_path / "model"
    for name in ("saved_model/saved_model.pb", "saved_model/variables/variables.index", "profile.json"):
        (model / name).parent.mkdir(parents=True, exist_ok=True)
        (model / name).write_text(name)
    (model / "model.json").write_text(CONTRACT)
    (model / "labels.txt").write_text("cat\ndog\n")
    (tmp_path / "secret/assets").mkdir(parents=True)
    (tmp_path / "secret/assets/words.txt").write_text("secret")
    (tmp_path / "secret/model.json").write_text(CONTRACT)
    return model


def replaced(path: Path, target: Path | str) -> None:
    path.unlink(missing_ok=True)
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(target)


def by_another(model: Path) -> None:
    replaced(model / "way", model.parent / "secret")
    replaced(model / "saved_model/words.txt", model / "way/assets/words.txt")


def saved_model_elsewhere(model: Path) -> None:
    (model / "saved_model").rename(model.parent / "elsewhere")
    replaced(model / "saved_model", model.parent / "elsewhere")


OUT: dict[str, Callable[[Path], None]] = {
    "a file": lambda model: replaced(
        model / "saved_model/assets/words.txt", model.parent / "secret/assets/words.txt"
    ),
    "a relative one": lambda model: replaced(
        model / "saved_model/assets/words.txt", "../../../secret/assets/words.txt"
    ),
    "a folder": lambda model: replaced(model / "saved_model/assets", model.parent / "secret/assets"),
    "the graph": lambda model: replaced(model / "saved_model/saved_model.pb", "/etc/hostname"),
    "by another link": by_another,
    "labels": lambda model: replaced(model / "labels.txt", "/etc/hostname"),
    "the contract": lambda model: replaced(model / "model.json", model.parent / "secret/model.json"),
    "the profile": lambda model: replaced(model / "profile.json", "/etc/hostname"),
    "what has no end": lambda model: replaced(model / "saved_model/endless", "/dev/zero"),
    "nothing": lambda model: replaced(model / "saved_model/nothing", model.parent / "gone"),
    "saved_model": saved_model_elsewhere,
}


@pytest.mark.parametrize("alter", OUT.values(), ids=OUT.keys())
def test_a_link_out_of_the_folder_is_refused(model: Path, alter: Callable[[Path], None]) -> None:
    find_source(model)
    alter(model)
    with pytest.raises(BundleError, match=r": a link to .* outside of .*; put the file itself there"):
        find_source(model)


@pytest.mark.parametrize("name", ["model.keras", "model.tflite"])
def test_a_model_of_one_file_that_is_a_link_out_of_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    (tmp_path / "model").mkdir()
    replaced(tmp_path / "model" / name, tmp_path / name)
    with pytest.raises(BundleError, match="outside of"):
        find_source(tmp_path / "model")
    assert find_source(tmp_path / "model" / name).files  # what a person names may be one


def test_a_prepared_bundle_is_held_to_the_same(model: Path) -> None:
    (model / "digest.json").touch()
    assert find_source(model).prepared
    replaced(model / "frozen/saved_model.pb", "/etc/hostname")
    with pytest.raises(BundleError, match="outside of"):
        find_source(model)


def test_links_that_stay_inside_are_followed(model: Path) -> None:
    """As a cache of downloads lays them out, with the files' contents in one folder and names in another."""
    blobs = model / "saved_model/blobs"
    blobs.mkdir()
    (model / "saved_model/variables/variables.index").rename(blobs / "1f2e")
    (model / "saved_model/variables").rmdir()
    replaced(model / "saved_model/names/variables.index", "../blobs/1f2e")
    (model / "saved_model/variables").symlink_to("names")
    files = find_source(model).files
    assert (
        files["saved_model/variables/variables.index"].read_text() == "saved_model/variables/variables.index"
    )


def test_the_folder_itself_may_be_given_by_a_link(model: Path) -> None:
    (model.parent / "latest").symlink_to(model)
    assert find_source(model.parent / "latest").files.keys() == find_source(model).files.keys()
    (model.parent / "graph").symlink_to(model / "saved_model")
    assert "saved_model/saved_model.pb" in find_source(model.parent / "graph").files


def test_a_link_that_leads_in_a_circle_is_refused(model: Path) -> None:
    (model / "saved_model/again").symlink_to(model / "saved_model")
    with pytest.raises(BundleError, match="a link that leads back to"):
        find_source(model)
    (model / "saved_model/again").unlink()
    (model / "saved_model/self").symlink_to("self")
    with pytest.raises(BundleError, match="self"):
        find_source(model)


@pytest.mark.parametrize(
    ("name", "most_bytes"),
    [
        ("labels.txt", MAX_LABELS_BYTES),
        ("model.json", MAX_MANIFEST_BYTES),
        ("profile.json", MAX_MANIFEST_BYTES),
    ],
)
def test_a_small_file_that_is_large_is_refused_unread(model: Path, name: str, most_bytes: int) -> None:
    os.truncate(model / name, 64 * 1024**3)  # of which the disk has nothing
    with pytest.raises(BundleError) as caught:
        find_source(model)
    message = str(caught.value)
    assert message.startswith(f"{model / name}: ")
    assert f"of 68,719,476,736 bytes; at most {most_bytes:,}" in message
