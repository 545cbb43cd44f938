"""Profiles whose figures a test can reckon with in its head."""

from typing import Any

from fanwise.model.profile import MeasuredOn, Profile, RuntimeProfile

MEASURED_ON = MeasuredOn(
    kind="machine",
    name="Test CPU",
    cores=2,
    system="Linux x86_64",
    fanwise="0.1.0",
    at="2026-08-01T00:00:00.000Z",
)

ON_LAMBDA = MeasuredOn(
    kind="lambda",
    name="us-east-1",
    cores=1,
    system="Linux x86_64",
    fanwise="0.1.0",
    at="2026-08-01T00:00:00.000Z",
    job_id="digits-1",
    memory_mb=1769,
)


def runtime_profile(**figures: Any) -> RuntimeProfile:
    """10 ms an item at one vCPU, 5 at two, in mini-batches of 10; a cold start of 2 s; 100 ms an invocation."""
    given: dict[str, Any] = {
        "measured_on": MEASURED_ON,
        "init_ms": 1500,
        "load_ms": 500,
        "invocation_ms": 100,
        "mini_batch": 10,
        "compute_ms": {1: 10, 2: 5},
        "decode_ms": 0,
        "peak_memory_mb": 400,
    }
    return RuntimeProfile(**{**given, **figures})


def profile(**figures: Any) -> Profile:
    """The same, of LiteRT alone."""
    return Profile(runtimes={"litert": runtime_profile(**figures)})
