"""Which files of this machine a job needs: what its items name, and nothing that they may not."""

import json
from pathlib import Path

import pytest

from fanwise.errors import ItemsFileError
from fanwise.records import Kind
from fanwise_cli.stack.items import find_items

KINDS: dict[str, Kind] = {"x": "number", "photo": "image"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    for name in ("a.png", "sub/b.png", "c d%20.png", ".hidden/e.png", "_SUCCESS", "unnamed.png"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return folder


def write(folder: Path, *items: object, name: str = "items.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(one if isinstance(one, str) else json.dumps(one) + "\n" for one in items))
    return path


def test_what_items_name_goes_with_them_and_nothing_else(folder: Path) -> None:
    items = write(
        folder,
        {"uri": "sub/b.png"},
        {"uri": "a.png", "id": 1},
        {"uri": "a.png"},
        {"inputs": {"photo": "c d%20.png", "x": "unnamed.png"}},
        {"inputs": {"photo": "data:image/png;base64,AAAA"}},
        {"uri": "s3://elsewhere/unnamed.png"},
        {"uri": ".hidden/e.png"},
        {"uri": "items.jsonl"},
        "not JSON\n",
        {"uri": 7},
        {"uri": "../outside.png"},
        {"uri": "file:///etc/passwd"},
    )
    found = find_items(items, KINDS)
    assert found.files == (".hidden/e.png", "a.png", "c d%20.png", "sub/b.png", "items.jsonl")
    assert (found.name, found.absent) == ("items.jsonl", ())


def test_what_is_not_there_is_told(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (folder / "link.png").symlink_to(tmp_path / "secret")
    items = write(folder, {"uri": "a.png"}, {"uri": "gone.png"}, {"uri": "link.png"}, {"uri": "sub"})
    found = find_items(items, KINDS)
    assert found.files == ("a.png", "items.jsonl")
    assert found.absent == ("gone.png", "link.png", "sub")


def test_csv(folder: Path) -> None:
    items = write(folder, "id,uri,photo\n1,a.png,\n2,,sub/b.png\n3,gone.png,\n", name="rows.csv")
    found = find_items(items, KINDS)
    assert found.files == ("a.png", "sub/b.png", "rows.csv")
    assert found.absent == ("gone.png",)


def test_many_items_are_all_looked_at(folder: Path) -> None:
    for number in range(3000):
        (folder / f"{number}.txt").touch()
    items = write(folder, *({"uri": f"{number}.txt"} for number in range(3000)))
    assert len(find_items(items, KINDS).files) == 3001


def test_a_folder_without_what_is_hidden(folder: Path) -> None:
    found = find_items(folder, KINDS)
    assert found.files == ("a.png", "c d%20.png", "sub/b.png", "unnamed.png")
    assert found.name is None


def test_an_items_file_by_a_link_lies_where_it_is(folder: Path, tmp_path: Path) -> None:
    write(folder, {"uri": "a.png"})
    link = tmp_path / "link.jsonl"
    link.symlink_to(folder / "items.jsonl")
    assert find_items(link, KINDS).files == ("a.png", "items.jsonl")


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("items.jsonl.gz", "x", "gunzip items.jsonl.gz"),
        ("items.txt", "x", "items are read from .jsonl"),
        ("rows.csv", "colour\nred\n", "colour"),
        ("%2e%2e%2fa.jsonl", "{}\n", "rename the file"),
        ("a\nb.jsonl", "{}\n", "rename the file"),
    ],
)
def test_what_plan_job_would_refuse_is_refused_here_by_its_own_name(
    folder: Path, name: str, text: str, says: str
) -> None:
    path = folder / name
    path.write_text(text)
    with pytest.raises(ItemsFileError) as raised:
        find_items(path, KINDS)
    assert says in str(raised.value)
    assert "s3://items/" not in str(raised.value)
    assert str(path) in str(raised.value)


def test_a_link_to_a_folder_is_not_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "others").mkdir()
    (folder / "linked").symlink_to(tmp_path / "others")
    with pytest.raises(Exception, match="symlink to a folder, which is not followed; copy it"):
        find_items(folder, KINDS)
