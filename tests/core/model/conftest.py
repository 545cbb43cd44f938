"""The made models, and TensorFlow imported once for the tests that run it."""

from typing import Any

import pytest

from fanwise.model.runtime import import_runtime
from keras_models import made_models

__all__ = ["made_models", "tensorflow_runtime"]


@pytest.fixture(scope="session")
def tensorflow_runtime() -> Any:
    """The module `fanwise.model.tensorflow_runtime`, as PredictBatch imports it."""
    return import_runtime("tensorflow")
