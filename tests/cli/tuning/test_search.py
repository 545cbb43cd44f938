"""What is tried: batch sizes grow while it helps, memory while it helps, and what fails is no end of it."""

import pytest

from cli.tuning.benches import linear, searched
from fanwise_cli.tuning.search import grown
from fanwise_cli.tuning.trials import Setting, Trial

ONE, TWO, FOUR = (Setting("litert", mb) for mb in (1769, 3538, 7076))


def sizes_of(found: list, number: int = 0) -> list[int]:  # type: ignore[type-arg]
    return [one.batch_size for one in found[number].measured]


@pytest.mark.parametrize(
    ("mini_batch", "largest", "sizes"),
    [(32, 599, [32, 128, 512]), (32, 10, [10]), (1, 20, [1, 4, 16]), (32, 32, [32])],
)
def test_batch_sizes_grow_by_fours_as_far_as_the_sample_goes(
    mini_batch: int, largest: int, sizes: list[int]
) -> None:
    assert list(grown(mini_batch, largest)) == sizes


def test_batches_grow_until_an_item_takes_as_long_as_before() -> None:
    found, _, bench = searched(linear(own_ms=20, item_ms=1), [ONE])
    assert sizes_of(found) == [32, 128, 512, 2048]  # 1.63, 1.16, 1.04 and 1.01 ms an item
    assert found[0].ended == "larger ones are no faster an item"
    assert bench.tried == [(ONE, [32] + [32] * 3 + [128] * 3 + [512] * 3 + [2048] * 3)]


def test_what_varies_more_than_it_falls_is_flat() -> None:
    durations = iter(
        [1.0, 100.0, 104.0, 96.0, 360.0, 370.0, 380.0]
    )  # a cold start; 7.5 % less an item, of 8 %
    found, _, _ = searched(lambda *_: Trial(duration_ms=next(durations)), [ONE])
    assert sizes_of(found) == [32, 128]
    assert found[0].ended == "larger ones are no faster an item"


def test_batches_that_would_work_for_too_long_are_not_tried() -> None:
    found, _, _ = searched(linear(own_ms=9_000, item_ms=50), [ONE])
    assert sizes_of(found) == [32]  # 10.6 s; of 128 at 331 ms it would be 42 s
    assert found[0].ended == "larger ones work longer than 20 s"


def test_batch_sizes_that_are_asked_for_are_tried_whatever_comes_of_them() -> None:
    found, _, bench = searched(linear(own_ms=0, item_ms=100), [ONE], batch_sizes=(8, 400), repeats=2)
    assert bench.tried == [(ONE, [8, 8, 8, 400, 400])]
    assert found[0].ended == "as asked for"


def test_a_batch_that_dies_ends_its_setting_and_no_other() -> None:
    def formula(setting: Setting, items: int) -> Trial:
        if setting == ONE and items > 32:
            return Trial(failed="out of memory")
        return linear(100, 1)(setting, items)

    found, _, _ = searched(formula, [ONE, TWO])
    assert [(one.batch_size, one.failed) for one in found[0].measured] == [(32, None), (128, "out of memory")]
    assert sizes_of(found, 1)[:3] == [32, 128, 512]
    assert found[0].item_ms == found[0].worked[0].item_ms


def test_a_setting_whose_cold_start_dies_is_tried_no_further() -> None:
    found, _, bench = searched(lambda *_: Trial(failed="out of memory"), [ONE, TWO])
    assert [sizes for _, sizes in bench.tried] == [[32], [32]]
    assert [one.measured[0].failed for one in found] == ["out of memory"] * 2
    assert found[0].item_ms is None


def test_more_memory_is_tried_as_long_as_it_is_faster() -> None:
    threads = {1769: 1.0, 3538: 2.0, 7076: 2.0, 10_240: 2.0}
    settings = [Setting("litert", mb) for mb in threads]

    def formula(setting: Setting, items: int) -> Trial:
        return Trial(duration_ms=items / threads[setting.memory_mb])

    found, notes, _ = searched(formula, settings)
    assert [one.setting.memory_mb for one in found] == [1769, 3538, 7076]
    assert notes == ["litert at 7,076 MB is no faster than with less memory; more was not tried."]
    found, notes, _ = searched(formula, settings, stops=False)
    assert ([one.setting.memory_mb for one in found], notes) == (list(threads), [])


def test_a_runtime_that_needs_more_memory_does_not_stop_the_search() -> None:
    tensorflow = [Setting("tensorflow", mb) for mb in (1024, 1769, 3538)]

    def formula(setting: Setting, items: int) -> Trial:
        return Trial(failed="out of memory") if setting.memory_mb < 3538 else Trial(duration_ms=items)

    found, _, _ = searched(formula, tensorflow)
    assert [one.item_ms for one in found] == [None, None, 1.0]
