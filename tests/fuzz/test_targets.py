"""The fuzz targets hold over their seeds, and break where a promise is broken: they are no use otherwise."""

from pathlib import Path

import pytest

from fuzz import targets

FOLDER = Path(__file__).parent
SEEDS = sorted((FOLDER / "seeds").glob("*/*"))


@pytest.mark.parametrize("seed", SEEDS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_a_target_holds_over_its_seeds(seed: Path) -> None:
    targets.TARGETS[seed.parent.name](seed.read_bytes())


def test_every_target_has_seeds() -> None:
    assert {path.parent.name for path in SEEDS} == targets.TARGETS.keys()


def test_a_broken_promise_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "dead_letter_of_record", lambda *_: b'{"index":0}\n')
    with pytest.raises(ValueError, match="is no dead letter"):
        targets.items_jsonl(b"\xff{}\n")
    monkeypatch.setattr(targets, "needed", lambda *_: ["../x"])
    with pytest.raises(AssertionError, match="files stay in the bundle"):
        targets.digest((FOLDER / "seeds/digest/bundle.json").read_bytes())
