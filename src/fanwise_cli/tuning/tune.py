"""`fanwise tune`, from its words to what it found: on this machine here, on a stack by `stack.tune_bench`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from fanwise.errors import FanwiseError, InputError
from fanwise.limits import VCPU_MB
from fanwise.pricing import gb_s, prices_of
from fanwise.reckoning.batching import GET_MS, reads_of
from fanwise.reckoning.choices import HEADROOM
from fanwise.reckoning.estimate import Work
from fanwise_cli.estimating import described_model
from fanwise_cli.measuring import ASSUMED_INVOCATION_MS
from fanwise_cli.pictures import check_picture
from fanwise_cli.summary import dollars, lasted
from fanwise_cli.surveying import architecture_of
from fanwise_cli.terminal import JobConsole
from fanwise_cli.tuning.combinations import By, Combination, Reckoning, best_of, front_of
from fanwise_cli.tuning.local_bench import fits_this_machine, here
from fanwise_cli.tuning.notes import failures, what_happened
from fanwise_cli.tuning.options import MEMORY_SIZES_MB, TuneOptions
from fanwise_cli.tuning.place import Place
from fanwise_cli.tuning.progress import telling
from fanwise_cli.tuning.search import Search, search
from fanwise_cli.tuning.trials import Setting
from fanwise_local.this_machine import available_cores

DEFAULT_MINI_BATCH = 32  # of a model whose profile says none
DEFAULT_ITEM_MS = 10.0


@dataclass(frozen=True)
class Tuned:
    """What was found. `best` has its reason; `notes` say what was left out, failed or assumed."""

    model: Mapping[str, str]
    given: str  # the model, as a person may give it again
    by: By
    work: Work
    repeats: int
    sample: int
    prices: str
    measured_on: str
    stands_in: bool
    deployed_mb: int
    combinations: Sequence[Combination]
    best: Combination
    reason: str
    notes: Sequence[str]

    def described(self) -> dict[str, Any]:
        """What `--json` prints."""
        front = front_of(self.combinations)
        return {
            "model": dict(self.model),
            "by": self.by,
            "items": self.work.items,
            "max_concurrency": self.work.max_concurrency,
            "sample": self.sample,
            "repeats": self.repeats,
            "measured_on": self.measured_on,
            "stands_in": self.stands_in,
            "prices": self.prices,
            "deployed_memory_mb": self.deployed_mb,
            "best": {**msgspec.to_builtins(self.best), "reason": self.reason},
            "combinations": [
                {**msgspec.to_builtins(one), "is_on_front": one in front} for one in self.combinations
            ],
            "notes": list(self.notes),
        }


def check(options: TuneOptions) -> None:
    """Raises `InputError` for words that could not be followed at the end."""
    architecture_of(options.architecture)
    if options.picture is not None:
        check_picture(options.picture)


def tune_here(options: TuneOptions, console: JobConsole) -> Tuned:
    """Tune on this machine. Raises `InputError` before anything is tried."""
    try:
        with here(options, console) as place:
            return tune(options, place, console)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            "interrupted; nothing is left of it, and the same command begins anew"
        ) from None


def tune(options: TuneOptions, place: Place, console: JobConsole) -> Tuned:
    """Try, reckon and choose. Raises `InputError` before anything is tried, `FanwiseError` where nothing works."""
    prices = prices_of(place.region, architecture_of(options.architecture))
    sample, job = place.sample, place.sample.job
    settings, notes = _settings(options, place)
    largest = sample.largest()
    for size in options.batch_sizes:
        if not sample.entries(size):
            raise InputError(
                f"--batch-size {size}: the sample has {largest:,} items that fit into one batch; give a larger"
                f" sample, or smaller batches"
            )
    mini_batch = {
        runtime: profile.mini_batch if profile else DEFAULT_MINI_BATCH
        for runtime, profile in sample.profiles.items()
    }
    what = Search(
        entries=sample.entries,
        repeats=options.repeats,
        mini_batch=max(mini_batch.values()),
        largest=largest,
        batch_sizes=options.batch_sizes,
    )
    if not options.quiet:
        console.tell(_at_most(what, settings, place, prices.lambda_usd_per_gb_s), "dim", wrap=True)
    with place.bench_for(settings) as bench, telling(console, quiet=options.quiet) as tell:
        found, left_out = search(bench, settings, what, tell, stops=not options.memory_mb)
    items = options.count or job.total
    work = Work(
        items=items,
        batch_size=1,
        max_concurrency=options.max_concurrency or job.max_concurrency,
        size_bytes=round(job.items.size_bytes * items / job.total),
        reads=reads_of(job.model.kinds),
    )
    reckoning = Reckoning(
        work=work,
        prices=prices,
        measured_on=place.measured_on,
        timeout_s=place.timeout_s,
        deployed_mb=place.deployed_mb,
        mini_batch=mini_batch,
        assumed_ms=ASSUMED_INVOCATION_MS if place.is_this_machine else 0.0,
        adds_auto=not options.batch_sizes,
    )
    made = [one for searched in found for one in reckoning.of(searched)]
    chosen = best_of(made, options.by)
    if chosen is None:
        raise FanwiseError(
            f"nothing that was tried works: {'; '.join(failures(found))}; give more --memory, or a smaller"
            f" --batch-size; fanwise run says what the model has against the items"
        )
    return Tuned(
        model=described_model(job.model),
        given=options.model or f"{job.model.name}@{job.model.version}",
        by=options.by,
        work=work,
        repeats=options.repeats,
        sample=job.total,
        prices=prices.label,
        measured_on=place.headline,
        stands_in=place.is_this_machine,
        deployed_mb=place.deployed_mb,
        combinations=made,
        best=chosen[0],
        reason=chosen[1],
        notes=[*place.notes, *notes, *left_out, *what_happened(found, place, work)],
    )


def _settings(options: TuneOptions, place: Place) -> tuple[list[Setting], list[str]]:
    """What is tried, sorted, and what is not though it might have been."""
    notes: list[str] = []
    sizes = list(options.memory_mb) or sorted({*MEMORY_SIZES_MB, place.deployed_mb})
    if place.is_this_machine and not options.memory_mb:
        beyond = [one for one in sizes if not fits_this_machine(one)]
        if beyond:
            sizes = [one for one in sizes if one not in beyond]
            notes.append(
                f"Sizes from {beyond[0]:,} MB have more vCPUs than the {available_cores()} cores of this machine,"
                f" and were left out; --stack NAME measures them on Lambda."
            )
    settings = []
    for runtime, profile in place.sample.profiles.items():
        room_mb = profile.peak_memory_mb * HEADROOM if profile and not options.memory_mb else 0.0
        small = [one for one in sizes if one < room_mb]
        if small and profile:
            notes.append(
                f"{runtime}: {', '.join(f'{one:,}' for one in small)} MB left out; the model needed"
                f" {profile.peak_memory_mb:,} MB when it was prepared."
            )
        settings += [Setting(runtime, one) for one in sizes if one not in small]
    if not settings:
        raise InputError(f"no memory size up to {sizes[-1]:,} MB has room for the model; give --memory")
    return settings, notes


def _at_most(what: Search, settings: Sequence[Setting], place: Place, usd_per_gb_s: float) -> str:
    """How much is tried, and how long it takes if no search is cut short."""
    count, total_s, usd = 0, 0.0, 0.0
    for setting in settings:
        profile = place.sample.profiles.get(setting.runtime)
        item_ms = profile.item_ms_at(setting.memory_mb / VCPU_MB) if profile else DEFAULT_ITEM_MS
        start_ms = profile.start_ms(setting.memory_mb) if profile else 0.0
        plan = what.most_invocations(item_ms)
        own_ms = 0.0 if place.is_this_machine else 5 * GET_MS
        spent_ms = start_ms + sum(times * (own_ms + size * item_ms) for size, times in plan)
        count += sum(times for _, times in plan)
        total_s += spent_ms / 1000
        usd += gb_s(spent_ms, setting.memory_mb) * usd_per_gb_s
    costs = "" if place.is_this_machine else f", which cost about {dollars(usd)}"
    return (
        f"Tries {len(settings)} settings of {place.sample.job.model.name} by at most {count} invocations{costs};"
        f" about {lasted(total_s)} of work, if all are needed."
    )
