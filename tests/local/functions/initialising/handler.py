"""Its init does what the variable INIT says, and notes each attempt in the environment's folder."""

import os
import tempfile
import time
from pathlib import Path
from typing import Any

NOTES = Path(tempfile.gettempdir()) / "inits"
with NOTES.open("a") as notes:
    notes.write("init\n")

what, _, value = os.environ.get("INIT", "").partition(":")
is_first = len(NOTES.read_text().splitlines()) == 1
if what == "sleep" or (what == "sleep once" and is_first):
    time.sleep(float(value))
elif what == "exit":
    os._exit(int(value))
elif what == "raise":
    raise ValueError(value)
elif what == "grow":
    held = b"x" * (int(value) * 2**20)
    time.sleep(60)


def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """How often init was begun, and the time that is left."""
    return {
        "inits": len(NOTES.read_text().splitlines()),
        "remaining_ms": context.get_remaining_time_in_millis(),
    }
