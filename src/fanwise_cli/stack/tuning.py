"""`fanwise tune --stack`: the items and the model where the stack has them, and tries on Lambda."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fanwise
from fanwise.errors import BundleError
from fanwise.limits import VCPU_MB
from fanwise.model.profile import MeasuredOn
from fanwise.records import Runtime, moment_text
from fanwise_cli.preparation import unusable_paths_are_input
from fanwise_cli.stack.connection import DeployedStack
from fanwise_cli.stack.items import bring
from fanwise_cli.stack.submit import ask, find_here, reference_of
from fanwise_cli.stack.tune_bench import StackBench, memory_of, published
from fanwise_cli.terminal import JobConsole
from fanwise_cli.tuning.options import TuneOptions
from fanwise_cli.tuning.place import Place, runtimes_to_try, words_of
from fanwise_cli.tuning.sample import Buckets, planned, runtimes_of
from fanwise_cli.tuning.trials import Bench, Setting
from fanwise_cli.tuning.tune import Tuned, tune


def tune_there(options: TuneOptions, stack: DeployedStack, console: JobConsole) -> Tuned:
    """Tune on a stack. Raises `InputError` before anything is tried."""
    with unusable_paths_are_input():
        asked = ask(words_of(options), stack)
        model = reference_of(asked.model, stack, console, quiet=options.quiet)
        items = asked.items
        if isinstance(items, Path):
            found = find_here(items, model, stack, console, quiet=options.quiet)
            items = bring(found, stack, console, quiet=options.quiet)
    buckets = Buckets(stack.storage, stack.model_bucket, stack.results_bucket, stack.readable)
    runtimes, notes = _runtimes(options, buckets, asked.words, model, stack)

    def left(what: str) -> None:
        console.tell(f"fanwise: {what}", "yellow")

    with planned(buckets, {**asked.words, "items": items, "model": model}, runtimes, left) as sample:
        deployed_mb = memory_of(stack, runtimes[0])

        @contextmanager
        def bench_for(settings: Sequence[Setting]) -> Iterator[Bench]:
            with published(stack, settings, left) as made:
                yield StackBench(stack, sample, made)

        place = Place(
            sample=sample,
            deployed_mb=deployed_mb,
            timeout_s=stack.size.timeout_s,
            measured_on=_measured_on(stack, deployed_mb),
            headline=f"Lambda in {stack.place}",
            region=stack.place.region,
            bench_for=bench_for,
            is_this_machine=False,
            notes=notes,
        )
        return tune(options, place, console)


def _runtimes(
    options: TuneOptions, buckets: Buckets, words: Mapping[str, Any], model: str, stack: DeployedStack
) -> tuple[tuple[Runtime, ...], list[str]]:
    """The runtimes to try, and a note of those that the stack has no function for."""
    wanted = runtimes_to_try(options, words, runtimes_of(buckets, model), model)
    runtimes = tuple(runtime for runtime in wanted if runtime in stack.predict_batch)
    absent = [runtime for runtime in wanted if runtime not in runtimes]
    what = f"stack {stack.name} has no PredictBatch with {', '.join(absent)}"
    remedy = "deploy it with PredictBatchImageUri, the image with TensorFlow"
    if absent and (options.runtimes or not runtimes):
        raise BundleError(f"{what}; {remedy}, or try another --runtime")
    return runtimes, [f"{what}, which was left out; {remedy}."] if absent else []


def _measured_on(stack: DeployedStack, memory_mb: int) -> MeasuredOn:
    return MeasuredOn(
        kind="lambda",
        name=stack.place.region,
        cores=max(1, round(memory_mb / VCPU_MB)),
        system="Linux x86_64",
        fanwise=fanwise.__version__,
        at=moment_text(datetime.now(UTC)),
        memory_mb=memory_mb,
    )
