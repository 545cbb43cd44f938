"""Fixtures of the command's tests."""

from keras_models import made_models

__all__ = ["made_models"]  # a fixture
