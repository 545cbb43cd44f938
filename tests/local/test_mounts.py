"""Folders that stand for buckets: their names, what is refused, and what the handlers are told."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwise import settings
from fanwise.errors import LocationError
from fanwise.items.readable import prefixes_of
from fanwise.settings import MOUNTS, READABLE, Mount
from fanwise.storage import Storage
from fanwise_local.mounts import Mounts, bucket_name_of
from fanwise_local.template import read_stack, stack_root

STACK = read_stack(stack_root())
RESULTS = STACK.buckets["ResultsBucket"]


def mounted(work_dir: Path, *folders: Path, roots: tuple[str, ...] = ()) -> Mounts:
    return Mounts.of(STACK, work_dir=work_dir, folders=folders, roots=roots)


@pytest.fixture
def items(tmp_path: Path) -> Path:
    folder = tmp_path / "My Items_2026.v1"
    folder.mkdir()
    (folder / "items.jsonl").write_text("{}\n")
    return folder


def test_the_stacks_buckets_are_writable_folders_of_the_work_dir(tmp_path: Path) -> None:
    mounts = mounted(tmp_path)
    assert set(mounts.by_bucket) == set(STACK.buckets.values())
    assert mounts.by_bucket[RESULTS] == Mount(str(tmp_path / "buckets" / RESULTS), writable=True)
    assert mounts.folder_of(RESULTS).is_dir()
    with pytest.raises(LocationError, match=r"no folder is mounted as bucket 'other' \(mounted: fanwise-"):
        mounts.folder_of("other")


def test_the_items_folder_is_read_only_under_its_own_name_made_legal(tmp_path: Path, items: Path) -> None:
    mounts = mounted(tmp_path, items)
    assert mounts.by_bucket["my-items-2026-v1"] == Mount(str(items), writable=False)
    storage = mounts.storage()
    assert storage.read("s3://my-items-2026-v1/items.jsonl") == b"{}\n"
    storage.write(f"s3://{RESULTS}/jobs/x", b"1")
    with pytest.raises(PermissionError):
        storage.write("s3://my-items-2026-v1/x", b"1")


@pytest.mark.parametrize(
    ("name", "bucket"),
    [
        ("data", "data"),
        ("My Photos", "my-photos"),
        ("a_b.c", "a-b-c"),
        ("..hidden..", "hidden"),
        ("ab", "folder-ab"),
        ("写真", "folder"),
        ("Größe", "gr-e"),
        ("x" * 80, "x" * 63),
        ("x" * 62 + "-tail", "x" * 62),
        ("192.168.1.1", "192-168-1-1"),
        ("a--b", "a--b"),
    ],
)
def test_a_folders_name_becomes_a_buckets(tmp_path: Path, name: str, bucket: str) -> None:
    assert bucket_name_of(tmp_path / name) == bucket


def test_the_root_folder_has_a_name_too() -> None:
    assert bucket_name_of(Path("/")) == "folder"


@given(name=st.text(st.characters(exclude_characters="/\x00", exclude_categories=["Cs"]), min_size=1))
def test_every_folder_has_a_name_that_s3_would_have(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", bucket_name_of(Path("/no/such") / name / "."))


def test_further_folders_are_mounted_by_root(tmp_path: Path, items: Path) -> None:
    odd = tmp_path / "year=2026"
    odd.mkdir()
    roots = (str(items), f"photos={items}", str(odd), f"odd={odd}")
    mounts = mounted(tmp_path, roots=roots)
    paths = {name: mount.path for name, mount in mounts.by_bucket.items() if not mount.writable}
    assert paths == {
        "my-items-2026-v1": str(items),
        "photos": str(items),
        "year-2026": str(odd),
        "odd": str(odd),
    }


def test_a_root_may_be_relative(tmp_path: Path, items: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(items.parent)
    assert mounted(tmp_path, roots=(f"here={items.name}",)).folder_of("here") == items


def test_a_folder_twice_under_one_name_is_one_mount(tmp_path: Path, items: Path) -> None:
    mounts = mounted(tmp_path, items, roots=(str(items),))
    assert len(mounts.by_bucket) == len(STACK.buckets) + 1


def test_two_folders_of_one_name_are_refused_with_the_remedy(tmp_path: Path, items: Path) -> None:
    other = tmp_path / "other" / items.name
    other.mkdir(parents=True)
    with pytest.raises(LocationError) as raised:
        mounted(tmp_path, items, roots=(str(other),))
    assert str(raised.value) == (
        f"{other}: bucket 'my-items-2026-v1' is {items} already; mount it as --root NAME={other}"
    )


@pytest.mark.parametrize("name", ["ab", "Photos", "a_b", "a..b", "-ab", "ab-", "10.0.0.1", "", "x" * 64])
def test_a_name_that_is_no_buckets_is_refused_with_the_remedy(tmp_path: Path, items: Path, name: str) -> None:
    with pytest.raises(LocationError, match=f"{name!r} is no bucket's name .* --root NAME="):
        mounted(tmp_path, roots=(f"{name}={items}",))


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for root in (str(tmp_path / "none"), f"name={tmp_path / 'none'}"):
        with pytest.raises(LocationError, match=re.escape(f"--root {root}: there is no folder {tmp_path}")):
            mounted(tmp_path, roots=(root,))
    with pytest.raises(LocationError, match=r"none: there is no such folder to mount as bucket 'none'"):
        mounted(tmp_path, tmp_path / "none")


def test_a_file_is_no_folder(tmp_path: Path, items: Path) -> None:
    with pytest.raises(LocationError, match="there is no folder"):
        mounted(tmp_path, roots=(str(items / "items.jsonl"),))


def test_a_symlinked_folder_is_the_folder_it_leads_to(tmp_path: Path, items: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(items)
    mounts = mounted(tmp_path, link)
    assert mounts.by_bucket["my-items-2026-v1"].path == str(items)
    for path in (link / "items.jsonl", items / "items.jsonl", items / ".." / items.name / "items.jsonl"):
        assert mounts.uri_of(path) == "s3://my-items-2026-v1/items.jsonl"


def test_what_lies_in_a_mount_has_a_uri(tmp_path: Path, items: Path) -> None:
    mounts = mounted(tmp_path, items)
    assert mounts.uri_of(items) == "s3://my-items-2026-v1/"
    assert mounts.uri_of(items / "a b" / "ü%20?.png") == "s3://my-items-2026-v1/a b/ü%20?.png"
    assert mounts.uri_of(tmp_path / "buckets" / RESULTS / "jobs") == f"s3://{RESULTS}/jobs"


def test_what_lies_in_none_is_refused(tmp_path: Path, items: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("secret")
    (items / "leads out").symlink_to(outside)
    mounts = mounted(tmp_path, items)
    for path in (outside, items / "leads out", items / ".." / "outside", tmp_path / (items.name + "2")):
        with pytest.raises(LocationError, match="is in no mounted folder; mount its folder with --root DIR"):
            mounts.uri_of(path)


def test_the_handlers_are_told_the_same_buckets(
    tmp_path: Path, items: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = mounted(tmp_path, items)
    variables = mounts.environment()
    assert json.loads(variables[MOUNTS])["my-items-2026-v1"] == {"path": str(items), "writable": False}
    monkeypatch.setenv(MOUNTS, variables[MOUNTS])
    monkeypatch.setenv(READABLE, variables[READABLE])
    assert prefixes_of(settings.readable()) == mounts.readable()
    assert Storage.from_settings().read("s3://my-items-2026-v1/items.jsonl") == b"{}\n"
    with pytest.raises(LocationError, match="no folder is mounted as bucket 'elsewhere'"):
        Storage.from_settings().read("s3://elsewhere/x")


def test_items_may_point_at_what_is_mounted_for_them_and_at_the_input_bucket(
    tmp_path: Path, items: Path
) -> None:
    own = f"s3://{STACK.buckets['InputBucket']}/"
    assert mounted(tmp_path).readable() == (own,)
    assert mounted(tmp_path, items, roots=(f"more={items}",)).readable() == (
        own,
        "s3://more/",
        "s3://my-items-2026-v1/",
    )


def test_items_may_point_at_results_only_where_somebody_said_so(tmp_path: Path) -> None:
    folder = mounted(tmp_path).folder_of(RESULTS)
    mounts = mounted(tmp_path, roots=(f"{RESULTS}={folder}",))
    assert f"s3://{RESULTS}/" in mounts.readable()
    assert mounts.by_bucket[RESULTS].writable
