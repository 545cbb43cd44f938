"""Stands for PredictBatch: answers, dies or hangs, as the entry says."""

import os
import time
from typing import Any

from fanwise.storage import Storage


def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """`{"job_id", "entry"}`; a commit for each entry that did not die."""
    entry = event["entry"]
    folder = f"s3://{os.environ['FANWISE_RESULTS_BUCKET']}/jobs/{event['job_id']}"
    if entry["die"]:
        os._exit(1)
    if entry["hang"]:
        Storage.from_settings().write(f"{folder}/hangs", str(os.getpid()).encode())
        time.sleep(600)
    Storage.from_settings().write(f"{folder}/commits/{entry['entry']}.json", b"{}")
    return {"entry": entry["entry"]}
