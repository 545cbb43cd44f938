"""A content is known by its hash: copies and new times change nothing, other bytes do, and it is read once."""

import os
import shutil
from pathlib import Path
from typing import IO

import pytest

from fanwise import contents
from fanwise.contents import ETAG_PREFIX, Contents
from fanwise.errors import ItemsChanged
from fanwise.storage import FolderBackend, Storage

LONG_AGO_S = 1_000_000_000.5


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were read whole, in order."""
    read: list[str] = []
    hashed = contents._hashed

    def noted(file: IO[bytes]) -> str:
        read.append(file.name)
        return hashed(file)

    monkeypatch.setattr(contents, "_hashed", noted)
    return read


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every file be one that nobody has written to for a while."""
    monkeypatch.setattr(contents._State, "is_settled", lambda state, now_ns: True)


def etag(file: Path, known: Contents) -> str:
    with file.open("rb") as opened:
        return known.etag_of(opened)


def test_contents_of_a_copy_are_the_same_and_of_other_bytes_are_not(tmp_path: Path) -> None:
    first, copy, other = (tmp_path / name for name in ("a", "b", "c"))
    first.write_bytes(b"1\n")
    shutil.copy(first, copy)
    other.write_bytes(b"2\n")
    known = Contents()
    assert etag(first, known) == etag(copy, known) == etag(first, Contents())
    assert etag(first, known) != etag(other, known)
    assert etag(first, known).startswith(ETAG_PREFIX)


@pytest.mark.usefixtures("settled")
def test_contents_are_read_once_by_all_processes_of_a_job(tmp_path: Path, reads: list[str]) -> None:
    file = tmp_path / "items.jsonl"
    file.write_bytes(b"1\n")
    here, there = Contents(tmp_path / "known"), Contents(tmp_path / "known")
    assert len({etag(file, here), etag(file, here), etag(file, there)}) == 1
    assert len(reads) == 1


@pytest.mark.usefixtures("settled")
def test_contents_changed_in_place_are_noticed_also_with_the_same_size_and_time(
    tmp_path: Path, reads: list[str]
) -> None:
    file, known = tmp_path / "items.jsonl", Contents(tmp_path / "known")
    file.write_bytes(b"1\n")
    os.utime(file, (LONG_AGO_S, LONG_AGO_S))
    before = etag(file, known)
    with file.open("r+b") as opened:
        opened.write(b"2")
    os.utime(file, (LONG_AGO_S, LONG_AGO_S))
    assert etag(file, known) != before
    assert etag(file, Contents(tmp_path / "known")) != before


def test_contents_written_a_moment_ago_are_not_taken_as_known(tmp_path: Path, reads: list[str]) -> None:
    file, known = tmp_path / "items.jsonl", Contents(tmp_path / "known")
    for _ in range(2):
        file.write_bytes(b"1\n")
        os.utime(file)
        etag(file, known)
    assert len(reads) == 2
    assert not (tmp_path / "known").exists()


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"state":[1,2,3,4,5],"etag":"sha256-0"}'])
def test_contents_that_were_remembered_wrongly_are_read_again(tmp_path: Path, text: bytes) -> None:
    file, folder = tmp_path / "items.jsonl", tmp_path / "known"
    file.write_bytes(b"1\n")
    before = etag(file, Contents(folder))
    (kept,) = folder.iterdir()
    kept.write_bytes(text)
    assert etag(file, Contents(folder)) == before


def test_contents_that_cannot_be_remembered_are_known_all_the_same(tmp_path: Path) -> None:
    file, folder = tmp_path / "items.jsonl", tmp_path / "no folder"
    file.write_bytes(b"1\n")
    folder.write_bytes(b"")
    os.utime(file, (LONG_AGO_S, LONG_AGO_S))
    assert etag(file, Contents(folder)) == etag(file, Contents())


def test_contents_of_a_file_that_is_being_written_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "items.jsonl"
    file.write_bytes(b"1\n")
    hashed = contents._hashed

    def and_written(opened: object) -> str:
        file.write_bytes(file.read_bytes() + b"2\n")
        return hashed(opened)  # type: ignore[arg-type]

    monkeypatch.setattr(contents, "_hashed", and_written)
    with pytest.raises(ItemsChanged, match=r"items\.jsonl is being written to; wait until it is complete"):
        etag(file, Contents())


def test_a_pin_of_a_folders_object_is_its_content(tmp_path: Path) -> None:
    storage = Storage({"b": FolderBackend(tmp_path, writable=True)}, s3=False)
    file = tmp_path / "items.jsonl"
    file.write_bytes(b"1\n2\n")
    pin = storage.pin("s3://b/items.jsonl")
    for again in ("touched", "replaced by a copy"):
        shutil.copy(file, tmp_path / again)
        (tmp_path / again).replace(file)
        os.utime(file)
        assert storage.read("s3://b/items.jsonl", 2, 4, pin) == b"2\n", again
    file.write_bytes(b"1\n3\n")
    with pytest.raises(ItemsChanged, match="is no longer the version that was planned: its content"):
        storage.read("s3://b/items.jsonl", 2, 4, pin)
    by_time = storage.head("s3://b/items.jsonl")
    assert storage.read("s3://b/items.jsonl", 2, 4, by_time) == b"3\n"
    os.utime(file, (LONG_AGO_S, LONG_AGO_S))
    with pytest.raises(ItemsChanged):
        storage.read("s3://b/items.jsonl", 2, 4, by_time)
