"""Where a tuning happens, on this machine or on a stack: what both have in common."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from fanwise.errors import InputError
from fanwise.items.manifest import read_manifest
from fanwise.model.profile import MeasuredOn
from fanwise.records import Runtime
from fanwise_cli.stack.submit import SubmitOptions
from fanwise_cli.tuning.options import TuneOptions
from fanwise_cli.tuning.sample import Sample
from fanwise_cli.tuning.trials import Bench, Setting


@dataclass(frozen=True)
class Place:
    """Where a tuning happens: its sample, and what is deployed there. `bench_for` opens a bench for settings."""

    sample: Sample
    deployed_mb: int
    timeout_s: float
    measured_on: MeasuredOn
    headline: str  # of it
    region: str | None
    bench_for: Callable[[Sequence[Setting]], AbstractContextManager[Bench]]
    is_this_machine: bool
    notes: Sequence[str] = ()


def words_of(options: TuneOptions) -> SubmitOptions:
    """The same words as those of a job."""
    return SubmitOptions(
        items=options.items, model=options.model, max_concurrency=options.max_concurrency, quiet=options.quiet
    )


def runtimes_to_try(
    options: TuneOptions, words: Mapping[str, Any], has: Sequence[Runtime], model: str
) -> tuple[Runtime, ...]:
    """Those that were asked for, else the manifest's, else all that the model is made for. Raises `InputError`."""
    manifest = read_manifest({**words, "items": "s3://items/", "model": "model"}, options.items)
    asked = options.runtimes or ([manifest.runtime] if manifest.runtime != "auto" else has)
    for runtime in asked:
        if runtime not in has:
            raise InputError(
                f"model {model!r} is not made for runtime {runtime!r}; it is for {', '.join(has)}"
            )
    return tuple(runtime for runtime in has if runtime in asked)
