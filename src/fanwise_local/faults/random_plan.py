"""Fault plans out of a seed: those that a job outlasts as if nothing had happened, and those with any fault.

A job outlasts what its retries outlast: Step Functions tries PlanJob, PredictBatch and AggregateResults again up
to six times (after a death of PlanJob or AggregateResults twice) and HandleFailure four times, so no rule reaches
further than that, and the next try is left alone. A death of PredictBatch is outlasted only after its commit:
before it the entry is cut, and an item that is alone in its entry becomes a dead letter.
"""

import random
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from fanwise_local.faults.plan import FaultPlan
from fanwise_local.faults.rules import Fault

FUNCTIONS = ("PlanJob", "PredictBatch", "HandleFailure", "AggregateResults")
MOST_RULES = 6
RETRIES = 4  # of HandleFailure, which has the fewest (statemachine/batch_inference.asl.json)
RETRIES_OF_DEATHS = 2  # of PlanJob and AggregateResults

_Fields = dict[str, Any]
_OPERATIONS = ("head", "read", "write", "create", "list", "delete", "*")
_RETRIED = ("Lambda.ServiceException", "Lambda.AWSLambdaException", "Lambda.ClientExecutionTimeoutException")


def random_plan(seed: int, *, outlasted: bool = True) -> FaultPlan:
    """One to six rules for the shipped functions, the same for the same seed.

    With `outlasted` every item comes to what it would have come to without the plan; else any fault may befall
    anything, and for ever.
    """
    chance = random.Random(seed)
    make = _outlasted if outlasted else _any
    rules = [make(chance) for _ in range(chance.randint(1, MOST_RULES))]
    return FaultPlan(seed=seed, rules=msgspec.convert(rules, tuple[Fault, ...]))


def _seconds(chance: random.Random, most: float) -> float:
    return round(chance.uniform(0.05, most), 2)


def _hit(chance: random.Random) -> _Fields:
    """Which operations a store fault hits."""
    return {
        "key": chance.choice(("*", "*", "*/commits/*", "*.jsonl", "*/jobs/*")),
        "count": chance.choice((None, 1, 1, 3)),
    }


_FIELDS: Mapping[str, Callable[[random.Random], _Fields]] = {
    "throttle": lambda _: {},
    "error": lambda chance: {"error": chance.choice(_RETRIED)},
    "delay": lambda chance: {"seconds": _seconds(chance, 0.5)},
    "drop_response": lambda _: {},
    "repeat_invocation": lambda _: {},
    "repeat_response": lambda _: {},
    "store_error": lambda chance: {**_hit(chance), "operation": chance.choice(_OPERATIONS)},
    "slow_store": lambda chance: {"seconds": _seconds(chance, 0.2), **_hit(chance)},
    "truncate": _hit,
    "uncertain_create": lambda chance: {**_hit(chance), "done": chance.random() < 0.5},
    "kill": lambda chance: {
        "when": chance.choice(("before work", "between part and commit", "after commit"))
    },
    "exceed_memory": lambda _: {},
    "exceed_time": lambda chance: {"seconds": _seconds(chance, 1)},
    "write_late": lambda chance: {"seconds": _seconds(chance, 2)},
}
_STORE_FAULTS = ("store_error", "slow_store", "truncate", "uncertain_create")
_OUTLASTED = [name for name in _FIELDS if name not in ("exceed_memory", "exceed_time", "write_late")]


def _any(chance: random.Random) -> _Fields:
    fault = chance.choice(list(_FIELDS))
    fields = _FIELDS[fault](chance)
    if fault == "store_error" and fields["operation"] in ("write", "create", "*") and chance.random() < 0.5:
        fields["error"] = "disk full"
    return {
        "fault": fault,
        **fields,
        "function": chance.choice((*FUNCTIONS, "PredictBatch", "*")),
        **_some_entries(chance),
        "probability": chance.choice((1.0, 0.5, 0.1)),
        "times": chance.choice((1, 1, 2, 4, None)),
        "skip": chance.choice((0, 0, 1)),
    }


def _outlasted(chance: random.Random) -> _Fields:
    fault = chance.choice(_OUTLASTED)
    fields = {"fault": fault, **_FIELDS[fault](chance), "function": chance.choice(FUNCTIONS)}
    reach = RETRIES
    if fault == "kill" and fields["function"] in ("PlanJob", "AggregateResults"):
        fields["when"], reach = "before work", RETRIES_OF_DEATHS
    elif fault == "kill":
        fields["when"] = "after commit"
    if fields["function"] == "PredictBatch":
        fields |= _some_entries(chance)
        if fault in _STORE_FAULTS:
            # Tried again, an entry whose objects are not to be had is taken apart, and in the end given up.
            fields["attempt"] = 1
    times = chance.randint(1, reach)
    return {
        **fields,
        "probability": chance.choice((1.0, 1.0, 0.5)),
        "times": times,
        "skip": chance.randint(0, reach - times),
    }


def _some_entries(chance: random.Random) -> _Fields:
    """All invocations, or those of about a tenth of the entries."""
    return chance.choice(({}, {"entry": f"*{chance.randint(0, 9)}"}))
