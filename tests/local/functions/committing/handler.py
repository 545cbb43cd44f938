"""Does what PredictBatch does to the store, and nothing else: reads its item, writes a part, decides the entry.

The item says `append` what each invocation leaves in a file beside it, so that a test sees how often it ran.
"""

import os
from typing import Any

from fanwise.storage import Storage


def lambda_handler(event: dict[str, Any], context: Any) -> Any:
    """`{"entry": {"entry", "attempt"}, …}`; answers with the text of the item, the winner's id and its own."""
    storage, name = Storage.from_settings(), event["entry"]["entry"]
    with open(event["runs"], "a") as runs:
        runs.write(f"{os.getpid()}\n")
    text = storage.read("s3://results/items/1.txt").decode()
    mine = context.aws_request_id
    storage.write(f"s3://results/parts/{name}-{mine}.txt", text.encode())
    winner = storage.create(f"s3://results/jobs/1/commits/{name}.json", mine.encode()).decode()
    return {"text": text, "winner": winner, "mine": mine, "pid": os.getpid()}
