"""Inside a fresh process: an execution environment of PredictBatch, from nothing to its first answer.

`python -m benchmarks.cold_environment OUT JOB_ID ITEMS_FOLDER FUNCTION`: the job that OUT holds, whose first entry
is predicted as a probe is, without a commit. Prints the seconds, and those of the init phase among them.
"""

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.errors import BenchmarkError
from fanwise_local.functions import FunctionService
from fanwise_local.mounts import Mounts
from fanwise_local.template import read_stack, stack_root


async def measure(out: Path, job_id: str, items_folder: Path, logical_id: str, work_dir: Path) -> None:
    """Raises `BenchmarkError` if the function answers with an error."""
    stack = read_stack(stack_root())
    mounts = Mounts.of(stack, work_dir=out / ".fanwise", folders=[items_folder], roots=())
    (work,) = out.glob(f".fanwise/buckets/*results*/jobs/{job_id}/work/0.jsonl")
    event = {"job_id": job_id, "probe": json.loads(work.read_bytes().splitlines()[0])}
    functions = FunctionService(
        stack.functions, environments=1, extra_environment=mounts.environment(), work_dir=work_dir
    )
    await functions.start()
    try:
        started_s = time.monotonic()
        result = await functions.invoke(stack.functions[logical_id].arn, event)
        took_s = time.monotonic() - started_s
    finally:
        await functions.close()
    if result.fault is not None or json.loads(result.payload).get("failed") != 0:
        raise BenchmarkError(f"{logical_id} answered {result.fault or result.payload.decode()}")
    sys.stdout.write(json.dumps({"seconds": took_s, "init_s": result.init_ms / 1000}))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="cold-") as folder:
        words = sys.argv[1:]
        asyncio.run(measure(Path(words[0]), words[1], Path(words[2]), words[3], Path(folder)))
