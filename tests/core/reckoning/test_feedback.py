"""A job's own durations in its model's profile: what goes in by a known rule comes out as that rule's figures."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwise.limits import VCPU_MB
from fanwise.model.profile import RuntimeProfile
from fanwise.reckoning.feedback import fed_back
from fanwise.records import Commit, Invocation
from profiles import ON_LAMBDA, runtime_profile


def commit(items: int, duration_ms: float, *, died: str | None = None, **measured: Any) -> Commit:
    invocation = Invocation(request_id="r", duration_ms=duration_ms, **measured)
    return Commit(entry="0", attempt=1, invocation=invocation, predicted=0 if died else items, died=died)


def fed(
    commits: list[Commit],
    prior: RuntimeProfile | None,
    *,
    memory_mb: int = VCPU_MB,
    tells_invocation: bool = True,
) -> RuntimeProfile:
    found = fed_back(prior, commits, ON_LAMBDA, memory_mb=memory_mb, tells_invocation=tells_invocation)
    assert found is not None
    return found


@given(
    st.lists(st.integers(1, 1000), min_size=2, max_size=10, unique=True).filter(
        lambda sizes: max(sizes) > 2 * min(sizes)
    ),
    st.floats(0, 1000),
    st.floats(0.01, 100),
)
def test_batches_of_several_sizes_tell_an_invocation_from_its_items(
    sizes: list[int], invocation_ms: float, item_ms: float
) -> None:
    commits = [commit(size, invocation_ms + size * item_ms) for size in sizes]
    found = fed(commits, runtime_profile(decode_ms=2.0))
    assert found.invocation_ms == pytest.approx(invocation_ms, abs=0.2)
    assert found.item_ms_at(1) == pytest.approx(item_ms, rel=0.01, abs=0.001)


def test_of_batches_of_one_size_an_invocation_takes_what_it_was_known_to() -> None:
    found = fed([commit(100, 600.0)] * 5, runtime_profile())  # 100 ms of it the invocation's
    assert (found.invocation_ms, found.compute_ms) == (100.0, {1: 5.0, 2: 2.5})
    short = fed([commit(100, 100.0)] * 5, runtime_profile())
    assert short.invocation_ms == 50.0


def test_cold_starts_are_those_that_there_were() -> None:
    cold: dict[str, Any] = {"cold": True, "init_ms": 300.0, "load_ms": 700.0}
    found = fed([commit(10, 900.0, **cold), commit(10, 200.0)], runtime_profile())
    assert (found.init_ms, found.load_ms) == (300.0, 700.0)
    assert fed([commit(10, 200.0)], runtime_profile()).cold_ms == 2000


def test_the_memory_size_is_taken_into_account() -> None:
    """5 ms at two vCPUs were 10 at one, if the model is as parallel as it was."""
    found = fed([commit(100, 100 + 500.0)] * 3, runtime_profile(), memory_mb=2 * VCPU_MB)
    assert found.compute_ms == {1: pytest.approx(10.0), 2: pytest.approx(5.0)}


def test_a_laptop_says_nothing_of_an_invocation_on_lambda() -> None:
    found = fed([commit(10, 50.0), commit(1000, 5000.0)], runtime_profile(), tells_invocation=False)
    assert (found.invocation_ms, found.compute_ms[1]) == (100.0, 5.0)


def test_deaths_measure_nothing() -> None:
    commits = [commit(10, 120_000.0, died="Sandbox.Timedout"), commit(100, 600.0)]
    assert fed(commits, runtime_profile()).compute_ms[1] == 5.0
    assert (
        fed_back(runtime_profile(), commits[:1], ON_LAMBDA, memory_mb=VCPU_MB, tells_invocation=True) is None
    )


def test_a_model_that_nobody_measured_has_what_the_job_did() -> None:
    found = fed([commit(100, 1000.0)] * 3, None)
    assert (found.compute_ms, found.invocation_ms, found.mini_batch) == ({1: 10.0}, 0.0, 1)
    assert found.measured_on == ON_LAMBDA
