"""Bytes on their way to or from a bucket: files uploaded several at once, and what a person sees meanwhile."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

from fanwise.errors import InputError
from fanwise_cli.progress import LINE_EVERY_S, WIDE_COLUMNS
from fanwise_cli.terminal import JobConsole

FILES_AT_ONCE = 16
PARTS_AT_ONCE = 4  # of one file, where it is large enough to be sent in parts


@dataclass(frozen=True)
class Upload:
    """A file, as it was when it was looked at, and the key that it is to have."""

    path: Path
    key: str
    size_bytes: int
    modified_ns: int
    metadata: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, path: Path, key: str, **metadata: str) -> "Upload":
        """The file as it is now."""
        now = path.stat()
        return cls(path, key, now.st_size, now.st_mtime_ns, tuple(metadata.items()))


class BytesProgress:
    """How many bytes have gone: a bar on a terminal, plain lines elsewhere, nothing with `quiet`."""

    def __init__(
        self,
        console: JobConsole,
        what: str,
        total: int,
        *,
        quiet: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console
        self._what = what
        self._total = total
        self._quiet = quiet
        self._clock = clock
        self._done = 0
        self._last_line = clock()
        self._lock = threading.Lock()
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def __enter__(self) -> Self:
        if not self._quiet and self._console.is_interactive:
            columns = [TextColumn("{task.description}"), BarColumn(bar_width=None), DownloadColumn()]
            if self._console.width >= WIDE_COLUMNS:
                columns.append(TransferSpeedColumn())
            self._bar = Progress(*columns, console=self._console, transient=True, expand=True)
            self._task = self._bar.add_task(self._what, total=self._total)
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def arrived(self, size_bytes: int) -> None:
        """So many bytes more; negative where an attempt has to send some again. May be called by any thread."""
        with self._lock:
            self._done += size_bytes
            now = self._clock()
            if self._bar is not None:
                self._bar.update(self._task, completed=self._done)
            elif not self._quiet and now - self._last_line >= LINE_EVERY_S:
                self._last_line = now
                self._console.tell(f"{self._what}  {decimal(self._done)} of {decimal(self._total)}")


def changed(one: Upload) -> InputError:
    """What to raise of a file that is another by now."""
    return InputError(f"{one.path}: changed while it was uploaded; give the command again")


class _Stopped(Exception):
    """The command was interrupted: what is on its way need not arrive."""


def upload(
    s3: Any, bucket: str, uploads: Sequence[Upload], console: JobConsole, what: str, *, quiet: bool
) -> None:
    """Put files into a bucket. Raises `InputError` for one that changed meanwhile, and what boto3 raises."""
    from boto3.s3.transfer import TransferConfig  # noqa: PLC0415 - only where AWS is talked to

    if not uploads:
        return
    config = TransferConfig(max_concurrency=PARTS_AT_ONCE)
    stopped = threading.Event()
    total = sum(one.size_bytes for one in uploads)
    with BytesProgress(console, what, total, quiet=quiet) as progress:

        def arrived(size_bytes: int) -> None:
            if stopped.is_set():
                raise _Stopped
            progress.arrived(size_bytes)

        def put(one: Upload) -> None:
            extra = {"Metadata": dict(one.metadata)} if one.metadata else None
            s3.upload_file(str(one.path), bucket, one.key, ExtraArgs=extra, Callback=arrived, Config=config)
            if Upload.of(one.path, one.key, **dict(one.metadata)) != one:
                s3.delete_object(Bucket=bucket, Key=one.key)
                raise changed(one)

        with ThreadPoolExecutor(FILES_AT_ONCE) as senders:
            sent = [senders.submit(put, one) for one in uploads]
            try:
                for future in as_completed(sent):
                    future.result()
            except BaseException:  # Ctrl-C too
                stopped.set()
                senders.shutdown(wait=False, cancel_futures=True)
                raise
