"""Files on their way: what is seen of them, and what a refusal or a stop leaves."""

import io
from pathlib import Path
from typing import Any

import pytest

from fanwise_cli.stack.transfers import BytesProgress, Upload, upload
from fanwise_cli.terminal import JobConsole


class Bucket:
    """A client of S3 that keeps what it is given, byte by byte; `refuses` is a key that it does not take."""

    def __init__(self, refuses: str = "") -> None:
        self.kept: dict[str, bytes] = {}
        self.refuses = refuses

    def upload_file(
        self,
        path: str,
        bucket: str,
        key: str,
        ExtraArgs: Any,  # noqa: N803 - boto3's names
        Callback: Any,  # noqa: N803
        Config: Any,  # noqa: N803
    ) -> None:
        if key == self.refuses:
            raise PermissionError(key)
        body = Path(path).read_bytes()
        for _ in body:
            Callback(1)
        self.kept[key] = body


def files(folder: Path, count: int) -> list[Upload]:
    for number in range(count):
        (folder / f"{number}").write_bytes(b"x" * number)
    return [Upload.of(folder / f"{number}", f"k/{number}") for number in range(count)]


def test_every_file_arrives_once(tmp_path: Path) -> None:
    bucket = Bucket()
    upload(bucket, "b", files(tmp_path, 100), JobConsole(file=io.StringIO()), "uploading", quiet=True)
    assert bucket.kept == {f"k/{number}": b"x" * number for number in range(100)}


def test_one_refusal_ends_it(tmp_path: Path) -> None:
    bucket = Bucket(refuses="k/3")
    with pytest.raises(PermissionError):
        upload(bucket, "b", files(tmp_path, 20), JobConsole(file=io.StringIO()), "uploading", quiet=True)
    assert "k/3" not in bucket.kept


def test_plain_lines_now_and_then() -> None:
    file, now = io.StringIO(), [0.0]
    with BytesProgress(
        JobConsole(file=file), "uploading 3 files", 10_000_000, quiet=False, clock=lambda: now[0]
    ) as progress:
        for now[0] in (1.0, 4.9, 5.0, 6.0, 10.1):
            progress.arrived(1_000_000)
    assert file.getvalue().splitlines() == [
        "uploading 3 files  3.0 MB of 10.0 MB",
        "uploading 3 files  5.0 MB of 10.0 MB",
    ]


@pytest.mark.parametrize("columns", [40, 100])
def test_a_bar_that_fits_the_terminal(columns: int) -> None:
    file = io.StringIO()
    console = JobConsole(
        file=file, force_terminal=True, force_interactive=True, width=columns, color_system=None
    )
    with BytesProgress(console, "uploading 3 files", 10, quiet=False) as progress:
        progress.arrived(5)
        assert progress._bar is not None
        progress._bar.refresh()
    assert "uploading 3 files" in file.getvalue()
    assert "5/10 bytes" in file.getvalue()
