"""Inside a measured process: one core."""

import os


def pin_to_one_core() -> bool:
    """Whether this process now has one core; where that cannot be asked for, it has one thread that works."""
    if not hasattr(os, "sched_setaffinity"):
        return False
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    return True
