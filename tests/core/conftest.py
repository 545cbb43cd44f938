"""The made models, for the tests of whole jobs."""

from keras_models import made_models

__all__ = ["made_models"]  # a fixture
