"""Settings of the command: flag over environment over default, read when used."""

import os
from pathlib import Path

from fanwise.errors import InputError

CACHE_DIR = "FANWISE_CACHE_DIR"
DEBUG = "FANWISE_DEBUG"
PREPARE_TIMEOUT_S = "FANWISE_PREPARE_TIMEOUT_S"
STACK = "FANWISE_STACK"
DEFAULT_STACK = "fanwise"
_PREPARE_TIMEOUT_S = 30 * 60  # a model of 2 GB takes three minutes


def cache_dir() -> Path:
    """Where prepared model bundles are kept: FANWISE_CACHE_DIR, else the user's cache folder."""
    if own := os.environ.get(CACHE_DIR):
        return Path(own)
    if caches := os.environ.get("XDG_CACHE_HOME"):
        return Path(caches) / "fanwise"
    try:
        return Path.home() / ".cache" / "fanwise"
    except RuntimeError as error:
        raise InputError(
            f"there is no home folder to keep prepared models in; set {CACHE_DIR} to a folder"
        ) from error


def prepare_timeout_s() -> float:
    """How long a model may take to be prepared: FANWISE_PREPARE_TIMEOUT_S. Raises `InputError`."""
    text = os.environ.get(PREPARE_TIMEOUT_S) or str(_PREPARE_TIMEOUT_S)
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise InputError(f"{PREPARE_TIMEOUT_S} is {text[:40]!r}; seconds, more than 0")
    return seconds


def debug() -> bool:
    """Whether what nobody foresaw is shown with its traceback: FANWISE_DEBUG."""
    return bool(os.environ.get(DEBUG))


def stack_name(flag: str | None) -> str:
    """The stack that commands work on: the flag, else FANWISE_STACK, else `fanwise`."""
    return flag or os.environ.get(STACK) or DEFAULT_STACK
