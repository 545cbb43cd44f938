"""Which Retry or Catch an error meets, and how long a retry waits (concepts-error-handling)."""

import random as randoms
from collections.abc import Sequence

from fanwise_local.states.errors import ALL, DATA_LIMIT_EXCEEDED, RUNTIME, TASK_FAILED, TIMEOUT
from fanwise_local.states.syntax import Catcher, Retrier

_BEYOND_WILDCARDS = frozenset({RUNTIME, DATA_LIMIT_EXCEEDED})


def matches(error_equals: Sequence[str], error: str) -> bool:
    """Whether an ErrorEquals names an error.

    States.Runtime is never matched; States.DataLimitExceeded only by its own name; States.TaskFailed matches
    every error but States.Timeout.
    """
    if error == RUNTIME:
        return False
    if error in error_equals:
        return True
    if error in _BEYOND_WILDCARDS:
        return False
    return ALL in error_equals or (TASK_FAILED in error_equals and error != TIMEOUT)


def catcher_of(catchers: Sequence[Catcher], error: str) -> Catcher | None:
    """The first catcher that names an error."""
    return next((catcher for catcher in catchers if matches(catcher.error_equals, error)), None)


class RetryCount:
    """The retries of one visit to a state: every retrier counts its own."""

    def __init__(self, retriers: Sequence[Retrier]) -> None:
        self._retriers = retriers
        self._used = [0] * len(retriers)

    def next_delay_s(self, error: str, random: randoms.Random) -> float | None:
        """Seconds to wait before the next attempt, or None if there is none.

        The first retrier that names the error decides: when its attempts are used up, no later one is asked.
        """
        for index, retrier in enumerate(self._retriers):
            if matches(retrier.error_equals, error):
                used = self._used[index]
                if used >= retrier.max_attempts:
                    return None
                self._used[index] += 1
                return _delay_s(retrier, used, random)
        return None


def _delay_s(retrier: Retrier, used: int, random: randoms.Random) -> float:
    limit_s = float("inf") if retrier.max_delay_s is None else retrier.max_delay_s
    try:
        delay_s = min(retrier.interval_s * retrier.backoff_rate**used, limit_s)
    except OverflowError:
        delay_s = limit_s
    return random.uniform(0, delay_s) if retrier.full_jitter else delay_s
