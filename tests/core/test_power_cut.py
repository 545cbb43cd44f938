"""A power cut at any moment: what is left on the disk is resumed as it is, and the results are the same."""

import random
from pathlib import Path

import pytest

from fanwise.durable import make_folder, sync_tree, write_durably
from power_cut import Job, Recorder

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks for files in /proc")


def test_the_job_is_resumed_after_a_power_cut_and_comes_out_the_same(tmp_path: Path) -> None:
    job = Job(tmp_path)
    kinds = {change.kind for change in job.recorder.changes}
    assert kinds == {"sync", "name", "unname", "folder"}
    assert len(job.recorder.changes) > 100
    for seed in range(30):
        job.survives(seed)


def test_without_syncing_files_it_would_not(tmp_path: Path) -> None:
    """That the simulation finds what it is for."""
    job, failed = Job(tmp_path, syncs_files=False), 0
    for seed in range(30):
        try:
            job.survives(seed)
        except Exception:  # however it fails
            failed += 1
    assert failed > 5


def test_nothing_is_named_before_its_bytes_are_on_the_disk(tmp_path: Path) -> None:
    changes = Job(tmp_path).recorder.changes
    synced = [change.path for change in changes if change.kind == "sync"]
    for at, change in enumerate(changes):
        if change.kind == "name":
            assert change.file in synced, change
        if change.kind in ("name", "folder"):
            folder = str(Path(change.path).parent)
            following = [
                later for later in changes[at + 1 :] if later.kind == "sync" and later.path == folder
            ]
            assert following, change


def test_a_commit_is_written_when_its_parts_are_on_the_disk(tmp_path: Path) -> None:
    changes = Job(tmp_path).recorder.changes
    checked = 0
    for at, change in enumerate(changes):
        if change.kind != "name" or "/commits/" not in change.path:
            continue
        entry = Path(change.path).stem
        for before, part in enumerate(changes[:at]):
            if part.kind == "name" and Path(part.path).name.startswith(f"{entry}-"):
                folder = str(Path(part.path).parent)
                assert any(c.kind == "sync" and c.path == folder for c in changes[before:at])
                checked += 1
    assert checked > 3


def test_a_file_over_another_is_the_one_or_the_other(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    recorder = Recorder(root)
    with recorder.at_work():
        make_folder(root / "a/b")
        write_durably(str(root / "a/b/file"), b"first")
        write_durably(str(root / "a/b/file"), b"second")
        sync_tree(root)
    seen = set()
    for seed in range(200):
        chance = random.Random(seed)
        left = tmp_path / f"{seed}"
        recorder.cut(chance.randint(0, len(recorder.changes)), chance, left)
        file = left / "a/b/file"
        seen.add(file.read_bytes() if file.exists() else None)
    assert seen == {None, b"first", b"second"}
