"""A job at the size of the cloud, played through in seconds: the deployed definition on our interpreter, on a
clock that jumps, over a model of Lambda, S3 and the handlers.

`scenario` says what is played, `simulation` plays it and tells what it came to. `pool` is Lambda's environments,
`slow_downs` S3's limits, `durations` chance, `plan` and `handlers` what the functions answer, `services` all of
that as the interpreter sees it, `store` the job's home, `curve` and `counts` what is written down meanwhile.
"""

from fanwise_local.simulation.counts import Counts
from fanwise_local.simulation.scenario import Scenario
from fanwise_local.simulation.simulation import Simulation, simulate

__all__ = ["Counts", "Scenario", "Simulation", "simulate"]
