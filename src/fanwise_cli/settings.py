"""Settings of the command: flag over environment over default, read when used."""

import os
from pathlib import Path

CACHE_DIR = "FANWISE_CACHE_DIR"


def cache_dir() -> Path:
    """Where prepared model bundles are kept: FANWISE_CACHE_DIR, else the user's cache folder."""
    if own := os.environ.get(CACHE_DIR):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fanwise"
