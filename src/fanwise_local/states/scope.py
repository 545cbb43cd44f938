"""What an expression of a state sees: the reserved variable `$states` and the workflow's variables.

Rules: workflow-variables, input-output-contextobject.
"""

import random as randoms
from collections.abc import Mapping
from dataclasses import dataclass, replace

from fanwise_local.clock import Clock
from fanwise_local.states.payloads import JSON


@dataclass(frozen=True, slots=True)
class Scope:
    """`states` has the members that exist at that point: `input`, `context`, and `result` or `errorOutput`.

    A scope holds the variables as they were when its state was entered: Assign takes effect when a state ends.
    """

    states: Mapping[str, JSON]
    variables: Mapping[str, JSON]
    clock: Clock
    random: randoms.Random

    def with_states(self, **members: JSON) -> "Scope":
        """The scope with further members of `$states`."""
        return replace(self, states={**self.states, **members})
