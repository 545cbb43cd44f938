"""PredictBatch: predicts one entry and commits what became of each of its items (fanwise.prediction)."""

import time

INIT_STARTED = time.monotonic()

import gc  # noqa: E402
import tempfile  # noqa: E402
from functools import cache  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from fanwise import settings  # noqa: E402
from fanwise.model.runtime import import_runtime  # noqa: E402
from fanwise.prediction.batch import Environment, Request, predict_batch  # noqa: E402
from fanwise.prediction.kept import Kept  # noqa: E402
from fanwise.prediction.pipeline import Pipeline, decode_threads  # noqa: E402
from fanwise.storage import Storage  # noqa: E402

import_runtime("tensorflow")
gc.collect()
gc.freeze()  # what init made stays: the collector need not look at it again
INIT_MS = (time.monotonic() - INIT_STARTED) * 1000

_invocations = 0


@cache
def _environment() -> Environment:
    storage, memory_mb = Storage.from_settings(), settings.function_memory_mb()
    return Environment(
        storage=storage,
        kept=Kept(storage, Path(tempfile.gettempdir()) / "fanwise-models", memory_mb=memory_mb),
        pipeline=Pipeline(storage, threads=decode_threads(memory_mb)),
        results_bucket=settings.results_bucket(),
    )


def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """One entry (`{"job_id", "entry"}`), a probe (`{"job_id", "probe"}`) or `{"job_id", "load_only": true}`."""
    global _invocations  # noqa: PLW0603 - an execution environment's own count
    _invocations += 1
    request = Request(
        request_id=context.aws_request_id,
        started=time.monotonic(),
        time_left_s=lambda: context.get_remaining_time_in_millis() / 1000,
        init_ms=INIT_MS,
        cold=_invocations == 1,
    )
    return predict_batch(event, _environment(), request)
