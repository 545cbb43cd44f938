"""What helps a job that left something: decided here, by its summary alone, for every command that says so.

| left of the job | why | what helps |
|---|---|---|
| nothing | | nothing |
| missing items | the items file changed, or its items lack an input | the items, as another job |
| | the model cannot be loaded, or rejects what it is given | another model, as another job |
| | a full disk; invocations that died | `resume`, once there is space, or memory |
| | throttling, an unreachable store, files of the model that are gone, an interruption, anything else | `resume` |
| dead letters | the process died, or an object could not be read | `replay` |
| | the model failed on the item, or its answer cannot be written | other items, or `replay` with another model |
| | the item itself: the same again with the same model | other items |

After a replay it is the last replay that counts.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from fanwise import errors
from fanwise_cli.progress import counted

_NO_ROOM_FOR_THE_MODEL = "there is no room for the model"
_MODEL_FILES = re.compile(r"ModelError: s3://")  # which a person can put back
_MOST_DIED = re.compile(r"\d+ of \d+ invocations of round \d+ died")
_OTHER_MODEL_STAGES = frozenset(("predict", "result"))


class Remedy(Enum):
    """What can help."""

    RESUME = auto()  # tries what is missing
    RESUME_WITH_SPACE = auto()
    RESUME_WITH_MEMORY = auto()
    RUN_ITEMS_ANEW = auto()  # as another job: the items are not those that were planned
    RUN_MENDED_ITEMS = auto()  # as another job: of these items none can be predicted
    RUN_OTHER_MODEL = auto()  # as another job: the model is pinned in the plan
    REPLAY = auto()  # tries the dead letters again
    MEND_DEAD_LETTERS = auto()
    REPLAY_OTHER_MODEL = auto()


_OF_DEAD_LETTERS = (Remedy.REPLAY, Remedy.MEND_DEAD_LETTERS, Remedy.REPLAY_OTHER_MODEL)


@dataclass(frozen=True)
class Advice:
    """One thing that can help, and how many of the items that the job left it can help."""

    remedy: Remedy
    items: int


@dataclass(frozen=True)
class Commands:
    """The commands for one job, to be copied; `failures` is where its dead letters are, or what prints them."""

    resume: str
    replay: str
    failures: str
    run: str  # the items as they are, as another job
    run_mended: str  # the dead letters, mended


def advise(summary: Mapping[str, Any]) -> list[Advice]:
    """What can help a job that has ended, the first first; nothing where nothing is left, or nothing can."""
    last = last_of(summary)
    items = last["items"]
    if items["missing"]:
        return [Advice(remedy_of_missing(last.get("reason")), items["missing"])]
    if items["dead_lettered"]:
        return _of_dead_letters(items["dead_lettered"], last.get("failures") or {})
    return []


def last_of(summary: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is left of a job: by its last replay, where it was replayed, else by its own summary."""
    replays = summary.get("replays")
    return replays[-1] if replays else summary


def remedy_of_missing(reason: str | None) -> Remedy:
    """What can help items that were not tried to the end, by why they were not."""
    reason = reason or ""
    error = reason.partition(": ")[0]
    if error == errors.ItemsChanged.__name__:
        return Remedy.RUN_ITEMS_ANEW
    if error == errors.MissingInput.__name__:
        return Remedy.RUN_MENDED_ITEMS
    if error == errors.StoreFull.__name__ or _NO_ROOM_FOR_THE_MODEL in reason:
        return Remedy.RESUME_WITH_SPACE
    if error == errors.ModelError.__name__ and not _MODEL_FILES.match(reason):
        return Remedy.RUN_OTHER_MODEL
    if _MOST_DIED.match(reason) or _is_death(error):
        return Remedy.RESUME_WITH_MEMORY
    return Remedy.RESUME


def can_be_resumed(remedy: Remedy) -> bool:
    """Whether a remedy is `resume`, be it once something else is done."""
    return remedy in (Remedy.RESUME, Remedy.RESUME_WITH_SPACE, Remedy.RESUME_WITH_MEMORY)


def _is_death(error: str) -> bool:
    return error.startswith("Runtime.") or error in ("Sandbox.Timedout", "Lambda.Unknown", "States.Timeout")


def _of_dead_letters(total: int, failures: Mapping[str, int]) -> list[Advice]:
    kinds = dict.fromkeys(_OF_DEAD_LETTERS, 0)
    for error, count in failures.items():
        kinds[remedy_of_dead_letter(error)] += count
    left = total - sum(kinds.values())
    if left > 0:  # nobody says why: it could help
        kinds[Remedy.REPLAY] += left
    return [Advice(remedy, count) for remedy, count in kinds.items() if count]


def remedy_of_dead_letter(error: str) -> Remedy:
    """What can help a dead letter, by its error: the same item and model come to the same again."""
    kind = getattr(errors, error, None)
    if not (isinstance(kind, type) and issubclass(kind, errors.ItemError)) or kind.stage == "fetch":
        return Remedy.REPLAY  # the process died, or the object was not to be had
    return Remedy.REPLAY_OTHER_MODEL if kind.stage in _OTHER_MODEL_STAGES else Remedy.MEND_DEAD_LETTERS


def lines_of(advice: Sequence[Advice], commands: Commands) -> dict[str, str]:
    """Lines of label → text, in which `commands` can be copied."""
    items = {one.remedy: one.items for one in advice}
    left = sum(items.values())
    lines: dict[str, str] = {}
    for remedy, count in items.items():
        if remedy not in _OF_DEAD_LETTERS:
            label, text = _of_missing(remedy, counted(count, "missing item"), commands)
            lines[label] = text
    if count := items.get(Remedy.REPLAY, 0):
        lines["to retry"] = f"{commands.replay} tries {_some(count, left)} again"
    by_model = items.get(Remedy.REPLAY_OTHER_MODEL, 0)
    if count := items.get(Remedy.MEND_DEAD_LETTERS, 0) + by_model:
        lines["to mend"] = (
            f"{_some(count, left)} will fail again as they are: mend the items in {commands.failures}, or the"
            f" files they name, and run it as an items file: {commands.run_mended}"
        )
    if by_model:
        lines["or"] = f"{commands.replay} --model MODEL tries {_some(by_model, left)} with another model"
    return lines


def _some(count: int, of: int) -> str:
    return "the dead letters" if count == of else f"{count:,} of the {of:,} dead letters"


def _of_missing(remedy: Remedy, missing: str, commands: Commands) -> tuple[str, str]:
    again = f"{commands.resume} tries the {missing} again"
    match remedy:
        case Remedy.RESUME_WITH_SPACE:
            return "to go on", f"free some space, then {again}"
        case Remedy.RESUME_WITH_MEMORY:
            return "to go on", f"{again}, once the invocations have more memory or time"
        case Remedy.RUN_ITEMS_ANEW:
            return "next", f"run the items as they are now, as another job: {commands.run}"
        case Remedy.RUN_MENDED_ITEMS:
            return "next", f"mend the items file, and run it as another job: {commands.run}"
        case Remedy.RUN_OTHER_MODEL:
            return "next", f"mend the model, and run the items with it as another job: {commands.run}"
    return "to go on", again
