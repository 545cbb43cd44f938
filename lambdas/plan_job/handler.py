"""PlanJob: pins items and model, claims the job, cuts its entries (fanwise.planning)."""

from functools import cache
from typing import Any

from fanwise import settings
from fanwise.items.readable import prefixes_of
from fanwise.planning import plan_job
from fanwise.planning.job_limits import JobLimits
from fanwise.pricing import Meter
from fanwise.reckoning.batching import FunctionSize
from fanwise.storage import Storage
from fanwise.telemetry import Telemetry

telemetry = Telemetry()


@cache
def _storage() -> Storage:
    return Storage.from_settings()


@telemetry.of
def lambda_handler(event: dict[str, Any], context: settings.LambdaContext) -> dict[str, Any]:
    """`{"execution", "started_at", "start": the execution's input}`; answers with the first Round."""
    meter = Meter(settings.function_memory_mb())
    answer = plan_job(
        event,
        _storage(),
        model_bucket=settings.model_bucket(),
        results_bucket=settings.results_bucket(),
        readable=prefixes_of(settings.readable()),
        runtimes=settings.runtimes(),
        size=FunctionSize(settings.predict_batch_memory_mb(), settings.predict_batch_timeout_s()),
        region=settings.region(),
        job_limits=JobLimits(settings.max_items_per_job(), settings.max_bytes_per_job()),
    )
    return answer if answer["duplicate"] else {**answer, "others": 1, "others_gb_s": meter.gb_s()}
