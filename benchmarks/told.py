"""What a contender says of itself when it is done: JSON on stdout, and its scores as a file.

Imported by programs of two environments, ours and the peers': the standard library and numpy, nothing else.
Times are `time.monotonic()`, which all processes of a machine share.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float32]
Ramp = tuple[float, float, int]  # seconds from, seconds to, items done evenly in between


def follow_each_other(started_s: float, ends: list[tuple[float, int]]) -> list[Ramp]:
    """The ramps of mini-batches done one after the other, of which the first began at `started_s`."""
    starts = [started_s, *(ended_s for ended_s, _ in ends)]
    return [(start_s, ended_s, count) for start_s, (ended_s, count) in zip(starts, ends, strict=False)]


def tell(ramps: list[Ramp], scores: Scores, scores_path: Path, **more: Any) -> None:
    """Say when which items were done; the last of them is the end of the whole. `scores`: (items, classes)."""
    sys.stdout.write(json.dumps({"ramps": ramps, **more}))
    sys.stdout.flush()
    np.save(scores_path, scores.astype(np.float32, copy=False))
