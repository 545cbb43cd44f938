"""Stands for PlanJob: as many entries as the start says, and no items at all."""

import json
import os
from typing import Any

from fanwise.storage import Storage


def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """`{"start": {"entries": n, "die": [entry], "hang": [entry]}}`; answers with the first round.

    Of an execution that ended, with nothing to run and all to account for.
    """
    start = event["start"]
    bucket, job_id = os.environ["FANWISE_RESULTS_BUCKET"], "job-1"
    if "detail-type" in start:
        return {"job_id": job_id, "duplicate": False, "entries": 0, "closes": True}
    work_key = f"jobs/{job_id}/work/0.jsonl"
    entries = [
        {"entry": number, "die": number in start.get("die", ()), "hang": number in start.get("hang", ())}
        for number in range(start["entries"])
    ]
    lines = "".join(json.dumps(entry) + "\n" for entry in entries)
    Storage.from_settings().write(f"s3://{bucket}/{work_key}", lines.encode())
    return {
        "job_id": job_id,
        "duplicate": False,
        "entries": len(entries),
        "wait_s": 0,
        "work_key": work_key,
        "runtime": "tensorflow",
        "max_concurrency": 10,
    }
