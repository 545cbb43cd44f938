"""The words of `fanwise tune`, read and checked before anything is done."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fanwise.errors import InputError
from fanwise.limits import MAX_BATCH_SIZE, MAX_MEMORY_MB, MIN_MEMORY_MB
from fanwise.model.bundle import RUNTIMES
from fanwise.records import Runtime
from fanwise_cli.tuning.combinations import By

# Tried where nobody names others, beside the size that is deployed: whole vCPUs, and the least of the template.
MEMORY_SIZES_MB = (1024, 1769, 3538, 5307, 7076, 10_240)


@dataclass(frozen=True)
class TuneOptions:
    """The words of `fanwise tune`; None or nothing where nothing was said."""

    items: str
    model: str | None = None
    by: By = "price"
    memory_mb: Sequence[int] = ()
    batch_sizes: Sequence[int] = ()
    runtimes: Sequence[Runtime] = ()
    max_concurrency: int | None = None
    count: int | None = None
    repeats: int = 3
    roots: Sequence[str] = ()
    region: str | None = None
    architecture: str | None = None
    picture: Path | None = None
    quiet: bool = False


def refuse_options_of_a_stack(*said: str | None) -> None:
    """Raises `InputError`: without --stack it is measured on this machine, and none of them would count."""
    if any(said):
        raise InputError("--profile and --endpoint-url are of a stack; give --stack NAME too")


def by_of(said: str) -> By:
    """`--by`. Raises `InputError`."""
    if said == "price":
        return "price"
    if said == "time":
        return "time"
    raise InputError(f"--by is {said!r}; price or time")


def memory_sizes_of(said: Sequence[str] | None) -> Sequence[int]:
    """`--memory`. Raises `InputError`."""
    return _numbers("--memory", said, MIN_MEMORY_MB, MAX_MEMORY_MB)


def batch_sizes_of(said: Sequence[str] | None) -> Sequence[int]:
    """`--batch-size`. Raises `InputError`."""
    return _numbers("--batch-size", said, 1, MAX_BATCH_SIZE)


def runtimes_asked_for(said: Sequence[str] | None) -> Sequence[Runtime]:
    """`--runtime`; nothing where it is auto. Raises `InputError`."""
    known: dict[str, Runtime] = {runtime: runtime for runtime in RUNTIMES}
    found: list[Runtime] = []
    for word in _words(said):
        if word == "auto":
            continue
        if word not in known:
            raise InputError(f"--runtime is {word!r}; {', '.join(known)}, or auto for all that the model has")
        found.append(known[word])
    return list(dict.fromkeys(found))


def _numbers(flag: str, said: Sequence[str] | None, least: int, most: int) -> Sequence[int]:
    numbers = []
    for word in _words(said):
        if not (word.isascii() and word.isdecimal() and least <= int(word) <= most):
            raise InputError(f"{flag} is {word!r}; whole numbers from {least:,} to {most:,}, by commas")
        numbers.append(int(word))
    return sorted(set(numbers))


def _words(said: Sequence[str] | None) -> list[str]:
    """The words of an option that may be given several times, and with commas."""
    return [word.strip() for words in said or () for word in words.split(",")]
