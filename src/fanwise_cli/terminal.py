"""Where the command prints: stderr for people, stdout for results. A reader that leaves stops nothing.

Nothing else prints. So what a terminal must not get of a user's files (`printable`) is escaped here, once.
"""

import json
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from fanwise_cli.printable import is_safe, printable, printable_json


class JobConsole(Console):
    """A console that falls silent when its reader leaves: the job goes on, and so do its results and exit code."""

    def on_broken_pipe(self) -> None:
        """Called by rich in place of raising; its own way would end the command."""
        self.quiet = True
        _to_nowhere(sys.stderr if self.stderr else sys.stdout)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """All that is shown goes through here: text before it is laid out, and again what a layout made of it."""
        if isinstance(renderable, Text):
            renderable = _printable_text(renderable)
        for segment in super().render(renderable, options):
            if segment.control or is_safe(segment.text):
                yield segment
            else:
                yield Segment(printable(segment.text), segment.style)

    def tell(self, text: str | Text, style: str = "", *, wrap: bool = False) -> None:
        """Print a line as it is: nothing in it is markup.

        With `wrap` a narrow terminal gets it in several, cut between words; without, a long path stays whole, so
        that it can be copied.
        """
        line = Text(printable(text), style) if isinstance(text, str) else text
        self.print(line, soft_wrap=not (wrap and self.is_terminal))


def _printable_text(text: Text) -> Text:
    """A text with its styles, and escapes for what is unsafe in it."""
    if is_safe(text.plain):
        return text
    return text.blank_copy().join(map(_printable_character, text.divide(range(1, len(text)))))


def _printable_character(character: Text) -> Text:
    if is_safe(character.plain):
        return character
    escape = Text(printable(character.plain), character.style)
    for span in character.spans:
        escape.stylize(span.style)
    return escape


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
            sys.stderr.write("fanwise: " + printable(" ".join(message.splitlines())) + "\n")
            sys.stderr.flush()


def print_document(document: dict[str, Any]) -> None:
    """One JSON document on stdout."""
    if sys.stdout is None:
        return
    plain = not (sys.stdout.encoding or "").lower().startswith("utf")
    try:
        text = json.dumps(document, indent=2, ensure_ascii=plain)
        sys.stdout.write(printable_json(text) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        _to_nowhere(sys.stdout)


def print_json_lines(lines: Iterable[bytes]) -> None:
    """Lines of JSON on stdout, with their line ends, until nobody reads any more."""
    if sys.stdout is None:
        return
    try:
        for line in lines:
            sys.stdout.write(printable_json(line.decode("utf-8", "replace")))
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
