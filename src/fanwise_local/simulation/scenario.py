"""What is simulated: a job, what its model takes, and the account that it runs in."""

from dataclasses import dataclass

from fanwise.model.profile import RuntimeProfile
from fanwise.pricing import Prices
from fanwise.reckoning.batching import FunctionSize
from fanwise.reckoning.estimate import OTHERS_START_S, Work
from fanwise.records import Runtime

DEFAULT_ACCOUNT_CONCURRENCY = 1000  # of a new account often less (gettingstarted-limits)
# Of a Map Run nobody tells it (unverified); StartExecution of Express workflows has as many (service-quotas).
DEFAULT_CHILD_STARTS_PER_S = 6000.0
DEFAULT_JITTER = 0.1
DEFAULT_TAIL = 0.01
DEFAULT_TAIL_FACTOR = 2.0


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A job to be played through, and the chances that it has.

    `account_concurrency` is Lambda's limit of all functions together. With `environments` it is a laptop: so many
    of each function, and what finds none free waits for one. Without `throttled`, it waits on Lambda too, as no
    invocation does there, but as the closed forms have it. `child_starts_per_s` is how many children a Map Run
    starts a second, `others_start_s` what a function other than PredictBatch takes to start.

    `jitter` is the sigma of a log-normal of mean 1 that each duration is multiplied by. Of invocations, a share of
    `tail` are stragglers: they take `tail_factor` times as long and more, by a Pareto law of shape 2 (one in a
    hundred of them ten times as much again). The same seed is the same run.
    """

    work: Work
    profile: RuntimeProfile
    runtime: Runtime
    size: FunctionSize
    prices: Prices
    account_concurrency: int = DEFAULT_ACCOUNT_CONCURRENCY
    environments: int | None = None
    throttled: bool = True
    child_starts_per_s: float | None = DEFAULT_CHILD_STARTS_PER_S
    others_start_s: float = OTHERS_START_S
    jitter: float = DEFAULT_JITTER
    tail: float = DEFAULT_TAIL
    tail_factor: float = DEFAULT_TAIL_FACTOR
    seed: int = 0
