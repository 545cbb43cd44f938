"""A folder as items: which files, in which order, and pinned as a whole."""

import json
import os
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from fanwise.errors import ItemsChanged, ItemsFileError
from fanwise.items.folder import version_of_folder, write_items_of_folder
from fanwise.storage import FolderBackend, ObstoreBackend, Storage

FOLDER = "s3://b/scans/"


@pytest.fixture(params=["folder", "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    backend = (
        ObstoreBackend(MemoryStore()) if request.param == "memory" else FolderBackend(tmp_path, writable=True)
    )
    return Storage({"b": backend}, s3=False)


def fill(storage: Storage, *paths: str) -> None:
    for path in paths:
        storage.write(FOLDER + path, path.encode())


def items(storage: Storage) -> list[dict[str, str]]:
    count = write_items_of_folder(
        storage, FOLDER, "s3://b/out/items.jsonl", version_of_folder(storage, FOLDER)
    )
    lines = storage.read("s3://b/out/items.jsonl").splitlines()
    assert count == len(lines)
    return [json.loads(line) for line in lines]


def test_one_item_a_file_sorted_by_path(storage: Storage) -> None:
    paths = ["b.png", "a/z.png", "a.png", "a/ä ?#%+.png", "a-b.png", "B.png", "日.png", "😀.png", "a/b/_x"]
    fill(storage, *paths)
    ordered = sorted(paths, key=str.encode)
    assert items(storage) == [{"id": path, "uri": FOLDER + path} for path in ordered]


def test_hidden_files_and_the_mark_of_completion_are_no_items(storage: Storage) -> None:
    fill(
        storage, "a.png", ".hidden", ".git/config", "c/.DS_Store", "c/x", "_SUCCESS", "c/_SUCCESS", "SUCCESS"
    )
    assert [item["id"] for item in items(storage)] == ["SUCCESS", "a.png", "c/x"]


def test_another_folder_with_the_same_beginning_is_another(storage: Storage) -> None:
    fill(storage, "a.png")
    storage.write("s3://b/scans10/b.png", b"")
    assert [item["id"] for item in items(storage)] == ["a.png"]


def test_a_folder_without_files_has_no_items(storage: Storage) -> None:
    assert items(storage) == []


def test_the_version_changes_with_any_file_that_is_an_item(storage: Storage) -> None:
    fill(storage, "a.png", "b.png")
    versions = [version_of_folder(storage, FOLDER)]
    assert version_of_folder(storage, FOLDER) == versions[0]
    storage.write(FOLDER + "_SUCCESS", b"")
    assert version_of_folder(storage, FOLDER) == versions[0]
    storage.write(FOLDER + "b.png", b"changed")
    versions.append(version_of_folder(storage, FOLDER))
    storage.delete(FOLDER + "a.png")
    versions.append(version_of_folder(storage, FOLDER))
    assert len(set(versions)) == 3


def test_a_folder_that_changes_while_it_is_planned_is_refused(storage: Storage) -> None:
    fill(storage, "a.png")
    version = version_of_folder(storage, FOLDER)
    fill(storage, "b.png")
    with pytest.raises(ItemsChanged, match="s3://b/scans/ changed while it was listed; start the job again"):
        write_items_of_folder(storage, FOLDER, "s3://b/out/items.jsonl", version)
    with pytest.raises(FileNotFoundError):
        storage.head("s3://b/out/items.jsonl")


def test_a_whole_bucket_is_a_folder(storage: Storage) -> None:
    storage.write("s3://b/a.png", b"")
    version = version_of_folder(storage, "s3://b/")
    assert write_items_of_folder(storage, "s3://b/", "s3://b/items.jsonl", version) == 1
    assert json.loads(storage.read("s3://b/items.jsonl")) == {"id": "a.png", "uri": "s3://b/a.png"}


def test_a_name_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    try:
        Path(os.fsdecode(os.fsencode(tmp_path / "scans") + b"/a\xff.png")).touch()
    except OSError:
        pytest.skip("this file system holds UTF-8 names only")
    storage = Storage({"b": FolderBackend(tmp_path, writable=True)}, s3=False)
    with pytest.raises(
        ItemsFileError, match=r"s3://b/scans/: the name of a\\udcff.png is not UTF-8; rename the file"
    ):
        version_of_folder(storage, FOLDER)
