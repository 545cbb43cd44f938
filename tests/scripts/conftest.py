"""One endpoint for the module, and a shell that knows it."""

from collections.abc import Iterator

import pytest

from aws_cli import aws_environment
from fanwise_local.doors.signatures import KeyPair
from local.doors.endpoints import Opened, opened, stub_stack


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """An endpoint of the stack `fanwise`."""
    root = tmp_path_factory.mktemp("up")
    (root / "stack").mkdir()
    with opened(stub_stack(root / "stack"), root / "work", keys=KeyPair.fresh()) as up:
        yield up


@pytest.fixture
def shell(up: Opened, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a shell with the AWS CLI, whose failures it takes for what they are at once."""
    told = up.endpoint.environment() | {"AWS_MAX_ATTEMPTS": "1"}
    return aws_environment(told, tmp_path_factory.mktemp("home"))
