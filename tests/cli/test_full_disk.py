"""A full disk: one line that says so, and when there is room again `resume` goes on; nothing finished is redone.

The disk is a small one of its own (a tmpfs in a mount namespace), where this machine lets us have one.
"""

import errno
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cloud_in_process import Machine, item, write_items
from commands import TIMEOUT_S, Ended, run_process
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


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("where", ["out/predictions", "out/summary", "bundles", ".fanwise/home.json"])
def test_a_disk_that_is_full_elsewhere_is_a_line_and_room_is_all_it_takes(
    fanwise: Fanwise, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, where: str
) -> None:
    items, out = write_items(tmp_path / "data/items.jsonl", [item(x) for x in range(4)]), tmp_path / "out"
    monkeypatch.setenv("FANWISE_CACHE_DIR", str(tmp_path / "cache"))
    fsync = os.fsync

    def full(descriptor: int) -> None:
        if where in os.readlink(f"/proc/self/fd/{descriptor}").replace(
            "/.predictions", "/predictions"
        ).replace("/.summary", "/summary").replace("/.home", "/home"):
            raise OSError(number, os.strerror(number))
        fsync(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        ended = fanwise("run", items, "--model", bundle, "--out", out)
    (line,) = ended.stderr.splitlines()[-1:]
    assert ended.code == 1
    assert os.strerror(number) in line
    assert ("raise the limit" if number == errno.EFBIG else "free some space") in line
    assert "give the same command again" in line
    again = fanwise("run", items, "--model", bundle, "--out", out)
    assert again.code == 0
    assert fanwise("verify", out).code == 0


def test_a_limit_on_the_size_of_files_is_named(made_models: Path, tmp_path: Path) -> None:
    rows = [{"inputs": {"age": x, "history": [x, 1, 2]}, "note": "x" * 15_000} for x in range(40)]
    items, out, model = (
        write_items(tmp_path / "data/rows.jsonl", rows),
        tmp_path / "out",
        made_models / "tabular",
    )
    assert run_process("estimate", items, "--model", model).code == 0  # the model is prepared

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))

    ended = run_process(
        "run", items, "--model", model, "--out", out, "--batch-size", "20", preexec_fn=limited
    )
    said = " ".join((ended.stdout + ended.stderr).split())
    assert ended.code == 1
    assert "File too large; raise the limit on the size of files (ulimit -f), then resume the job" in said
    assert "Traceback" not in said
    assert run_process("resume", out).code == 0
    assert run_process("verify", out).code == 0


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
