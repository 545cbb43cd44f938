"""Where it was measured: what of a machine matters to a reader, and nothing that names it."""

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.results import Machine

_CPU_INFO = Path("/proc/cpuinfo")


def this_machine() -> Machine:
    """The machine that this process runs on."""
    return Machine(
        cpu=_cpu_model(),
        cores=available_cores(),
        memory_gb=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3, 1),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        tensorflow=_tensorflow_version(),
    )


def kind_of(machine: Machine) -> str:
    """A name for machines of this sort, fit for a file: `2-core-intel-r-xeon-r-cpu-2-60ghz`."""
    slug = re.sub(r"[^a-z0-9]+", "-", machine.cpu.lower()).strip("-")
    return f"{machine.cores}-core-{slug or 'unknown'}"


def available_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpu_model() -> str:
    if _CPU_INFO.exists():
        for line in _CPU_INFO.read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _tensorflow_version() -> str:
    for name in ("tensorflow-cpu", "tensorflow"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "none"
