"""The log of a command that runs jobs on this machine."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class _LogFile(logging.FileHandler):
    """A log that cannot be written, on a full disk, is not worth a traceback."""

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):  # of opening it
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        pass


@contextmanager
def log_kept(folder: Path) -> Iterator[None]:
    """Write what libraries and the local cloud log into a file, beside the functions' own, not to the terminal."""
    handler = _LogFile(folder / "fanwise.log", delay=True, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    folder.mkdir(parents=True, exist_ok=True)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()
