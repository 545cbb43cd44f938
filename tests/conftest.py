"""What every test stands on: no network, no credentials, nothing written outside of temporary folders.

The environment is set at import, before any test module is: TensorFlow reads its variables when it is imported,
and the processes that tests start inherit them.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from made_once import made_once

ROOT = Path(__file__).parents[1]

# Derandomized: the same examples each time, so that a test fails or passes by the code alone.
settings.register_profile(
    "ci",
    derandomize=True,
    deadline=None,
    max_examples=100,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
# New examples each time, many more, failures kept: FANWISE_HYPOTHESIS_PROFILE=thorough make test
settings.register_profile(
    "thorough",
    deadline=None,
    max_examples=5_000,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.load_profile(os.environ.get("FANWISE_HYPOTHESIS_PROFILE", "ci"))

# Nothing of the caller's reaches AWS or changes what is tested.
for name in [name for name in os.environ if name.startswith(("AWS_", "FANWISE_"))]:
    del os.environ[name]
os.environ.update(
    AWS_EC2_METADATA_DISABLED="true",
    AWS_CONFIG_FILE=os.devnull,
    AWS_SHARED_CREDENTIALS_FILE=os.devnull,
    TF_CPP_MIN_LOG_LEVEL="3",
)


@pytest.fixture(scope="session", autouse=True)
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """FANWISE_CACHE_DIR for the whole run, in place of the user's own: prepared bundles are kept in it."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("FANWISE_CACHE_DIR", str(folder))
        yield folder


@pytest.fixture(scope="session")
def digits_example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `examples/digits/train.py` writes, made once a run (some ten seconds); not to be changed by a test.

    `model/` is the bundle, `scans/` has the held-out scans, `items.jsonl` names them.
    """
    return made_once(tmp_path_factory, "digits", _train_apart)


def _train_apart(folder: Path) -> None:
    # A process of its own: training sets TensorFlow's seeds and its deterministic kernels for the whole process.
    subprocess.run(
        [sys.executable, ROOT / "examples/digits/train.py", folder],
        check=True,
        stdin=subprocess.DEVNULL,
        timeout=600,
    )
