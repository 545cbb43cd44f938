"""HandleFailure: accounts for an entry whose invocation died, and cuts it (fanwise.failures)."""

from functools import cache
from typing import Any

from fanwise import settings
from fanwise.failures import handle_failure
from fanwise.pricing import Meter
from fanwise.storage import Storage
from fanwise.telemetry import Telemetry

telemetry = Telemetry()


@cache
def _storage() -> Storage:
    return Storage.from_settings()


@telemetry.of
def lambda_handler(event: dict[str, Any], context: settings.LambdaContext) -> dict[str, Any]:
    """`{"job_id", "entry", "failure": {"Error", "Cause"}}`, as PredictBatch's Catch hands it on."""
    return handle_failure(
        event,
        _storage(),
        results_bucket=settings.results_bucket(),
        timeout_s=settings.predict_batch_timeout_s(),
        request_id=context.aws_request_id,
        committed=telemetry.committed,
        meter=Meter(settings.function_memory_mb()),
    )
