"""Jobs under fault plans drawn by a seed: what each item comes to is what the plan says, and nothing is lost.

`python tests/chaos.py` is `make chaos`; a share of it runs in the ordinary tests. Beside the fault plans
(`--virtual`, `--real`) jobs are killed (`--kills`), their files damaged (`--damages`), their disk is full
(`--full-disks`) or loses power (`--power-cuts`). A run that fails names its seed and prints its plan:
`--seed N --virtual 1`, with all other counts at 0, is the same run again.
"""

import argparse
import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from disk_chaos import damage_trial, full_disk_trial, kill_trial
from fake_model import FakeModel
from fanwise.errors import FanwiseError
from fanwise.records import execution_key, home_of
from fanwise.storage import Storage
from fanwise_cli import bundles
from fanwise_cli.verification import verify_job
from fanwise_local.clock import Clock
from fanwise_local.cloud import LocalCloud
from fanwise_local.faults.plan import FaultPlan
from fanwise_local.faults.rules import Fault
from fanwise_local.mounts import Mounts
from fanwise_local.template import Stack, read_stack, stack_root
from jobs import RESULTS, JobCloud, JobResults
from oracle import MISSING, PREDICTED, Oracle
from power_cut import Job as PowerCutJob

ERRORS = ["NotFound", "UndecodableImage", "ShapeMismatch", "PredictionFailed", "NonFiniteResult"]
IN_THREADS = 5  # one virtual job of so many has its rows made in threads, as those of images are
LATE_S = 200.0  # after which a zombie writes: HandleFailure has decided by then, with all its retries
MOST_ITEMS, MOST_ENTRIES = 5_000, 80

_PREDICT: dict[str, dict[str, Any]] = {
    "throttle": {"fault": "throttle"},
    "service error": {"fault": "error", "error": "Lambda.ServiceException"},
    "forbidden": {"fault": "error", "error": "Lambda.AccessDeniedException"},
    "delay": {"fault": "delay", "seconds": 7},
    "drop_response": {"fault": "drop_response"},
    "repeat_invocation": {"fault": "repeat_invocation"},
    "kill before work": {"fault": "kill", "when": "before work"},
    "kill before commit": {"fault": "kill", "when": "between part and commit"},
    "kill after commit": {"fault": "kill", "when": "after commit"},
    "exceed_memory": {"fault": "exceed_memory"},
    "exceed_time": {"fault": "exceed_time"},
    "write_late": {"fault": "write_late", "seconds": LATE_S},
    "items unreadable": {"fault": "store_error", "operation": "read", "key": "*items.jsonl"},
    "items cut short": {"fault": "truncate", "key": "*items.jsonl"},
    "part unwritable": {"fault": "store_error", "operation": "write", "key": "*/predictions/*"},
    "failures unwritable": {"fault": "store_error", "operation": "write", "key": "*/failures/*"},
    "slow_store": {"fault": "slow_store", "seconds": 3},
    "commit's answer lost": {"fault": "uncertain_create", "done": True},
    "commit refused": {"fault": "uncertain_create", "done": False},
}
_OTHERS: dict[str, list[dict[str, Any]]] = {
    "HandleFailure": [
        {"fault": "throttle"},
        {"fault": "error", "error": "Lambda.SdkClientException"},
        {"fault": "drop_response"},
        {"fault": "repeat_invocation"},
    ],
    "PlanJob": [
        {"fault": "throttle", "times": 4},
        {"fault": "kill", "when": "before work", "times": 2},
        {"fault": "drop_response", "times": 2},
        {"fault": "repeat_invocation"},
    ],
    "AggregateResults": [
        {"fault": "throttle", "times": 4},
        {"fault": "kill", "when": "before work", "times": 2},
        {"fault": "drop_response", "times": 2},
        {"fault": "store_error", "operation": "write", "key": "*/parts.jsonl", "times": 3},
    ],
}


# With processes a fault's second is a second: what has to be waited for is short, and comes once or twice.
_SECONDS = {"delay": 0.1, "slow_store": 0.1, "write_late": 4.0, "exceed_time": 0.5}


def draw_real_plan(seed: int) -> FaultPlan:
    """One to three rules for a job in processes, of faults that no round has to wait half a minute for."""
    chance = random.Random(f"real plan {seed}")
    names = [name for name in _PREDICT if name != "forbidden"]
    rules: list[dict[str, Any]] = []
    for name in chance.sample(names, chance.randint(1, 3)):
        rule = {**_PREDICT[name], "function": "PredictBatch", "entry": f"00000{chance.randint(0, 3)}*"}
        if rule["fault"] in _SECONDS:
            rule["seconds"] = _SECONDS[rule["fault"]]
        rules.append({**rule, "attempt": chance.choice([1, 1, 2])})
    if chance.random() < 0.3:
        function = chance.choice(list(_OTHERS))
        rules.append({**chance.choice(_OTHERS[function]), "function": function, "times": 1})
    return FaultPlan(seed=seed, rules=msgspec.convert(rules, tuple[Fault, ...]))


def draw_plan(seed: int) -> FaultPlan:
    """One to six rules, of which the oracle knows what comes."""
    chance = random.Random(f"plan {seed}")
    rules = []
    for _ in range(chance.randint(1, 6)):
        if chance.random() < 0.75:
            rule = dict(_PREDICT[chance.choice(list(_PREDICT))])
            rule["function"] = "PredictBatch"
            rule["entry"] = chance.choice(
                ["0*", "0*", f"*{chance.randint(0, 9)}", f"*{chance.randint(0, 9)}"]
            )
            rule["times"] = chance.choice([1, 1, 2, 5, 8, None])
            rule["probability"] = chance.choice([1.0, 0.5, 0.1, 0.02])
            for_ever = (rule["times"], rule["probability"]) == (None, 1.0)
            if chance.random() < 0.5 or for_ever:  # what never lets up makes 200 rounds, and no news
                rule["attempt"] = chance.randint(1, 3)
        else:
            function = chance.choice(list(_OTHERS))
            rule = {**chance.choice(_OTHERS[function]), "function": function}
            if function == "HandleFailure":
                rule |= {"times": chance.randint(1, 3), "probability": chance.choice([1.0, 0.3])}
        rules.append(rule)
    return FaultPlan(seed=seed, rules=msgspec.convert(rules, tuple[Fault, ...]))


def draw_orders(seed: int, most: int = MOST_ITEMS) -> tuple[list[str], int]:
    """What the items of a job ask of the model, and its batch size."""
    chance = random.Random(f"job {seed}")
    count = round(most ** chance.random())
    orders = [""] * count
    for index in range(count):
        if chance.random() < 0.03:
            orders[index] = chance.choice([*ERRORS, "die"])
    return orders, max(chance.choice([1, 3, 8, 40, 256]), -(-count // MOST_ENTRIES))


@dataclass
class Tally:
    """What was tried and what held, by fault."""

    tried: Counter[str] = field(default_factory=Counter)
    survived: Counter[str] = field(default_factory=Counter)
    jobs: int = 0
    items: int = 0
    failed: list[str] = field(default_factory=list)

    def note(self, befallen: Counter[str], items: int, error: str | None) -> None:
        """A job has ended."""
        self.jobs += 1
        self.items += items
        self.tried += befallen
        if error is None:
            self.survived += befallen
        else:
            self.failed.append(error)


def run_virtual_job(seed: int, most_items: int = MOST_ITEMS) -> tuple[Counter[str], int]:
    """A job under a plan, on the virtual clock; answers which faults befell it, and how many items it had.

    Raises `AssertionError` where an item came to something else than the plan says.
    """
    plan = draw_plan(seed)
    orders, batch_size = draw_orders(seed, most_items)
    expected = Oracle(orders, batch_size, plan).fates
    model = FakeModel(32)
    model.is_fetched = seed % IN_THREADS == 0
    cloud = JobCloud(model=model, seed=seed, fault_plan=plan)
    try:
        lines = (json.dumps({"id": f"n{i}", "inputs": {"x": i, "order": o}}) for i, o in enumerate(orders))
        uri = cloud.put_items("items.jsonl", "\n".join(lines).encode())
        execution = cloud.run(cloud.start({"items": uri, "batch_size": batch_size}))
        job_id = json.loads(cloud.storage.read(f"s3://{RESULTS}/executions/first.json"))["job_id"]
        wake_all(cloud)
        assert execution.error in (None, "JobFailed"), f"{execution.error}: {execution.cause}"
        befallen = Counter(cloud.befallen)
        check(cloud.storage, home_of(RESULTS, job_id), expected)
        if MISSING in expected:
            cloud.fault_plan = None
            cloud.run({"resume": job_id}, "second")
            settled = [
                fate if fate != MISSING else order or PREDICTED
                for fate, order in zip(expected, orders, strict=True)
            ]
            if "die" in settled:  # how a poison ends
                settled = ["Runtime.ExitError" if fate == "die" else fate for fate in settled]
            if verify_job(cloud.storage, home_of(RESULTS, job_id)).lost == 0:
                check(cloud.storage, home_of(RESULTS, job_id), settled)
    finally:
        cloud.close()
    return befallen, len(orders)


def wake_all(cloud: JobCloud) -> None:
    """Let whoever was taken for dead write what it has."""
    while cloud.zombies:
        cloud.wake_one()


def check(storage: Storage, home: str, expected: Sequence[str]) -> None:
    """What a job left behind is what was expected of each item, and the checker proves the rest."""
    found = verify_job(storage, home)
    assert (found.duplicated, found.unexpected, found.disagreements) == (0, 0, ()), found
    results = JobResults(storage, home)
    fates = [MISSING] * len(expected)
    for index in results.predictions:
        fates[index] = PREDICTED
    for index, row in results.failures.items():
        fates[index] = row["failure"]["error"]
    differ = [i for i, pair in enumerate(zip(fates, expected, strict=True)) if pair[0] != pair[1]]
    assert not differ, [(i, fates[i], expected[i]) for i in differ[:5]]
    assert found.lost == fates.count(MISSING)


def virtual(seeds: range, tally: Tally, most_items: int = MOST_ITEMS) -> Iterator[int]:
    """Jobs on the virtual clock, one after the other; yields each seed when it is done."""
    for seed in seeds:
        try:
            tally.note(*run_virtual_job(seed, most_items), None)
        except AssertionError as error:
            tally.note(Counter(), 0, f"seed {seed}: {error}\n{draw_plan(seed).describe()}")
        yield seed


# With processes: the deployed handlers and a small model, one cloud for all jobs, so that environments stay warm.

_BAD = {"NotJson": "{no JSON", "MissingInput": '{"inputs":{"age":1}}', "NotANumber": None}
_REAL_ITEMS = 40


class Hurried(Clock):
    """Waits a twentieth of what a retry has to wait; how long that is, is tested on the virtual clock."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds / 20)


def real_line(index: int, order: str) -> str:
    """A line of an items file for the model `tabular`, which comes to what `order` says."""
    if order in _BAD and _BAD[order] is not None:
        return str(_BAD[order])
    age = "old" if order == "NotANumber" else index
    return json.dumps({"id": f"n{index}", "inputs": {"age": age, "history": [index, 1, 2]}})


async def run_real_jobs(
    seeds: range, model: Path, folder: Path, tally: Tally, told: Callable[[Tally], None] = lambda tally: None
) -> None:
    """Jobs one after the other in one cloud, each under its own plan. `model` is a SavedModel (`tabular`)."""
    stack = read_stack(stack_root(), parameters={"PredictBatchMemoryMb": "1024"})
    (folder / "data").mkdir(parents=True)
    mounts = Mounts.of(stack, work_dir=folder / "work", folders=[folder / "data"], roots=[])
    prepared = bundles.prepare(model, folder / "cache")
    reference = bundles.publish(prepared, mounts.folder_of(stack.buckets["ModelBucket"]))
    async with LocalCloud(
        stack,
        work_dir=folder / "work",
        mounts=mounts,
        environments=2,
        clock=Hurried(),
        faults=FaultPlan(),
    ) as cloud:
        for seed in seeds:
            try:
                befallen = await _run_real_job(seed, cloud, stack, folder, reference, mounts)
                tally.note(befallen, _REAL_ITEMS, None)
            except (AssertionError, FanwiseError) as error:
                tally.note(Counter(), 0, f"real seed {seed}: {error}\n{draw_real_plan(seed).describe()}")
            told(tally)


async def _run_real_job(
    seed: int, cloud: LocalCloud, stack: Stack, folder: Path, model: str, mounts: Mounts
) -> Counter[str]:
    plan, chance = draw_real_plan(seed), random.Random(f"real job {seed}")
    orders = [chance.choice(list(_BAD)) if chance.random() < 0.1 else "" for _ in range(_REAL_ITEMS)]
    batch_size = chance.choice([10, 14, 40])
    items = folder / "data" / f"{seed}-items.jsonl"
    items.write_text("\n".join(real_line(index, order) for index, order in enumerate(orders)))
    kept = folder / f"faults-{seed}.jsonl"
    assert cloud.faults is not None
    cloud.faults.follow(plan, kept=kept)
    manifest = {"items": mounts.uri_of(items), "model": model, "batch_size": batch_size}
    execution = await cloud.settled(cloud.start_execution({"manifest": manifest}))
    assert execution.error in (None, "JobFailed"), f"{execution.error}: {execution.cause}"
    storage, results = mounts.storage(), stack.buckets["ResultsBucket"]
    record = storage.read(f"s3://{results}/{execution_key(execution.arn)}")
    home = home_of(results, json.loads(record)["job_id"])
    check(storage, home, Oracle(orders, batch_size, plan).fates)
    lines = kept.read_text().splitlines() if kept.exists() else []
    return Counter(json.loads(line)["fault"]["fault"] for line in lines)


def of_the_disk(suite: str, trial: Callable[[int, Path], str], seeds: range, tally: Tally) -> None:
    """Trials of `disk_chaos`, which answer with what befell the job; they count as its faults."""
    with tempfile.TemporaryDirectory() as folder:
        for seed in seeds:
            try:
                what = trial(seed, Path(folder))
            except Exception as error:  # however it fails
                tally.note(Counter([suite]), 0, f"{suite}, seed {seed}: {type(error).__name__}: {error}")
            else:
                tally.note(Counter([f"{suite}: {what}"]), 0, None)
            _tell_now_and_then(tally, 50)


def _power_cuts(seeds: range, tally: Tally) -> None:
    """Power cuts at drawn moments of one job."""
    with tempfile.TemporaryDirectory() as folder:
        job = PowerCutJob(Path(folder, "job"))

        def survive(seed: int, _: Path) -> str:
            job.survives(seed)
            return "at any write"

        of_the_disk("power cut", survive, seeds, tally)


def table(tally: Tally) -> str:
    """By fault: how often it befell an invocation, and how often in a job that came out as it should."""
    width = max(map(len, [*tally.tried, "fault"]))
    rows = [f"{'fault':{width}}  {'tried':>9}  {'survived':>9}"]
    rows += [f"{name:{width}}  {n:9,}  {tally.survived[name]:9,}" for name, n in tally.tried.most_common()]
    return "\n".join(rows)


def main(words: Sequence[str] | None = None) -> int:
    """`make chaos`: run, print the table, and the plans of what failed; 1 if anything did."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--virtual", type=int, default=5_000, help="jobs on the virtual clock")
    parser.add_argument("--real", type=int, default=500, help="jobs with processes")
    parser.add_argument("--kills", type=int, default=50, help="jobs whose processes are killed")
    parser.add_argument("--damages", type=int, default=500, help="jobs whose files are damaged")
    parser.add_argument("--full-disks", type=int, default=500, help="jobs whose disk fills up")
    parser.add_argument("--power-cuts", type=int, default=1_000, help="power cuts of a job")
    parser.add_argument("--seed", type=int, default=100_000, help="of the first")
    given = parser.parse_args(words)
    began_s, tally = time.monotonic(), Tally()
    for _ in virtual(range(given.seed, given.seed + given.virtual), tally):
        _tell_now_and_then(tally, 500)
    of_the_disk("damage", damage_trial, range(given.seed, given.seed + given.damages), tally)
    of_the_disk("full disk", full_disk_trial, range(given.seed, given.seed + given.full_disks), tally)
    _power_cuts(range(given.seed, given.seed + given.power_cuts), tally)
    with tempfile.TemporaryDirectory() as folder:
        if given.real or given.kills:
            model = _make_model(Path(folder))
        if given.kills:
            kills = range(given.seed, given.seed + given.kills)
            of_the_disk("kill", lambda seed, at: kill_trial(seed, at, model), kills, tally)
        if given.real:
            seeds = range(given.seed, given.seed + given.real)
            told = partial(_tell_now_and_then, every=50)
            asyncio.run(run_real_jobs(seeds, model, Path(folder, "real"), tally, told))
    print(table(tally))
    seconds = time.monotonic() - began_s
    print(
        f"{tally.jobs:,} jobs of {tally.items:,} items in {seconds:,.0f} s: {len(tally.failed)} failed;"
        f" lost 0, duplicated 0, unexpected 0 in all others"
    )
    for failed in tally.failed:
        print(failed, file=sys.stderr)
    return 1 if tally.failed else 0


def _tell_now_and_then(tally: Tally, every: int) -> None:
    if tally.jobs % every == 0:
        print(f"{tally.jobs:,} jobs, {len(tally.failed)} failed", flush=True)


def _make_model(folder: Path) -> Path:
    script = Path(__file__).with_name("keras_models.py")
    subprocess.run([sys.executable, str(script), str(folder)], check=True, capture_output=True)
    return folder / "tabular"


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
