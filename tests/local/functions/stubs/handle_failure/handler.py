"""Stands for HandleFailure: notes the error that it was told."""

import json
import os
from typing import Any

from fanwise.storage import Storage


def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """`{"job_id", "entry", "failure"}`; the failure is kept beside the commits."""
    folder = f"s3://{os.environ['FANWISE_RESULTS_BUCKET']}/jobs/{event['job_id']}"
    number = event["entry"]["entry"]
    Storage.from_settings().write(f"{folder}/failures/{number}.json", json.dumps(event["failure"]).encode())
    return {"entry": number}
