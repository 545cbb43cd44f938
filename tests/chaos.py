"""Jobs under fault plans drawn by a seed: what each item comes to is what the plan says, and nothing is lost.

`python tests/chaos.py --virtual 5000 --real 500` is `make chaos`; a share of it runs in the ordinary tests. A run
that fails names its seed and prints its plan: `--seed N --virtual 1` is the same run again.
"""

import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from fake_model import FakeModel
from fanwise.records import job_prefix
from fanwise_cli.verification import verify_job
from fanwise_local.faults.plan import FaultPlan
from fanwise_local.faults.rules import Fault
from jobs import RESULTS, JobCloud, JobResults
from oracle import MISSING, PREDICTED, Oracle

ERRORS = ["NotFound", "UndecodableImage", "ShapeMismatch", "PredictionFailed", "NonFiniteResult"]
LATE_S = 200.0  # after which a zombie writes: HandleFailure has decided by then, with all its retries
MOST_ITEMS = 5_000

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
            if chance.random() < 0.5:
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
    return orders, chance.choice([1, 3, 8, 40, 256])


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
    cloud = JobCloud(model=FakeModel(32), seed=seed, fault_plan=plan)
    try:
        lines = (json.dumps({"id": f"n{i}", "inputs": {"x": i, "order": o}}) for i, o in enumerate(orders))
        uri = cloud.put_items("items.jsonl", "\n".join(lines).encode())
        execution = cloud.run(cloud.start({"items": uri, "batch_size": batch_size}))
        job_id = json.loads(cloud.storage.read(f"s3://{RESULTS}/executions/first.json"))["job_id"]
        wake_all(cloud)
        assert execution.error in (None, "JobFailed"), f"{execution.error}: {execution.cause}"
        befallen = Counter(cloud.befallen)
        check(cloud, job_id, expected)
        if MISSING in expected:
            cloud.fault_plan = None
            cloud.run({"resume": job_id}, "second")
            settled = [
                fate if fate != MISSING else order or PREDICTED
                for fate, order in zip(expected, orders, strict=True)
            ]
            if "die" in settled:  # how a poison ends
                settled = ["Runtime.ExitError" if fate == "die" else fate for fate in settled]
            if verify_job(cloud.storage, home_of(job_id)).lost == 0:
                check(cloud, job_id, settled)
    finally:
        cloud.close()
    return befallen, len(orders)


def wake_all(cloud: JobCloud) -> None:
    """Let whoever was taken for dead write what it has."""
    while cloud.zombies:
        cloud.wake_one()


def home_of(job_id: str) -> str:
    """The home of a job in the results bucket."""
    return f"s3://{RESULTS}/{job_prefix(job_id)}"


def check(cloud: JobCloud, job_id: str, expected: Sequence[str]) -> None:
    """What a job left behind is what was expected of each item, and the checker proves the rest."""
    found = verify_job(cloud.storage, home_of(job_id))
    assert (found.duplicated, found.unexpected, found.disagreements) == (0, 0, ()), found
    results = JobResults(cloud, job_id)
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
