"""Where it was measured: what of a machine matters to a reader, and nothing that names it."""

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version

from benchmarks.results import Machine
from fanwise_local.this_machine import available_cores, processor


def this_machine() -> Machine:
    """The machine that this process runs on."""
    return Machine(
        cpu=processor(),
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


def _tensorflow_version() -> str:
    for name in ("tensorflow-cpu", "tensorflow"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "none"
