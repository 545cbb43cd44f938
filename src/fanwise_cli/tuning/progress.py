"""What a person sees while tries are made: what is tried now on a terminal, elsewhere a line for each setting."""

from collections.abc import Iterator
from contextlib import contextmanager

from fanwise_cli.terminal import JobConsole
from fanwise_cli.tuning.search import Tell
from fanwise_cli.tuning.trials import Setting


@contextmanager
def telling(console: JobConsole, *, quiet: bool) -> Iterator[Tell]:
    """Give what is to be told what is tried."""
    told: set[Setting] = set()

    def as_lines(setting: Setting, _: str) -> None:
        if setting not in told and not quiet:
            told.add(setting)
            console.tell(f"{setting} …")

    if quiet or not console.is_interactive:
        yield as_lines
        return
    with console.status("") as status:
        yield lambda setting, what: status.update(f"{setting}: {what}")
