"""When another round would not help, and why."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from fanwise import limits
from fanwise.aggregation.accounting import Accounted
from fanwise.errors import message_of_cause
from fanwise.records import Job, Round
from fanwise.redaction import redacted
from fanwise.storage import Storage

FINAL_ERRORS = ("ModelError", "ItemsChanged", "StoreFull")  # of children: no further round would go better
_FAILED_ROWS_BYTES = 1024 * 1024  # of the ResultWriter's FAILED files, to say why entries are unfinished
_MAX_MESSAGE_CHARACTERS = 500
_BETWEEN_ROWS = " \t\r\n,[]"
_row_decoder = json.JSONDecoder()


def reason_to_stop(
    event: Mapping[str, Any], before: Round, after: Accounted, job: Job, storage: Storage
) -> str | None:
    """Why no further round may run although work is left; None while one may."""
    if before.stop is not None:
        return f"{before.stop.get('Error')}: {message_of(before.stop.get('Cause'))}"
    errors = _errors_of_children(event, storage) if after.unfinished else Counter()
    final = next((text for text in errors if text.startswith(tuple(f"{e}: " for e in FINAL_ERRORS))), None)
    if final:
        return final
    if _most_died(after.entries, after.died - job.suspects):
        return (
            f"{after.died} of {after.entries} invocations of round {before.round} died;"
            " give PredictBatch more memory or a longer timeout, or look at the model"
        )
    rounds = before.round + 1 - before.first_round
    last = after.stalled >= limits.MAX_STALLED_ROUNDS or rounds >= limits.MAX_ROUNDS
    if last and after.next_entries:
        why = (
            "; ".join(f"{text} ({n} entries)" for text, n in errors.most_common(3)) or "no error was reported"
        )
        return f"after {before.round + 1} rounds {len(after.next_entries)} entries are unfinished: {why}"
    return None


def _most_died(entries: int, died: int) -> bool:
    """Whether cutting on would only find what is already clear: it is not single items that kill.

    A few entries may die together by chance, so the rule asks for more than half of eight or more, or for all
    of four or more (one entry, cut in four, that dies in every part). `died` are those that no suspect of a replay
    may have killed.
    """
    if entries >= 8:
        return died * 2 > entries
    return entries >= limits.CUT_INTO and died == entries


def _errors_of_children(event: Mapping[str, Any], storage: Storage) -> Counter[str]:
    """Why children failed, `Error: message` → count, from the first rows of the ResultWriter's files."""
    details = (event.get("map_run") or {}).get("ResultWriterDetails")
    if not details:
        return Counter()
    try:
        manifest = msgspec.json.decode(storage.read(f"s3://{details['Bucket']}/{details['Key']}"))
        files = manifest["ResultFiles"]["FAILED"][:1]
        text = b"".join(
            storage.read(f"s3://{details['Bucket']}/{file['Key']}", 0, min(file["Size"], _FAILED_ROWS_BYTES))
            for file in files
        )
    except (FileNotFoundError, PermissionError, KeyError, TypeError, msgspec.DecodeError):
        return Counter()  # it only explains; the commits are what counts
    return Counter(
        f"{row.get('Error') or row.get('Status')}: {message_of(row.get('Cause'))}"
        for row in _rows(text.decode("utf-8", "replace"))
    )


def _rows(text: str) -> Iterator[dict[str, Any]]:
    """The whole rows of a result file, JSON lines or one JSON array, that may have been read in part."""
    at = 0
    while True:
        while at < len(text) and text[at] in _BETWEEN_ROWS:
            at += 1
        try:
            row, at = _row_decoder.raw_decode(text, at)
        except ValueError:  # the end, or where the part that was read ends
            return
        if isinstance(row, dict):
            yield row


def message_of(cause: str | None) -> str:
    """The message in the cause of an error, as it may be reported."""
    message = message_of_cause(cause) if cause else "no cause given"
    return redacted(message, _MAX_MESSAGE_CHARACTERS)
