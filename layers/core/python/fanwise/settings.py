"""What a function is told by its environment: read here, when used, never at import."""

import json
import os
from pathlib import Path
from typing import Protocol

import msgspec

from fanwise.errors import InputError

MODEL_BUCKET = "FANWISE_MODEL_BUCKET"
RESULTS_BUCKET = "FANWISE_RESULTS_BUCKET"
PREDICT_BATCH_TIMEOUT_S = "FANWISE_PREDICT_BATCH_TIMEOUT_S"
PREDICT_BATCH_MEMORY_MB = "FANWISE_PREDICT_BATCH_MEMORY_MB"
MOUNTS = "FANWISE_MOUNTS"
CONTENTS = "FANWISE_CONTENTS"
READABLE = "FANWISE_READABLE"
RUNTIME = "FANWISE_RUNTIME"
RUNTIMES = "FANWISE_RUNTIMES"
MAX_ITEMS_PER_JOB = "FANWISE_MAX_ITEMS_PER_JOB"
MAX_BYTES_PER_JOB = "FANWISE_MAX_BYTES_PER_JOB"
FUNCTION_MEMORY_MB = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"
FUNCTION_NAME = "AWS_LAMBDA_FUNCTION_NAME"
REGION = "AWS_REGION"
SERVICE = "POWERTOOLS_SERVICE_NAME"


class LambdaContext(Protocol):
    """What a handler uses of the context object (python-context)."""

    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the function times out."""


class Mount(msgspec.Struct, frozen=True):
    """A folder that stands for a bucket, on a laptop."""

    path: str
    writable: bool = False


def _required(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise InputError(f"environment variable {name} is not set; the template sets it for each function")
    return value


def model_bucket() -> str:
    """The bucket that published model bundles lie in."""
    return _required(MODEL_BUCKET)


def results_bucket() -> str:
    """The bucket that jobs are kept in."""
    return _required(RESULTS_BUCKET)


def readable() -> tuple[str, ...]:
    """S3 ARNs of the objects that items may point at (`fanwise.items.readable`); parts left empty are skipped."""
    return tuple(arn for part in _required(READABLE).split(",") if (arn := part.strip()))


def runtime() -> str:
    """The runtime that this packaging of PredictBatch has."""
    return _required(RUNTIME)


def runtimes() -> tuple[str, ...]:
    """The runtimes that the stack has a packaging of PredictBatch for."""
    return tuple(_required(RUNTIMES).split(","))


def predict_batch_timeout_s() -> float:
    """The timeout of PredictBatch, which a death is billed to."""
    return float(_required(PREDICT_BATCH_TIMEOUT_S))


def predict_batch_memory_mb() -> int:
    """The memory size of PredictBatch, which its cost is reckoned with."""
    return int(_required(PREDICT_BATCH_MEMORY_MB))


def max_items_per_job() -> int:
    """The most items that a job may have; 0 for no limit, as with `run`: it is nobody else's machine."""
    return 0 if mounts() else int(os.environ.get(MAX_ITEMS_PER_JOB) or 0)


def max_bytes_per_job() -> int:
    """The most bytes that a job's items file, or the files of its folder, may have; 0 for no limit, as above."""
    return 0 if mounts() else int(os.environ.get(MAX_BYTES_PER_JOB) or 0)


def function_memory_mb() -> int:
    """The memory size of the function this process runs, as Lambda tells it; 1,769 MB outside of one."""
    return int(os.environ.get(FUNCTION_MEMORY_MB, "1769"))


def region() -> str | None:
    """The Region that this function runs in, as Lambda tells it; None outside of one."""
    return os.environ.get(REGION) or None


def service() -> str:
    """What this function is called in logs and metrics; by default its name, as Lambda tells it."""
    return os.environ.get(SERVICE) or os.environ.get(FUNCTION_NAME) or "fanwise"


def mounts() -> dict[str, Mount]:
    """Buckets that are folders of this machine; empty on AWS."""
    text = os.environ.get(MOUNTS, "")
    return msgspec.convert(json.loads(text), dict[str, Mount]) if text else {}


def contents_folder() -> Path | None:
    """Where a job on a laptop remembers what its files hold (`fanwise.contents`); None on AWS."""
    path = os.environ.get(CONTENTS, "")
    return Path(path) if path else None
