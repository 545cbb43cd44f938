"""The default event bus of this machine: every event goes to the targets of the template's rules that take it."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from fanwise_local.events import Rule
from fanwise_local.states.payloads import JSON

Target = Callable[[JSON], object]


class EventBus:
    """Rules, and the targets that this machine has; what a rule sends elsewhere (SNS, say) is not delivered.

    Listeners hear every event, whatever the rules say.

    An event is delivered once, and at once: who wants it twice or late puts it so.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules = tuple(rules)
        self._targets: dict[str, Target] = {}
        self._listeners: list[Target] = []
        self._is_closed = False

    def connect(self, arn: str, target: Target) -> None:
        """Deliver to `target` what rules send to `arn`."""
        self._targets[arn] = target

    def listen(self, listener: Target) -> None:
        """Have `listener` hear every event."""
        self._listeners.append(listener)

    def put(self, event: Mapping[str, Any]) -> None:
        """Deliver an event; of a rule with several targets, to each."""
        for listener in [] if self._is_closed else self._listeners:
            listener(event)
        for rule in self._rules:
            if rule.matches(event):
                for arn in rule.targets:
                    self.deliver(arn, event)

    def deliver(self, arn: str, given: JSON) -> None:
        """Give a target what a rule, or a schedule, sends it."""
        if not self._is_closed and arn in self._targets:
            self._targets[arn](given)

    def close(self) -> None:
        """Deliver nothing more: a machine that is switched off tells nobody."""
        self._is_closed = True
