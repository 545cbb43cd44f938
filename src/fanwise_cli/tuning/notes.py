"""What a reader of the figures has to know of how they came about."""

from collections.abc import Sequence

from fanwise.limits import VCPU_MB
from fanwise.reckoning.batching import GET_MS
from fanwise.reckoning.estimate import Work
from fanwise_cli.measuring import ASSUMED_INVOCATION_MS
from fanwise_cli.tuning.place import Place
from fanwise_cli.tuning.trials import Searched

NOISY = 0.25  # invocations of one kind that are further apart, as a share, tell less than the settings differ


def failures(found: Sequence[Searched]) -> list[str]:
    """What did not work, and why."""
    return [
        f"{one.setting}, {bad.batch_size:,} items a batch: {bad.failed}"
        for one in found
        for bad in one.measured
        if bad.failed is not None
    ]


def what_happened(found: Sequence[Searched], place: Place, work: Work) -> list[str]:
    """What a reader has to know of how the figures came about."""
    notes = [f"{failure}; larger batches were not tried there." for failure in failures(found)]
    ends: dict[str, list[str]] = {}
    for one in found:
        if one.worked and len(one.worked) == len(one.measured) and one.ended != "as asked for":
            ends.setdefault(f"up to {one.worked[-1].batch_size:,} items a batch: {one.ended}", []).append(
                str(one.setting)
            )
    total = sum(len(names) for names in ends.values())
    for end, names in ends.items():
        notes.append(f"Tried {end}{'' if len(names) == total else ' (' + ', '.join(names) + ')'}.")
    dead = max(
        (trial.dead_lettered for one in found for batch in one.measured for trial in batch.trials), default=0
    )
    if dead:
        notes.append(f"Up to {dead:,} items of a batch were dead letters; a sample without them tells more.")
    spread = max((one.spread for searched in found for one in searched.worked), default=0.0)
    if spread > 0.25:
        notes.append(
            f"Invocations of one kind differed by up to {spread:.0%}: differences below that say little."
        )
    if place.is_this_machine:
        reads = f", and {GET_MS:.0f} ms for each object that an item points at" if work.reads else ""
        notes.append(
            f"Measured on {place.headline}, a core for a vCPU ({VCPU_MB:,} MB), not on Lambda;"
            f" reckoned with {ASSUMED_INVOCATION_MS:.0f} ms an invocation for requests to S3{reads}."
        )
    return notes
