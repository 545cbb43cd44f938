"""What RecomputeItems answered: its counts, or why some items could not be predicted again."""

from collections.abc import Mapping
from typing import Any

import msgspec

from fanwise.aggregation.stopping import message_of
from fanwise.recomputation import Recomputed


def recomputed_of(event: Mapping[str, Any]) -> dict[str, Any] | None:
    """`recomputed` of summary.json; None where the job did not ask for it, or did not come to it."""
    answer = event.get("recomputed")
    if answer is None:
        return None
    if "Payload" not in answer:
        return {
            "items": 0,
            "agreed": 0,
            "reason": f"{answer.get('Error')}: {message_of(answer.get('Cause'))}",
        }
    described: dict[str, Any] = msgspec.to_builtins(msgspec.convert(answer["Payload"], Recomputed))
    return {**described, "reason": None}


def difference_in(recomputed: Mapping[str, Any] | None) -> str | None:
    """Why a job whose predictions come out otherwise has FAILED; None where they do not."""
    if recomputed is None or recomputed["agreed"] == recomputed["items"]:
        return None
    first = recomputed["differ"][0]
    return (
        f"{recomputed['items'] - recomputed['agreed']} of {recomputed['items']} items come out otherwise when they"
        f" are predicted again alone; {first['file']}, line {first['line']} {first['why']}"
    )
