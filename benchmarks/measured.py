"""Inside a measured process: one core, and how much memory it came to."""

import os
import resource
import sys


def pin_to_one_core() -> bool:
    """Whether this process now has one core; where that cannot be asked for, it has one thread that works."""
    if not hasattr(os, "sched_setaffinity"):
        return False
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    return True


def peak_memory_mb() -> float:
    """Of this process; what had started it was smaller, or its own peak could show here."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024**2 if sys.platform == "darwin" else peak / 1024  # bytes there, KiB elsewhere
