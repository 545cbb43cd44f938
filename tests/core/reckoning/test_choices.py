"""What would be better than what was asked for: of memory, of batches, and of how many run at once."""

import msgspec
import pytest

from fanwise.limits import VCPU_MB
from fanwise.pricing import prices_of
from fanwise.reckoning.batching import FunctionSize
from fanwise.reckoning.choices import Best, best_of, choices
from fanwise.reckoning.estimate import Estimate, Work, estimate
from profiles import ON_LAMBDA, runtime_profile

SIZE, PRICES = FunctionSize(VCPU_MB), prices_of()
PROFILE = runtime_profile(measured_on=ON_LAMBDA, invocation_ms=0)  # 10 ms an item at one vCPU


def best(work: Work) -> Best:
    made = choices(work, PROFILE, runtime="litert", size=SIZE, prices=PRICES)
    return best_of(made, work, PROFILE, SIZE)


def reckoned(work: Work) -> Estimate:
    return estimate(work, PROFILE, runtime="litert", size=SIZE, prices=PRICES)


def test_as_many_at_once_as_s3_has_objects_for_cost_less_and_end_about_as_soon() -> None:
    """5,500 images a second of 10 ms each (17.3 at 1,024 MB) are work for 55 environments (95)."""
    asked = Work(items=1_000_000, batch_size=1000, max_concurrency=1000, reads=1)
    made = choices(asked, PROFILE, runtime="litert", size=SIZE, prices=PRICES)
    at_once = {choice.memory_mb: choice.max_concurrency for choice in made}
    assert (at_once[1024], at_once[1769], at_once[3538]) == (95, 55, 27)
    found, as_it_is = best(asked), reckoned(asked)
    fitting = reckoned(msgspec.structs.replace(asked, max_concurrency=55))
    assert fitting.duration_s.total == pytest.approx(as_it_is.duration_s.total, rel=0.06)
    assert fitting.cost_usd["total"] < as_it_is.cost_usd["total"] / 3
    assert found.max_concurrency == at_once[found.memory_mb]
    assert found.reason.endswith("at once: S3 gives 5,500 objects a second of one prefix")


@pytest.mark.parametrize("reads", [0, 1])
def test_what_s3_has_enough_for_is_left_as_it_was_asked_for(reads: int) -> None:
    found = best(Work(items=10_000, batch_size=100, max_concurrency=20, reads=reads))
    assert found.max_concurrency == 20
    assert "S3" not in found.reason
