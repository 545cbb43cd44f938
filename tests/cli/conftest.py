"""Fixtures of the command's tests."""

from keras_models import made_models as made_models  # a fixture
