"""What a function tells of each invocation: a line in its log (JSON), and a line of metrics (EMF).

For the handlers alone: stages hand up what they did, and know neither logs nor metrics. Job, entry and attempt
are keys of every line, never dimensions: with a dimension each job would have metrics of its own, and their price.
What is told goes through `redaction`, as everywhere. Of Powertools only Logger and Metrics are used.
"""

import io
import sys
import time
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar

from aws_lambda_powertools.logging import Logger
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from fanwise import settings
from fanwise.records import Commit
from fanwise.redaction import redacted

NAMESPACE = "fanwise"
_LOADED_MS = 1.0  # a model that was kept takes less

_Context = TypeVar("_Context", bound=settings.LambdaContext)
_Handler = Callable[[dict[str, Any], _Context], dict[str, Any]]


class Telemetry:
    """One function's log and metrics. `init_ms` is what the environment's init took, where it was measured."""

    def __init__(self, init_ms: float = 0.0) -> None:
        service = settings.service()
        self._init_ms = init_ms
        self._invocations = 0
        self._logger = Logger(
            service=service,
            stream=_Stdout(),  # type: ignore[arg-type]  # a text stream, which typing.IO is not
            logger_formatter=_Formatter(
                utc=True, use_rfc3339=True, json_deserializer=_as_it_is, location=None
            ),
        )
        self._metrics = EphemeralMetrics(namespace=NAMESPACE, service=service)

    @property
    def is_cold(self) -> bool:
        """Whether this environment is at its first invocation."""
        return self._invocations == 1

    def committed(self, commit: Commit) -> None:
        """Count an entry that this invocation decided."""
        self._metrics.add_metric("EntriesCommitted", MetricUnit.Count, 1)
        self._metrics.add_metric("ItemsPredicted", MetricUnit.Count, commit.predicted)
        self._metrics.add_metric("ItemsDeadLettered", MetricUnit.Count, commit.dead_lettered)
        if commit.died is None:
            load_ms, duration_ms = commit.invocation.load_ms, commit.invocation.duration_ms
            self._metrics.add_metric("PredictTime", MetricUnit.Milliseconds, duration_ms - load_ms)
            if load_ms >= _LOADED_MS:
                self._metrics.add_metric("ModelLoadTime", MetricUnit.Milliseconds, load_ms)

    def of(self, handler: _Handler[_Context]) -> _Handler[_Context]:
        """The handler, each of whose invocations is told of, also where it raises."""

        @wraps(handler)
        def told(event: dict[str, Any], context: _Context) -> dict[str, Any]:
            started = time.monotonic()
            self._invocations += 1
            keys = {**_keys_of(event), "request_id": context.aws_request_id}
            with self._logger.append_context_keys(**keys):
                try:
                    answer = handler(event, context)
                except Exception as error:
                    # Without a traceback: the Runtime API's client writes it.
                    self._logger.error(  # noqa: TRY400
                        str(error), error=type(error).__name__, duration_ms=_ms_since(started)
                    )
                    raise
                else:
                    done = {name: value for name, value in _keys_of(answer).items() if name not in keys}
                    counts = {name: value for name, value in answer.items() if isinstance(value, int)}
                    self._logger.info("done", **done, answer=counts, duration_ms=_ms_since(started))
                    return answer
                finally:
                    self._flush(keys, _ms_since(started))

        return told

    def _flush(self, keys: Mapping[str, Any], duration_ms: float) -> None:
        """Write the invocation's metrics as one line."""
        if self.is_cold:
            self._metrics.add_metric("ColdStart", MetricUnit.Count, 1)
            duration_ms += self._init_ms
        self._metrics.add_metric("BilledDuration", MetricUnit.Milliseconds, round(duration_ms, 1))
        for name, value in keys.items():
            self._metrics.add_metadata(name, value)
        self._metrics.flush_metrics()


def _keys_of(told: Mapping[str, Any]) -> dict[str, Any]:
    """Which job, entry, attempt and execution an event or an answer is of."""
    keys = {name: told.get(name) for name in ("job_id", "execution", "round")}
    entry = told.get("entry") or told.get("probe")
    if isinstance(entry, dict):
        keys |= {"entry": entry.get("entry"), "attempt": entry.get("attempt", 1)}
    return {name: value for name, value in keys.items() if isinstance(value, str | int)}


def _ms_since(started: float) -> float:
    return round((time.monotonic() - started) * 1000, 1)


def _as_it_is(message: Any) -> Any:
    """A message is a text, also where it could be read as JSON."""
    return message


class _Formatter(LambdaPowertoolsFormatter):
    """Powertools' lines, fit to be told."""

    def serialize(self, log: Any) -> str:
        return super().serialize(_told(log))


def _told(value: Any) -> Any:
    """JSON without credentials and payloads, wherever in it they stand."""
    match value:
        case dict():
            return {name: _told(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_told(inner) for inner in value]
        case bool() | int() | float() | None:
            return value
    return redacted(str(value))


class _Stdout(io.TextIOBase):
    """What stdout is when it is written to: the Runtime API's client puts another one in its place."""

    def write(self, text: str) -> int:
        return sys.stdout.write(text)

    def flush(self) -> None:
        sys.stdout.flush()
