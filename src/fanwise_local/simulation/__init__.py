"""A job at the size of the cloud, played through in seconds: the deployed definition on our interpreter, on a clock
that jumps, over a model of Lambda, S3 and the handlers (docs/simulation.md).

`scenario` says what is played, `simulation` plays it and tells what it came to. `pool` is Lambda's environments,
`rates` its and S3's limits of requests, `durations` chance, `handlers` what the functions answer, `services` all of
that as the interpreter sees it, `curve` and `counts` what is written down meanwhile.
"""

from fanwise_local.simulation.scenario import Scenario
from fanwise_local.simulation.simulation import Simulation, simulate

__all__ = ["Scenario", "Simulation", "simulate"]
