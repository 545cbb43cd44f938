"""AggregateResults: from the commits to the next round's work, or to the verdict (fanwise.aggregation)."""

from functools import cache
from typing import Any

from fanwise import settings
from fanwise.aggregation import aggregate_results
from fanwise.pricing import Meter
from fanwise.storage import Storage
from fanwise.telemetry import Telemetry

telemetry = Telemetry()


@cache
def _storage() -> Storage:
    return Storage.from_settings()


@telemetry.of
def lambda_handler(event: dict[str, Any], context: settings.LambdaContext) -> dict[str, Any]:
    """The Round that has run, with `map_run` or `stop`; answers with the next one."""
    return aggregate_results(
        event,
        _storage(),
        results_bucket=settings.results_bucket(),
        memory_mb=settings.predict_batch_memory_mb(),
        region=settings.region(),
        meter=Meter(settings.function_memory_mb()),
    )
