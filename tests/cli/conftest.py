"""Fixtures of the command's tests."""

from commands import bundle, fanwise, machine
from keras_models import made_models

__all__ = ["bundle", "fanwise", "machine", "made_models"]  # fixtures
