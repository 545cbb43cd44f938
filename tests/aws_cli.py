"""The AWS CLI as a person has it: a locked one in an environment of its own, and nothing of the caller's."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

AWS = Path(__file__).parents[1] / ".tools/awscli/bin/aws"

with_the_aws_cli = pytest.mark.skipif(
    not AWS.exists(),
    reason="the AWS CLI is not set up: scripts/environment.sh tool awscli (make test does it)",
)


def aws_environment(told: Mapping[str, str], home: Path) -> dict[str, str]:
    """What a shell would have that knows the CLI, and was told of an endpoint with `told`."""
    kept = {name: os.environ[name] for name in ("LANG", "LC_ALL") if name in os.environ}
    return {
        **kept,
        **told,
        "PATH": f"{AWS.parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_PAGER": "",
        "PYTHONUTF8": "1",
    }
