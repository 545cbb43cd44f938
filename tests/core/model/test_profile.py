"""A bundle's profile: what is read, and what its figures say of memory sizes that nobody measured."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwise.errors import BundleError
from fanwise.limits import VCPU_MB
from fanwise.model.profile import Profile, read_profile
from profiles import profile, runtime_profile


def test_what_is_written_is_read_again() -> None:
    written = profile(decode_ms=1.5)
    assert read_profile(msgspec.json.encode(written), "profile.json") == written


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b'{"runtimes": {"onnx": {}}}',
        b'{"runtimes": {"litert": {}}}',
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_what_is_no_profile_is_refused_with_the_remedy(text: bytes) -> None:
    with pytest.raises(BundleError, match=r"profile\.json: not a bundle's profile \(.*measured again"):
        read_profile(text, "profile.json")


@pytest.mark.parametrize(
    ("figures", "wrong"),
    [
        ({"compute_ms": {2: 5.0}}, "no figure for 1 vCPU"),
        ({"compute_ms": {1: 5.0, 0: 5.0}}, "a figure for 0 vCPUs"),
        ({"compute_ms": {1: -5.0}}, "compute_ms at 1 vCPUs"),
        ({"decode_ms": -1.0}, "decode_ms"),
        ({"mini_batch": 0}, "mini_batch"),
    ],
)
def test_figures_that_nothing_can_be_reckoned_with_are_refused(
    figures: dict[str, object], wrong: str
) -> None:
    with pytest.raises(BundleError, match=wrong):
        read_profile(msgspec.json.encode(profile(**figures)), "profile.json")


@given(st.binary(max_size=200) | st.builds(lambda n: msgspec.json.encode(profile())[:n], st.integers(0, 400)))
def test_whatever_is_read_is_a_profile_or_refused(text: bytes) -> None:
    try:
        assert isinstance(read_profile(text, "profile.json"), Profile)
    except BundleError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("vcpus", "compute_ms"),
    [(0.5, 20.0), (1, 10.0), (2, 5.0), (4, 2.5)],  # all of it parallel
)
def test_what_is_all_parallel_takes_its_share(vcpus: float, compute_ms: float) -> None:
    assert runtime_profile().compute_ms_at(vcpus) == pytest.approx(compute_ms)


@pytest.mark.parametrize(
    ("two", "vcpus", "compute_ms"),
    [
        (10.0, 6, 10.0),  # none of it parallel
        (7.5, 2, 7.5),
        (7.5, 4, 6.25),  # half of it
        (12.0, 4, 10.0),  # two were slower than one: more are no better than one
        (4.0, 4, 2.5),  # better than parallel is noise
    ],
)
def test_amdahls_law_beyond_what_was_measured(two: float, vcpus: float, compute_ms: float) -> None:
    assert runtime_profile(compute_ms={1: 10.0, 2: two}).compute_ms_at(vcpus) == pytest.approx(compute_ms)


def test_one_figure_is_the_same_for_more_vcpus() -> None:
    assert runtime_profile(compute_ms={1: 10.0}).compute_ms_at(3) == 10.0


@pytest.mark.parametrize(
    ("items", "ms"),
    [(0, 100.0), (1, 100 + 10 * 10 + 2), (10, 100 + 100 + 20), (11, 100 + 200 + 22)],
)
def test_an_invocation_computes_whole_mini_batches_and_decodes_each_item(items: int, ms: float) -> None:
    assert runtime_profile(decode_ms=2.0).work_ms(items, VCPU_MB) == pytest.approx(ms)


def test_a_cold_start_is_init_and_load() -> None:
    assert runtime_profile().start_ms(VCPU_MB) == runtime_profile().cold_ms == 2000
    assert runtime_profile().start_ms(VCPU_MB * 4) == 2000
    assert runtime_profile().start_ms(VCPU_MB / 2) == 2500  # init has the processor that it has


@given(
    st.floats(0.01, 1000), st.floats(0.01, 1000), st.floats(0, 100), st.floats(0.07, 6), st.floats(0.07, 6)
)
def test_more_vcpus_are_never_slower(one: float, two: float, decode: float, few: float, many: float) -> None:
    runtime = runtime_profile(compute_ms={1: one, 2: two}, decode_ms=decode)
    few, many = sorted((few, many))
    assert runtime.item_ms_at(many) <= runtime.item_ms_at(few) * (1 + 1e-9)
    assert runtime.item_ms_at(many) >= 0
