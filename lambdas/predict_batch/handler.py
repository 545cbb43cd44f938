"""PredictBatch: predicts one entry and commits what became of each of its items (fanwise.prediction)."""

import time

INIT_STARTED = time.monotonic()

import gc
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from fanwise import settings
from fanwise.limits import decode_threads
from fanwise.model.runtime import import_runtime
from fanwise.prediction.batch import Environment, Request, predict_batch
from fanwise.prediction.kept import Kept
from fanwise.prediction.pipeline import Pipeline
from fanwise.storage import Storage
from fanwise.telemetry import Telemetry

import_runtime(settings.runtime())
gc.collect()
gc.freeze()  # what init made stays: the collector need not look at it again
INIT_MS = (time.monotonic() - INIT_STARTED) * 1000

telemetry = Telemetry(INIT_MS)


@cache
def _environment() -> Environment:
    storage, memory_mb = Storage.from_settings(), settings.function_memory_mb()
    return Environment(
        storage=storage,
        kept=Kept(storage, Path(tempfile.gettempdir()) / "fanwise-models", memory_mb=memory_mb),
        pipeline=Pipeline(storage, threads=decode_threads(memory_mb)),
        results_bucket=settings.results_bucket(),
    )


@telemetry.of
def lambda_handler(event: dict[str, Any], context: settings.LambdaContext) -> dict[str, Any]:
    """One entry (`{"job_id", "entry"}`), a probe (`{"job_id", "probe"}`) or `{"job_id", "load_only": true}`."""
    request = Request(
        request_id=context.aws_request_id,
        started=time.monotonic(),
        time_left_s=lambda: context.get_remaining_time_in_millis() / 1000,
        init_ms=INIT_MS,
        cold=telemetry.is_cold,
        committed=telemetry.committed,
    )
    return predict_batch(event, _environment(), request)
