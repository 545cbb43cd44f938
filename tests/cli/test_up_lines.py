"""What `fanwise up` prints to be copied: run as it stands, by a shell, in a folder with nothing in it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from aws_cli import aws_environment, with_the_aws_cli
from cli.ups import Up, started_up
from cloud_in_process import read_lines
from commands import TIMEOUT_S

SCANS = 599


def lines_of(up: Up) -> str:
    """From `export` on: lines and remarks as they were printed."""
    said = up.stderr.read_text()
    return said[said.index("export ") :]


def shell(up: Up, script: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run a script as bash reads what is pasted into it, to the first line that fails."""
    kept = {name: os.environ[name] for name in ("FANWISE_CACHE_DIR", "PYTHONPATH") if name in os.environ}
    return subprocess.run(
        ["bash", "-e"],
        input=script,
        env=aws_environment(kept, up.folder),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )


@with_the_aws_cli
@pytest.mark.parametrize("is_published", [True, False])
def test_the_lines_work_as_printed_in_an_empty_folder(
    is_published: bool, digits_example: Path, tmp_path: Path
) -> None:
    """With the demo's data: beside the model that was published, or made by the first line (trained before)."""
    empty = tmp_path / "empty"
    empty.mkdir()
    words = ("--model", digits_example / "model") if is_published else ()
    if not is_published:
        shutil.copytree(digits_example, empty / "fanwise-demo/data")
    with started_up(tmp_path / "up", *words) as up:
        done = shell(up, lines_of(up), empty)
        assert done.returncode == 0, done.stderr
    jobs = [path for path in (empty / "results").iterdir() if (path / "_SUCCESS").exists()]
    assert jobs
    lines = [line for job in jobs for part in (job / "predictions").iterdir() for line in read_lines(part)]
    assert len(lines) == SCANS * len(jobs)


def test_without_the_demo_s_data_they_begin_with_making_it(tmp_path: Path) -> None:
    with started_up(tmp_path / "up", "--stack", "mine") as up:
        lines = [line for line in lines_of(up).splitlines() if not line.startswith("#")]
    assert lines[1].endswith(" demo")
    assert lines[2].endswith(" push fanwise-demo/data/model --name digits --version demo --stack mine")
    assert any(line.endswith("--model digits@demo --watch --stack mine") for line in lines)
