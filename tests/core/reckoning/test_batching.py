"""Batch sizes by a profile: 20 s of work, as many batches as may run at once, and no batch that is all start."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwise.limits import DEFAULT_BATCH_SIZE, MAX_BATCH_SIZE, VCPU_MB
from fanwise.reckoning.batching import MAX_AUTO_BYTES, FunctionSize, auto_batch_size, work_ms
from profiles import runtime_profile

SIZE = FunctionSize(VCPU_MB, 120.0)


@pytest.mark.parametrize(
    ("items", "max_concurrency", "batch_size", "reason"),
    [
        (10_000_000, 1000, 2000, "20 s of work an invocation"),  # at 10 ms
        (1_000_000, 1000, 1000, "as many batches as may run at once (1,000)"),
        (1_005_000, 1000, 1000, "as many batches as may run at once (1,000)"),  # whole mini-batches
        (2000, 1000, 210, "as much work as a cold start takes"),  # 2 s, and 0.1 s of the invocation
        (1, 1, 210, "as much work as a cold start takes"),
        (0, 1000, 210, "as much work as a cold start takes"),
        (1_000_000, 1, 2000, "20 s of work an invocation"),
    ],
)
def test_what_binds(items: int, max_concurrency: int, batch_size: int, reason: str) -> None:
    chosen = auto_batch_size(
        runtime_profile(), items=items, size_bytes=0, max_concurrency=max_concurrency, size=SIZE, reads=0
    )
    assert (chosen.items, chosen.reason) == (batch_size, reason)


def test_without_a_profile_it_is_256() -> None:
    chosen = auto_batch_size(None, items=10**6, size_bytes=0, max_concurrency=10, size=SIZE, reads=0)
    assert (chosen.items, chosen.reason) == (DEFAULT_BATCH_SIZE, "the model has no profile of its runtime")


def test_half_of_a_short_timeout_is_all_that_is_aimed_at() -> None:
    chosen = auto_batch_size(
        runtime_profile(),
        items=10**7,
        size_bytes=0,
        max_concurrency=1,
        size=FunctionSize(VCPU_MB, 30.0),
        reads=0,
    )
    assert (chosen.items, chosen.reason) == (1000, "10 s of work an invocation")


def test_what_an_entry_holds_fits_in_memory() -> None:
    """Items of 100 kB: 8 MB of them are 83, in mini-batches of 10."""
    chosen = auto_batch_size(
        runtime_profile(), items=10**6, size_bytes=10**11, max_concurrency=1, size=SIZE, reads=0
    )
    assert (chosen.items, chosen.reason) == (80, "as many as 8 MB of the items file hold")


def test_two_vcpus_take_twice_as_many() -> None:
    chosen = auto_batch_size(
        runtime_profile(),
        items=10**8,
        size_bytes=0,
        max_concurrency=1,
        size=FunctionSize(2 * VCPU_MB),
        reads=0,
    )
    assert chosen.items == 4000


def test_the_fastest_model_has_the_largest_batches() -> None:
    chosen = auto_batch_size(
        runtime_profile(compute_ms={1: 0.0}), items=10**9, size_bytes=0, max_concurrency=1, size=SIZE, reads=0
    )
    assert (chosen.items, chosen.reason) == (MAX_BATCH_SIZE, "the largest that there is")


@given(
    st.integers(0, 10**8),
    st.integers(1, 10_000),
    st.floats(0, 10_000),
    st.integers(1, 4096),
    st.integers(1024, 10_240),
    st.floats(30, 170),
    st.integers(0, 2),
    st.integers(1, 10**7),
)
def test_whatever_the_profile_it_can_be_run(
    items: int,
    max_concurrency: int,
    compute_ms: float,
    mini_batch: int,
    memory_mb: int,
    timeout_s: float,
    reads: int,
    item_bytes: int,
) -> None:
    profile = runtime_profile(compute_ms={1: compute_ms}, mini_batch=mini_batch)
    size = FunctionSize(memory_mb, timeout_s)
    chosen = auto_batch_size(
        profile,
        items=items,
        size_bytes=items * item_bytes,
        max_concurrency=max_concurrency,
        size=size,
        reads=reads,
    ).items
    assert 1 <= chosen <= MAX_BATCH_SIZE
    if chosen > mini_batch and items:
        assert chosen * item_bytes <= MAX_AUTO_BYTES
    if chosen > mini_batch:  # else it is one mini-batch, however long that takes
        assert work_ms(profile, chosen, memory_mb, reads=reads) <= timeout_s * 1000
