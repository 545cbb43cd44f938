"""Inside the measured process: one simulation, and what it takes.

`python -m benchmarks.simulated_process ITEMS BATCH_SIZE MAX_CONCURRENCY ACCOUNT_CONCURRENCY ITEM_MS` prints a
`Played`.
"""

import sys
import time

import msgspec

from fanwise.model.profile import MeasuredOn, RuntimeProfile
from fanwise.pricing import prices_of
from fanwise.reckoning.batching import DEFAULT_SIZE
from fanwise.reckoning.estimate import Work
from fanwise_cli.measuring import peak_memory_mb
from fanwise_local.simulation import Scenario, simulate

LINE_BYTES = 100
# Of MobileNetV2 on LiteRT, but for the time an item, which a case says.
MODEL = RuntimeProfile(
    measured_on=MeasuredOn(
        kind="machine", name="made up", cores=1, system="Linux x86_64", fanwise="", at="2026-08-01T00:00:00Z"
    ),
    init_ms=500,
    load_ms=300,
    invocation_ms=100,
    mini_batch=8,
    compute_ms={1: 10.0},
    decode_ms=0,
    peak_memory_mb=200,
)


class Played(msgspec.Struct, frozen=True, kw_only=True):
    """A simulation, and what playing it took: seconds and memory of this machine."""

    entries: int
    simulated_s: float
    rounds: int
    throttles: int
    predicted: int
    cost_usd: float
    real_s: float
    peak_memory_mb: int


def scenario_of(
    items: int, batch_size: int, max_concurrency: int, account_concurrency: int, item_ms: float
) -> Scenario:
    """Such a job of the made-up model."""
    profile = msgspec.structs.replace(MODEL, compute_ms={1: item_ms})
    return Scenario(
        work=Work(
            items=items,
            batch_size=batch_size,
            max_concurrency=max_concurrency,
            size_bytes=items * LINE_BYTES,
        ),
        profile=profile,
        runtime="litert",
        size=DEFAULT_SIZE,
        prices=prices_of(),
        account_concurrency=account_concurrency,
    )


def main(arguments: list[str]) -> None:
    """Play it, and print."""
    items, batch_size, max_concurrency, account_concurrency = map(int, arguments[:4])
    scenario = scenario_of(items, batch_size, max_concurrency, account_concurrency, float(arguments[4]))
    began = time.monotonic()
    told = simulate(scenario)
    played = Played(
        entries=told.entries,
        simulated_s=told.duration_s,
        rounds=len(told.rounds),
        throttles=told.throttles,
        predicted=told.items.predicted,
        cost_usd=told.cost_usd["total"],
        real_s=round(time.monotonic() - began, 2),
        peak_memory_mb=peak_memory_mb(),
    )
    sys.stdout.write(msgspec.json.encode(played).decode() + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
