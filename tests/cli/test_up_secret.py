"""The secret of `fanwise up`: fresh at each start, in a file that only its owner reads, for our own commands."""

import json
import os
import stat
from pathlib import Path

import pytest

from cli.ups import started_up
from commands import Ended, run_process
from fanwise_cli.up_secret import secret_of, secret_path
from local.doors.endpoints import bare_at

AWS = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "AWS_REGION")


def status(url: str, **further: str) -> Ended:
    """`fanwise status` in a shell that has copied nothing, but for what is given."""
    kept = {name: value for name, value in os.environ.items() if name not in AWS}
    return run_process("status", "--endpoint-url", url, "--json", env=kept | further)


def test_it_is_kept_in_a_file_of_its_owner_s_that_our_own_commands_read(tmp_path: Path) -> None:
    with started_up(tmp_path / "up") as up:
        url = up.environment["AWS_ENDPOINT_URL"]
        path = secret_path(int(url.rpartition(":")[2]))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        secret = json.loads(path.read_text())
        assert secret["secret_access_key"] == up.environment["AWS_SECRET_ACCESS_KEY"]
        assert json.loads(status(url).stdout)["executions"] == []
        # A person who works with AWS as well has other credentials and another Region in the shell.
        mine = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "mine", "AWS_SESSION_TOKEN": "token"}
        assert status(url, **mine, AWS_REGION="eu-west-3").code == 0

        elsewhere = status(url, FANWISE_CACHE_DIR=str(tmp_path / "elsewhere"), **mine)
        assert (elsewhere.code, elsewhere.stdout) == (2, "")
        (line,) = elsewhere.stderr.splitlines()
        assert "copy the export line that it printed" in line
        copied = {name: value for name, value in up.environment.items() if name.startswith("AWS_")}
        assert status(url, FANWISE_CACHE_DIR=str(tmp_path / "elsewhere"), **copied).code == 0
    assert not path.exists()


def test_each_start_has_another_and_what_was_left_behind_opens_nothing(tmp_path: Path) -> None:
    with started_up(tmp_path / "first") as first:
        url = first.environment["AWS_ENDPOINT_URL"]
        port = url.rpartition(":")[2]
        first.process.kill()
        first.process.wait()
    assert secret_of(url) is not None  # it could not remove it
    with started_up(tmp_path / "second", "--port", port) as second:
        assert second.environment["AWS_ENDPOINT_URL"] == url
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            assert second.environment[name] != first.environment[name]
        assert status(url).code == 0
    assert secret_of(url) is None


def test_insecure_asks_for_nothing_and_keeps_no_file(tmp_path: Path) -> None:
    with started_up(tmp_path / "up", "--insecure") as up:
        url = up.environment["AWS_ENDPOINT_URL"]
        assert "--insecure: no signature is checked" in up.stderr.read_text()
        assert secret_of(url) is None
        assert bare_at(url.removeprefix("http://"), "GET", "/").status == 200
        assert status(url).code == 0


def test_where_it_cannot_be_kept_the_line_to_copy_still_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FANWISE_CACHE_DIR", "/dev/null/cache")
    with started_up(tmp_path / "up") as up:
        said = up.stderr.read_text()
        assert "The secret cannot be kept for commands of other shells" in said
        assert status(up.environment["AWS_ENDPOINT_URL"], **up.environment).code == 0


@pytest.mark.parametrize(
    "url", [None, "", "http://127.0.0.1", "http://[", "https://s3.amazonaws.com", "http://127.0.0.1:x"]
)
def test_of_another_address_there_is_none(url: str | None) -> None:
    assert secret_of(url) is None
