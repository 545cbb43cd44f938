"""What of this machine matters to what is measured and run on it."""

import os
import platform
import time
from contextlib import suppress
from pathlib import Path

_CPU_INFO = Path("/proc/cpuinfo")


def available_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """The processor's own name, or that of its kind where it has none."""
    if _CPU_INFO.exists():
        for line in _CPU_INFO.read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def hold_to_cores(pid: int, cores: int | None) -> None:
    """Let a process use so many of the cores that this one may (Linux); None is all of them."""
    if cores is None or not hasattr(os, "sched_setaffinity"):
        return
    with suppress(ProcessLookupError):
        os.sched_setaffinity(pid, sorted(os.sched_getaffinity(0))[-cores:])


def peak_memory_mb(pid: int) -> int | None:
    """The most memory that a process has held since it began; None where that is not told."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            key, _, value = line.partition(":")
            if key == "VmHWM":
                return int(value.split()[0]) // 1024
    return None


def processor_time_s(pid: int) -> float | None:
    """What a process has had of processors so far; None where that is not told (clock_getcpuclockid(3), Linux)."""
    with suppress(OSError):
        return time.clock_gettime((~pid << 3) | 2)
    return None
