"""Scenarios to reckon with in the head: 10 ms an item, 100 ms an invocation, 2 s a cold start."""

from typing import Any

from fanwise.limits import VCPU_MB
from fanwise.pricing import prices_of
from fanwise.reckoning.batching import FunctionSize
from fanwise.reckoning.estimate import Estimate, Work, estimate
from fanwise_local.simulation import Scenario
from profiles import ON_LAMBDA, runtime_profile


def scenario(
    entries: int,
    *,
    batch_size: int = 100,
    max_concurrency: int = 1000,
    reads: int = 0,
    size_bytes: int = 0,
    timeout_s: float = 120.0,
    figures: dict[str, Any] | None = None,
    **more: Any,
) -> Scenario:
    """So many entries of 1.1 s each, if nothing else is said, and nothing left to chance."""
    work = Work(
        items=entries * batch_size,
        batch_size=batch_size,
        max_concurrency=max_concurrency,
        reads=reads,
        size_bytes=size_bytes,
    )
    given: dict[str, Any] = {
        "work": work,
        "profile": runtime_profile(**{"measured_on": ON_LAMBDA, **(figures or {})}),
        "runtime": "litert",
        "size": FunctionSize(VCPU_MB, timeout_s),
        "prices": prices_of(),
        "account_concurrency": 1000,
        "child_starts_per_s": None,
        "jitter": 0.0,
        "tail": 0.0,
    }
    return Scenario(**{**given, **more})


def estimated(of: Scenario) -> Estimate:
    """The closed forms for the same job."""
    return estimate(of.work, of.profile, runtime=of.runtime, size=of.size, prices=of.prices)
