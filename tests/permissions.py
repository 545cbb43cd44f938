"""What the template's roles allow: as much of IAM as it uses, and a bucket as one of its roles sees it.

A request that no statement allows is refused, as on AWS (reference_policies_evaluation-logic). What was allowed is
kept, so that a test can say what nobody needs.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

from fanwise.storage import Backend, Body, ObjectInfo
from fanwise_local.intrinsics import load_template
from fanwise_local.template import stack_root
from fanwise_local.template_resources import FUNCTION, ROLE, STATE_MACHINE, Resources

# What `resources` deploys: all that is there by parameter, too.
PARAMETERS = {
    "PredictBatchImageUri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/predict-batch:1",
    "FurtherItems": "arn:aws:s3:::further/some/*",
    "ScheduleExpression": "rate(1 day)",
    "ScheduledManifest": "s3://further/some/nightly.json",
    "NotificationEmail": "somebody@example.com",
}


def resources(**parameters: str) -> Resources:
    """The template's resources, with `PARAMETERS` where nothing else is said."""
    template = load_template((stack_root() / "template.yaml").read_text(), "template.yaml")
    return Resources(template, "template.yaml", "fanwise", PARAMETERS | parameters)


class Grant(NamedTuple):
    """One action on one resource, or pattern of resources, of a role; the role by whose it is."""

    role: str
    action: str
    resource: str


class Permissions:
    """The roles of a stack, and what they were used for. A function's role has the function's logical id."""

    def __init__(self, stack: Resources) -> None:
        self.grants: dict[str, list[Grant]] = defaultdict(list)
        self.used: set[Grant] = set()
        self.refused: list[Grant] = []
        for role, statement in _statements(stack):
            # What IAM has beside (NotAction, Condition, Deny …) would be judged wrongly here.
            assert statement.keys() == {"Effect", "Action", "Resource"}, (role, statement)
            assert statement["Effect"] == "Allow", (role, statement)
            self.grants[role] += [
                Grant(role, action, resource)
                for action in _as_list(statement["Action"])
                for resource in _as_list(statement["Resource"])
            ]

    def allows(self, role: str, action: str, resource: str) -> bool:
        """Whether a role may do something; `role` has to be one."""
        allowing = {
            grant
            for grant in self.grants[role]
            if matches(grant.action, action, ignore_case=True) and matches(grant.resource, resource)
        }
        self.used |= allowing
        if not allowing:
            self.refused.append(Grant(role, action, resource))
        return bool(allowing)

    def all_grants(self) -> set[Grant]:
        """Of every role."""
        return {grant for grants in self.grants.values() for grant in grants}


def _statements(stack: Resources) -> Iterator[tuple[str, dict[str, Any]]]:
    for kind in (FUNCTION, STATE_MACHINE, ROLE):
        for logical_id in stack.of_type(kind):
            for policy in stack.value(logical_id, "Policies"):
                for statement in policy.get("PolicyDocument", policy)["Statement"]:
                    yield logical_id, statement


def _as_list(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def matches(pattern: str, text: str, *, ignore_case: bool = False) -> bool:
    """As IAM compares: `*` is any characters, slashes too, `?` is one (reference_policies_elements_resource)."""
    parts = {"*": ".*", "?": "."}
    made = "".join(parts.get(character, re.escape(character)) for character in pattern)
    return re.fullmatch(made, text, re.DOTALL | (re.IGNORECASE if ignore_case else 0)) is not None


class GuardedBackend:
    """A bucket as a role sees it; what it may not do is a PermissionError, as `ObstoreBackend` has it of a 403."""

    def __init__(self, permissions: Permissions, role: str, bucket_arn: str, inner: Backend) -> None:
        self._permissions = permissions
        self._role = role
        self._arn = bucket_arn
        self._inner = inner

    def _check(self, action: str, key: str | None) -> None:
        resource = self._arn if key is None else f"{self._arn}/{key}"
        if not self._permissions.allows(self._role, action, resource):
            raise PermissionError(f"{self._role} may not {action} {resource}")

    def _check_get(self, key: str, version_id: str | None) -> None:
        self._check("s3:GetObject" if version_id is None else "s3:GetObjectVersion", key)

    def head(self, key: str, version_id: str | None = None) -> ObjectInfo:
        self._check_get(key, version_id)
        try:
            return self._inner.head(key, version_id)
        except FileNotFoundError:
            self._check("s3:ListBucket", None)  # without, it is as if it were forbidden (API_HeadObject)
            raise

    def read(self, key: str, start: int, end: int | None, pin: ObjectInfo | None) -> Body:
        self._check_get(key, None if pin is None else pin.version_id)
        try:
            return self._inner.read(key, start, end, pin)
        except FileNotFoundError:
            self._check("s3:ListBucket", None)  # likewise (API_GetObject)
            raise

    def write(self, key: str, body: bytes) -> None:
        self._check("s3:PutObject", key)
        self._inner.write(key, body)

    def create(self, key: str, body: bytes) -> bool:
        self._check("s3:PutObject", key)
        return self._inner.create(key, body)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        self._check("s3:ListBucket", None)
        yield from self._inner.list(prefix)

    def delete(self, key: str) -> None:
        self._check("s3:DeleteObject", key)
        self._inner.delete(key)
