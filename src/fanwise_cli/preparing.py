"""What a person sees while a model is prepared: which part of it is at work, and for how long."""

from collections.abc import Iterator
from contextlib import contextmanager

from fanwise_cli.prepare_process import hearing
from fanwise_cli.progress import PATIENCE_S, waiting
from fanwise_cli.terminal import JobConsole

LINE_EVERY_S = 30.0  # where there is no terminal


@contextmanager
def preparing(
    console: JobConsole,
    what: str = "preparing the model",
    *,
    quiet: bool,
    patience_s: float = PATIENCE_S,
    line_every_s: float = LINE_EVERY_S,
) -> Iterator[None]:
    """Say that it is at work, at which part and for how long: on a terminal in one line that goes away.

    Elsewhere a line if it takes longer than `patience_s`, and another every `line_every_s`.
    """
    lines = 0

    def say_in_place(part: str, seconds: float) -> None:
        status.update(f"{what}: {part} … {seconds:.0f} s")

    def say_a_line(part: str, seconds: float) -> None:
        nonlocal lines
        if seconds >= line_every_s * (lines + 1):
            lines = int(seconds // line_every_s)
            console.tell(f"{what}: {part} … {seconds:.0f} s")

    if quiet:
        yield
    elif console.is_interactive:
        with console.status(what) as status, hearing(say_in_place):
            yield
    else:
        with waiting(console, what, quiet=quiet, patience_s=patience_s), hearing(say_a_line):
            yield
