"""A script of scripts/ as a person runs it, on an endpoint of the shipped stack with stub handlers."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from commands import Ended

SCRIPTS = Path(__file__).parents[2] / "scripts"
GUARD_S = 120


def run_script(
    name: str | Path, *words: str | Path, environment: Mapping[str, str], typed: str = ""
) -> Ended:
    """Run it to its end; `typed` is all that stdin has."""
    done = subprocess.run(
        [SCRIPTS / name, *map(str, words)],
        env=environment,
        input=typed,
        capture_output=True,
        text=True,
        check=False,
        timeout=GUARD_S,
    )
    return Ended(done.returncode, done.stdout, done.stderr)
