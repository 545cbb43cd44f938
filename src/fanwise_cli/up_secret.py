"""The secret of a `fanwise up`, in a file that nobody but its owner reads: for our own commands, in any shell.

A file a port, in the cache folder: `up/PORT.json`, there while `up` runs. Each start has another secret, so what
one that was killed has left behind opens nothing.
"""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from fanwise_cli.settings import cache_dir

LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Secret(msgspec.Struct, frozen=True, kw_only=True):
    """What a command needs to be let in."""

    access_key_id: str
    secret_access_key: str
    region: str


def secret_path(port: int) -> Path:
    """Where the secret of what listens on a port is kept."""
    return cache_dir() / "up" / f"{port}.json"


@contextmanager
def secret_kept(port: int, secret: Secret) -> Iterator[Path]:
    """Keep it until the end. Raises `OSError` where it cannot be written."""
    path = secret_path(port)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    text = json.dumps(msgspec.to_builtins(secret))
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, prefix=".writing-", delete=False
    ) as file:  # mode 0600
        file.write(text)
    os.replace(file.name, path)
    try:
        yield path
    finally:
        with suppress(OSError):
            if path.read_text() == text:  # and not that of another, which has the port by now
                path.unlink()


def secret_of(endpoint_url: str | None) -> Secret | None:
    """That of what an address of this machine names; None where nothing is kept for it."""
    try:
        parts = urlsplit(endpoint_url or "")
        if parts.hostname not in LOOPBACK or parts.port is None:
            return None
        return msgspec.json.decode(secret_path(parts.port).read_bytes(), type=Secret)
    except (OSError, ValueError, msgspec.DecodeError):
        return None
