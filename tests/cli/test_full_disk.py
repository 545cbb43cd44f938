"""A full disk: one line that says so, and when there is room again `resume` goes on; nothing finished is redone.

The disk is a small one of its own (a tmpfs in a mount namespace), where this machine lets us have one.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cloud_in_process import Machine, item, write_items
from commands import TIMEOUT_S, Ended
from fanwise.storage import FolderBackend

Fanwise = Callable[..., Ended]
NAMESPACE = ("unshare", "--map-root-user", "--mount", "sh", "-ec")


def fills_up(monkeypatch: pytest.MonkeyPatch, after: int, where: str = "/jobs/") -> None:
    """Have every write below `where` but the first so many fail as on a full disk."""
    temporary = FolderBackend._temporary
    left = [after]

    def full(backend: FolderBackend, path: str, body: bytes) -> str:
        if where in path:
            left[0] -= 1
            if left[0] < 0:
                raise OSError(28, os.strerror(28))
        return temporary(backend, path, body)

    monkeypatch.setattr(FolderBackend, "_temporary", full)


@pytest.mark.parametrize("after", [0, 1, 2, 3, 8, 23, 24, 25, 26])
def test_a_disk_that_fills_up_stops_the_job_at_once_and_resume_goes_on(
    fanwise: Fanwise,
    machine: Machine,
    bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    after: int,
) -> None:
    items, out = write_items(tmp_path / "data/items.jsonl", [item(x) for x in range(20)]), tmp_path / "out"
    with monkeypatch.context() as full:
        fills_up(full, after)
        ended = fanwise("run", items, "--model", bundle, "--out", out, "--batch-size", "2")
    said = ended.stdout + ended.stderr
    assert ended.code == 1
    assert "No space left on device; free some space" in said
    assert "Traceback" not in said
    commits = {path.name for path in out.glob(".fanwise/buckets/*/jobs/*/commits/*")}
    machine.calls.clear()
    assert fanwise("resume", out).code == 0
    assert machine.calls.count("PredictBatch") <= 10 - len(commits) + 1  # and one try at the first retry
    assert fanwise("verify", out).code == 0


def has_a_disk_of_its_own() -> bool:
    """Whether this machine lets us mount a small file system."""
    if sys.platform != "linux":
        return False
    try:
        tried = subprocess.run(
            [*NAMESPACE, "mount -t tmpfs none /tmp"], capture_output=True, check=False, timeout=60
        )
    except OSError:
        return False
    return tried.returncode == 0


SCRIPT = """
mount -t tmpfs -o size=6m none "$OUT"
fanwise() { "$PYTHON" -m fanwise_cli "$@"; }
job="$OUT/job"
fanwise run "$ITEMS" --model "$MODEL" --out "$job" --batch-size 50 > "$SAID/first" 2>&1 || echo $? > "$SAID/code"
mount -o remount,size=60m "$OUT"
fanwise resume "$job" > "$SAID/second" 2>&1
fanwise verify "$job" > "$SAID/third" 2>&1
cp "$job/summary.json" "$SAID"
"""


@pytest.mark.skipif(not has_a_disk_of_its_own(), reason="a small file system cannot be mounted here")
def test_a_small_disk_that_is_really_full(made_models: Path, tmp_path: Path) -> None:
    count = 600
    note = "x" * 15_000  # each item carries so much into its prediction: 9 MB in all
    rows = [{"inputs": {"age": x, "history": [x, 1, 2]}, "note": note} for x in range(count)]
    items, out, said = write_items(tmp_path / "data/rows.jsonl", rows), tmp_path / "out", tmp_path / "said"
    out.mkdir()
    said.mkdir()
    names = {
        "OUT": out,
        "ITEMS": items,
        "MODEL": made_models / "tabular",
        "SAID": said,
        "PYTHON": sys.executable,
    }
    subprocess.run(
        [*NAMESPACE, SCRIPT],
        env=os.environ | {name: str(path) for name, path in names.items()},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        timeout=TIMEOUT_S,
    )
    first = (said / "first").read_text()
    assert (said / "code").read_text() == "1\n", first
    assert "No space left on device" in first
    assert "Traceback" not in first
    summary = json.loads((said / "summary.json").read_bytes())
    assert summary["items"]["predicted"] == count
    assert "PROVED" in (said / "third").read_text()
