"""Become another command on so many cores: `python -m benchmarks.on_cores COUNT COMMAND …` (Linux)."""

import os
import sys

if __name__ == "__main__":
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(sys.argv[1])])
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - the benchmarks' own commands
