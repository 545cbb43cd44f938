"""What is offered to do about what a job left: `resume` and `replay` only where they can help."""

from typing import Any

import pytest

from fanwise import errors
from fanwise.errors import ItemError
from fanwise_cli.advice import Advice, Commands, Remedy, advise, lines_of, remedy_of_dead_letter

COMMANDS = Commands("RESUME", "REPLAY", "FAILURES", "RUN", "RUN MENDED")
RESUME, REPLAY = Remedy.RESUME, Remedy.REPLAY
MEND, MODEL = Remedy.MEND_DEAD_LETTERS, Remedy.REPLAY_OTHER_MODEL


def ended(
    *, missing: int = 0, failures: dict[str, int] | None = None, reason: str | None = None, **more: Any
) -> dict[str, Any]:
    """As much of a summary as advice goes by."""
    failures = failures or {}
    dead = sum(failures.values())
    items = {"total": 10, "predicted": 10 - missing - dead, "dead_lettered": dead, "missing": missing}
    return {"status": "?", "reason": reason, "items": items, "failures": failures, **more}


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        (None, Remedy.RESUME),
        ("ExecutionAborted: the execution was stopped: stopped with fanwise stop", Remedy.RESUME),
        ("ExecutionTimedOut: the execution ran out of time", Remedy.RESUME),
        ("ExecutionFailed: the execution failed: States.DataLimitExceeded", Remedy.RESUME),
        (
            "after 4 rounds 2 entries are unfinished: StoreUnavailable: 503 Slow Down (2 entries)",
            Remedy.RESUME,
        ),
        (
            "after 4 rounds 2 entries are unfinished: Lambda.TooManyRequestsException: Rate exceeded",
            Remedy.RESUME,
        ),
        (
            "StoreFull: s3://results/jobs/x: No space left on device; free some space",
            Remedy.RESUME_WITH_SPACE,
        ),
        ("ModelError: there is no room for the model in /tmp: No space left", Remedy.RESUME_WITH_SPACE),
        ("12 of 12 invocations of round 1 died; give PredictBatch more memory", Remedy.RESUME_WITH_MEMORY),
        ("Runtime.OutOfMemory: no cause given", Remedy.RESUME_WITH_MEMORY),
        ("Sandbox.Timedout: Task timed out after 120.00 seconds", Remedy.RESUME_WITH_MEMORY),
        (
            "ItemsChanged: s3://in/items.jsonl is no longer the version that was planned",
            Remedy.RUN_ITEMS_ANEW,
        ),
        ("MissingInput: none of 64 items drawn has a value for 'x'", Remedy.RUN_MENDED_ITEMS),
        ("ModelError: model digits@3: no signature 'x'", Remedy.RUN_OTHER_MODEL),
        ("ModelError: the model rejects every one of 64 items", Remedy.RUN_OTHER_MODEL),
        ("ModelError: s3://models/models/digits/3/model.tflite: no such object", Remedy.RESUME),
    ],
)
def test_missing_items_by_why_they_are_missing(reason: str | None, remedy: Remedy) -> None:
    summary = ended(missing=4, failures={"NotFound": 2}, reason=reason)
    assert advise(summary) == [Advice(remedy, 4)]
    offered = " ".join(lines_of(advise(summary), COMMANDS).values())
    assert ("RESUME" in offered) == remedy.name.startswith("RESUME")
    assert "REPLAY" not in offered  # not before every item was tried to its end


@pytest.mark.parametrize(
    ("failures", "advice"),
    [
        ({}, []),
        ({"NotFound": 2}, [(REPLAY, 2)]),
        ({"Forbidden": 1, "UnreadableObject": 1, "Sandbox.Timedout": 2}, [(REPLAY, 4)]),
        ({"Runtime.OutOfMemory": 1}, [(REPLAY, 1)]),
        ({"UndecodableImage": 3}, [(MEND, 3)]),
        ({"NotANumber": 3, "MissingInput": 2}, [(MEND, 5)]),
        ({"NonFiniteResult": 3}, [(MODEL, 3)]),
        ({"NotFound": 1, "NotJson": 2, "PredictionFailed": 3}, [(REPLAY, 1), (MEND, 2), (MODEL, 3)]),
    ],
)
def test_dead_letters_by_their_errors(failures: dict[str, int], advice: list[tuple[Remedy, int]]) -> None:
    assert advise(ended(failures=failures)) == [Advice(*one) for one in advice]


def test_what_is_the_items_own_never_changes_and_what_is_outside_of_it_may() -> None:
    names = [
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, ItemError) and kind is not ItemError
    ]
    assert len(names) > 20
    replayed = {name for name in names if remedy_of_dead_letter(name) is REPLAY}
    assert replayed == {"NotFound", "Forbidden", "UnreadableObject"}
    assert {name for name in names if remedy_of_dead_letter(name) is MODEL} == {
        "PredictionFailed",
        "NonFiniteResult",
        "NotUtf8Result",
        "ResultShapeMismatch",
        "ResultTooLarge",
    }
    for death in (
        "Sandbox.Timedout",
        "Runtime.ExitError",
        "Lambda.Unknown",
        "States.Timeout",
        "FanwiseError",
    ):
        assert remedy_of_dead_letter(death) is REPLAY


def test_after_a_replay_the_last_one_counts() -> None:
    done = {"job_id": "r1", "status": "SUCCEEDED", **ended()}
    left = {"job_id": "r2", "status": "FAILED", **ended(failures={"NotJson": 1})}
    stopped = {"job_id": "r2", "status": "FAILED", **ended(missing=1, reason="ItemsChanged: it is")}
    old = {"job_id": "r2", "status": "FAILED", "items": {"missing": 0, "dead_lettered": 3}}
    parent = ended(failures={"NotFound": 2})
    assert advise({**parent, "replays": []}) == [Advice(REPLAY, 2)]
    assert advise({**parent, "replays": [done]}) == []
    assert advise({**parent, "replays": [done, left]}) == [Advice(MEND, 1)]
    assert advise({**parent, "replays": [stopped]}) == [Advice(Remedy.RUN_ITEMS_ANEW, 1)]
    assert advise({**parent, "replays": [old]}) == [Advice(REPLAY, 3)]  # by an earlier version


def test_the_words() -> None:
    def worded(**left: Any) -> dict[str, str]:
        return lines_of(advise(ended(**left)), COMMANDS)

    assert worded() == {}
    assert worded(missing=1) == {"to go on": "RESUME tries the 1 missing item again"}
    assert worded(missing=2, reason="StoreFull: full") == {
        "to go on": "free some space, then RESUME tries the 2 missing items again"
    }
    assert worded(failures={"NotFound": 2}) == {"to retry": "REPLAY tries the dead letters again"}
    assert worded(failures={"NotJson": 2}) == {
        "to mend": "the dead letters will fail again as they are: mend the items in FAILURES, or the files they"
        " name, and run it as an items file: RUN MENDED"
    }
    assert worded(failures={"NotFound": 1, "NotJson": 1, "NonFiniteResult": 2}) == {
        "to retry": "REPLAY tries 1 of the 4 dead letters again",
        "to mend": "3 of the 4 dead letters will fail again as they are: mend the items in FAILURES, or the files"
        " they name, and run it as an items file: RUN MENDED",
        "or": "REPLAY --model MODEL tries 2 of the 4 dead letters with another model",
    }
