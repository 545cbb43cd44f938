"""A bench whose invocations take what a formula says, in no time."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from fanwise.records import Entry
from fanwise_cli.tuning.search import Search, search
from fanwise_cli.tuning.trials import Invoke, Searched, Setting, Trial

Formula = Callable[[Setting, int], Trial]  # of a setting and the items of a batch
START = Trial(duration_ms=1, init_ms=300, load_ms=200, peak_memory_mb=100)


class FormulaBench:
    """Keeps what was tried: settings, and the batch sizes of each, cold one included."""

    def __init__(self, formula: Formula) -> None:
        self._formula = formula
        self.tried: list[tuple[Setting, list[int]]] = []

    @contextmanager
    def at(self, setting: Setting) -> Iterator[Invoke]:
        sizes: list[int] = []
        self.tried.append((setting, sizes))

        def invoke(entry: Entry) -> Trial:
            sizes.append(entry.count)
            trial = self._formula(setting, entry.count)
            return START if len(sizes) == 1 and trial.failed is None else trial

        yield invoke


def entries(size: int) -> Sequence[Entry]:
    return [Entry(entry="0", start=0, end=size, first=0, first_line=1, count=size)]


def searched(
    formula: Formula, settings: Sequence[Setting], *, stops: bool = True, repeats: int = 3, **how: object
) -> tuple[list[Searched], list[str], FormulaBench]:
    """Search a formula: by default batches of 32 and more, of a sample of 10,000."""
    given: dict[str, object] = {"mini_batch": 32, "largest": 10_000, "entries": entries, "repeats": repeats}
    bench = FormulaBench(formula)
    what = Search(**{**given, **how})  # type: ignore[arg-type]
    found, notes = search(bench, settings, what, lambda *_: None, stops=stops)
    return found, notes, bench


def linear(own_ms: float, item_ms: float) -> Formula:
    """So much an invocation, and an item at one vCPU, which twice the memory does in half the time."""
    return lambda setting, items: Trial(
        duration_ms=own_ms + items * item_ms * 1769 / setting.memory_mb, peak_memory_mb=100
    )
