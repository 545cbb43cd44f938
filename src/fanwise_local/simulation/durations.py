"""How long things take: by the bundle's profile, and chance on top; seeded, so that a run can be played again."""

import math
import random as randoms

from fanwise.limits import VCPU_MB
from fanwise.model.profile import RuntimeProfile
from fanwise.reckoning.batching import work_ms
from fanwise_local.simulation.scenario import Scenario

PARETO_SHAPE = 2.0


class Chance:
    """What durations are multiplied by: 1 on average, and more where an invocation is a straggler."""

    def __init__(self, scenario: Scenario, random: randoms.Random) -> None:
        self._sigma = scenario.jitter
        self._tail = scenario.tail
        self._tail_factor = scenario.tail_factor
        self._random = random
        self.stragglers = 0

    def jitter(self) -> float:
        """A log-normal number of mean 1."""
        if not self._sigma:
            return 1.0
        return math.exp(self._random.gauss(-self._sigma * self._sigma / 2, self._sigma))

    def of_work(self) -> float:
        """The same, and of a straggler, by a Pareto law, more."""
        factor = self.jitter()
        if self._tail and self._random.random() < self._tail:
            self.stragglers += 1
            factor *= self._tail_factor * self._random.paretovariate(PARETO_SHAPE)
        return factor


class Durations:
    """An invocation of PredictBatch without chance, in seconds."""

    def __init__(self, scenario: Scenario) -> None:
        self._profile: RuntimeProfile = scenario.profile
        self._memory_mb = scenario.size.memory_mb
        self._reads = scenario.work.reads
        self._known: dict[int, float] = {}
        self.mini_batch = scenario.profile.mini_batch
        self.init_s = scenario.profile.init_ms / 1000
        self.load_s = scenario.profile.load_ms / 1000 / min(1.0, self._memory_mb / VCPU_MB)
        self.beside_s = scenario.profile.invocation_ms / 1000

    def work_s(self, items: int) -> float:
        """A warm invocation with so many items."""
        if items not in self._known:
            self._known[items] = work_ms(self._profile, items, self._memory_mb, reads=self._reads) / 1000
        return self._known[items]
