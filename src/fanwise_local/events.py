"""Events as AWS's services tell them, and the template's rules for them: which event goes where.

Step Functions tells EventBridge when the status of a Standard execution changes (eventbridge-integration), S3 of
each object that is created (ev-events), and whoever calls PutEvents of what it likes.
"""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from fanwise.planning.start import STATUS_CHANGE
from fanwise.planning.uploads import OBJECT_CREATED, S3
from fanwise_local.event_patterns import matches
from fanwise_local.states.executions import Execution
from fanwise_local.states.payloads import JSON, encode, text
from fanwise_local.template_resources import ACCOUNT_ID, REGION

MAX_TOLD_BYTES = 248 * 1024  # of an execution's input and output together, escaped (eventbridge-integration)

Reason = Literal["PutObject", "POST Object", "CopyObject", "CompleteMultipartUpload"]  # ev-events


@dataclass(frozen=True)
class Rule:
    """A rule of the template: events that match `pattern` go to each of `targets`, by ARN."""

    name: str
    pattern: Mapping[str, Any]
    targets: tuple[str, ...]

    def matches(self, event: Mapping[str, Any]) -> bool:
        """Whether it takes an event."""
        return matches(self.pattern, event)


def execution_status_event(execution: Execution, machine_arn: str) -> dict[str, JSON]:
    """The event that an execution's present status is told by; its dates are milliseconds since the epoch.

    An output that is too long is left out, and an input that is too long together with it.
    """
    region, account = machine_arn.split(":")[3:5]
    changed_s = execution.start_date if execution.stop_date is None else execution.stop_date
    output = text(execution.output) if execution.status == "SUCCEEDED" else None
    has_output = output is not None and _told_bytes(output) <= MAX_TOLD_BYTES
    given = text(execution.input)
    left_bytes = MAX_TOLD_BYTES - (_told_bytes(output) if output is not None and has_output else 0)
    has_input = _told_bytes(given) <= left_bytes
    detail = {
        "executionArn": execution.arn,
        "stateMachineArn": machine_arn,
        "name": execution.name,
        "status": execution.status,
        "startDate": int(execution.start_date * 1000),
        "stopDate": None if execution.stop_date is None else int(execution.stop_date * 1000),
        "input": given if has_input else None,
        "inputDetails": {"included": has_input},
        "output": output if has_output else None,
        "outputDetails": None if output is None else {"included": has_output},
        "error": execution.error,
        "cause": execution.cause,
    }
    return _event(STATUS_CHANGE, "aws.states", changed_s, [execution.arn], detail, region, account)


def _told_bytes(value: str) -> int:
    """The size of a text inside of an event, as JSON escapes it."""
    return len(encode(value))


def s3_event(
    bucket: str,
    key: str,
    *,
    size_bytes: int,
    etag: str,
    time_s: float,
    version_id: str | None = None,
    reason: Reason = "PutObject",
    sequencer: str | None = None,
    source_ip: str = "127.0.0.1",
    region: str = REGION,
    account: str = ACCOUNT_ID,
) -> dict[str, JSON]:
    """The event "Object Created" as S3 sends it to EventBridge (ev-events); `key` is raw, never URL-encoded.

    `etag` may be given with the quotes that a response's header has. `version_id` is None where the bucket has no
    versions. `sequencer` orders the events of one key; by default it follows from `time_s`.
    """
    told: dict[str, JSON] = {"key": key, "size": size_bytes, "etag": etag.strip('"')}
    if version_id is not None:
        told["version-id"] = version_id
    told["sequencer"] = sequencer or _sequencer(time_s)
    detail = {
        "version": "0",
        "event-version": "1.0",
        "bucket": {"name": bucket},
        "object": told,
        "request-id": uuid.uuid4().hex[:16].upper(),
        "requester": account,
        "source-ip-address": source_ip,
        "reason": reason,
    }
    return _event(OBJECT_CREATED, S3, time_s, [f"arn:aws:s3:::{bucket}"], detail, region, account)


def event_of_entry(
    entry: Mapping[str, Any], event_id: str, time_s: float, *, region: str = REGION, account: str = ACCOUNT_ID
) -> dict[str, JSON]:
    """The event that an entry of PutEvents becomes (API_PutEventsRequestEntry); its `Time` is not looked at."""
    detail = entry["Detail"]
    event = _event(
        entry["DetailType"],
        entry["Source"],
        time_s,
        entry.get("Resources", []),
        json.loads(detail) if isinstance(detail, str) else detail,
        region,
        account,
    )
    return {**event, "id": event_id}


def _event(
    detail_type: str,
    source: str,
    time_s: float,
    resources: list[str],
    detail: JSON,
    region: str,
    account: str,
) -> dict[str, JSON]:
    """The envelope that all events have (eb-events-structure); its time is in whole seconds."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": detail_type,
        "source": source,
        "account": account,
        "time": datetime.fromtimestamp(int(time_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": region,
        "resources": resources,
        "detail": detail,
    }


def _sequencer(time_s: float) -> str:
    """Hexadecimal, of one length, and later in the alphabet the later it is."""
    seconds, fraction = divmod(time_s, 1)
    return f"{int(seconds):010X}{int(fraction * 2**32):08X}"
