"""Where the command prints: stderr for people, stdout for results. A reader that leaves stops nothing."""

import json
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, TextIO

from rich.console import Console
from rich.text import Text


class JobConsole(Console):
    """A console that falls silent when its reader leaves: the job goes on, and so do its results and exit code."""

    def on_broken_pipe(self) -> None:
        """Called by rich in place of raising; its own way would end the command."""
        self.quiet = True
        _to_nowhere(sys.stderr if self.stderr else sys.stdout)

    def tell(self, text: str | Text, style: str = "", *, wrap: bool = False) -> None:
        """Print a line as it is: nothing in it is markup.

        With `wrap` a narrow terminal gets it in several, cut between words; without, a long path stays whole, so
        that it can be copied.
        """
        self.print(
            Text(text, style) if isinstance(text, str) else text, soft_wrap=not (wrap and self.is_terminal)
        )


def for_people() -> JobConsole:
    """stderr: progress, notes, what went wrong."""
    return JobConsole(stderr=True)


def for_results() -> JobConsole:
    """stdout: the summary."""
    return JobConsole()


def accept_any_text() -> None:
    """Print what the terminal's encoding does not have as `?`: a path or a tick mark is no reason to end."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def say(message: str) -> None:
    """One line on stderr."""
    if sys.stderr is not None:
        with suppress(BrokenPipeError):
            sys.stderr.write("fanwise: " + " ".join(message.splitlines()) + "\n")
            sys.stderr.flush()


def print_document(document: dict[str, Any]) -> None:
    """One JSON document on stdout."""
    if sys.stdout is None:
        return
    plain = not (sys.stdout.encoding or "").lower().startswith("utf")
    try:
        sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=plain) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        _to_nowhere(sys.stdout)


def print_json_lines(lines: Iterable[bytes]) -> None:
    """Lines of JSON on stdout, with their line ends, until nobody reads any more."""
    if sys.stdout is None:
        return
    try:
        for line in lines:
            sys.stdout.write(line.decode("utf-8", "replace"))
        sys.stdout.flush()
    except BrokenPipeError:
        _to_nowhere(sys.stdout)


def _to_nowhere(stream: TextIO | None) -> None:
    """What is still buffered for a closed pipe would be an error again when the process ends."""
    if stream is None:
        return
    with suppress(OSError, ValueError):  # a stream without a file descriptor
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
