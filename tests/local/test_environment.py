"""One execution environment, with real processes: it lives, dies and answers as on Lambda."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwise_local.environment import Environment, EnvironmentClosed, InvokeResult
from fanwise_local.runtime_api import MAX_PAYLOAD_BYTES
from fanwise_local.template import Function

from .invoking import (
    answer,
    encoded,
    is_running,
    linux_only,
    made,
    run,
    until_ended,
    until_gone,
    until_written,
)


@asynccontextmanager
async def environment_of(
    function: Function,
    folder: Path,
    init_limit_s: float = 10.0,
    extra_environment: dict[str, str] | None = None,
) -> AsyncIterator[Environment]:
    with (folder / "log").open("ab") as log:
        environment = Environment(
            function,
            folder=folder / "tmp",
            log=log,
            extra_environment=extra_environment or {},
            init_limit_s=init_limit_s,
        )
        try:
            yield environment
        finally:
            await environment.close()


def invoked(
    function: Function, folder: Path, *events: bytes, init_limit_s: float = 10.0
) -> list[InvokeResult]:
    """The results of these events, one after the other, in one environment."""

    async def main() -> list[InvokeResult]:
        async with environment_of(function, folder, init_limit_s) as environment:
            return [await environment.invoke(event) for event in events]

    return run(main())


TELL = encoded("tell")


# Cold and warm.


def test_the_first_event_starts_a_process_and_the_next_ones_find_it_warm(tmp_path: Path) -> None:
    results = invoked(made(), tmp_path, TELL, TELL, TELL)
    assert len({answer(result)["pid"] for result in results}) == 1
    assert [result.cold for result in results] == [True, False, False]
    assert results[0].init_ms > 0
    assert [result.init_ms for result in results[1:]] == [0, 0]
    assert len({result.request_id for result in results}) == 3


def test_the_context_tells_the_function_the_request_and_the_time_left(tmp_path: Path) -> None:
    (result,) = invoked(made(memory_mb=640), tmp_path, TELL)
    told = answer(result)
    assert told["function"] == ["obedient", "640", made().arn]
    assert told["request_id"] == result.request_id
    assert 0 < told["remaining_ms"] <= 30_000
    assert told["cwd"] == str(made().task_root)
    assert told["tmp"] == str(tmp_path / "tmp")


# Environment variables.


def test_a_process_has_lambdas_variables_and_its_own_and_none_of_the_callers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_PROFILE",
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONHASHSEED",
        "FANWISE_OF_THE_CALLER",
        "OMP_NUM_THREADS",
        "TZ",
    ):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("PYTHONPATH", "relative")
    function = made(variables={"OWN": "ä", "AWS_REGION": "mars-1", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1"})

    async def main() -> dict[str, str]:
        async with environment_of(function, tmp_path, extra_environment={"EXTRA": "x"}) as environment:
            variables: dict[str, str] = answer(await environment.invoke(TELL))["variables"]
            return variables

    variables = run(main())
    machine = {"PATH", "HOME", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "VIRTUAL_ENV"}
    # What the interpreter and awslambdaric set themselves.
    by_itself = {"LC_CTYPE", "_X_AMZN_TRACE_ID", "__PYVENV_LAUNCHER__"}
    address = variables.pop("AWS_LAMBDA_RUNTIME_API")
    assert address.startswith("127.0.0.1:")
    assert {name: text for name, text in variables.items() if name not in machine | by_itself} == {
        "OWN": "ä",
        "EXTRA": "x",
        "AWS_REGION": "eu-west-3",
        "AWS_DEFAULT_REGION": "eu-west-3",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.12",
        "AWS_LAMBDA_FUNCTION_NAME": "obedient",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/obedient",
        "AWS_LAMBDA_LOG_STREAM_NAME": "tmp",
        "LAMBDA_TASK_ROOT": str(function.task_root),
        "LANG": "en_US.UTF-8",
        "PYTHONPATH": os.pathsep.join([str(function.task_root), str(Path.cwd() / "relative")]),
        "PYTHONUTF8": "1",
        "TMPDIR": str(tmp_path / "tmp"),
        "TZ": ":UTC",
        "_HANDLER": "handler.lambda_handler",
    }


# Deaths.


def test_a_timeout_kills_the_process_and_its_folder_stays(tmp_path: Path) -> None:
    function = made(timeout_s=1)
    told, noted, late, after, again = invoked(
        function, tmp_path, TELL, encoded("note", "a"), encoded("sleep", 60), encoded("note", "b"), TELL
    )
    assert late.fault is not None
    assert late.fault.error_type == "Sandbox.Timedout"
    assert late.fault.payload == {
        "errorType": "Sandbox.Timedout",
        "errorMessage": f"RequestId: {late.request_id} Error: Task timed out after 1.00 seconds",
    }
    assert late.duration_ms >= 1000
    assert answer(noted) == "a"
    assert (answer(after), after.cold) == ("ab", True)
    assert answer(again)["pid"] != answer(told)["pid"]
    assert not is_running(answer(told)["pid"])
    assert "Task timed out after 1.00 seconds" in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    ("event", "how"),
    [
        (encoded("exit", 3), "Runtime exited with error: exit status 3"),
        (encoded("exit at once", 0), "Runtime exited without providing a reason"),
        (encoded("signal", signal.SIGKILL), "Runtime exited with error: signal: killed"),
        (encoded("segfault"), "Runtime exited with error: signal: segmentation fault"),
    ],
)
def test_a_process_that_ends_is_an_exit_error_and_the_next_event_gets_a_new_one(
    tmp_path: Path, event: bytes, how: str
) -> None:
    died, after = invoked(made(), tmp_path, event, TELL)
    assert died.fault is not None
    assert died.fault.payload == {
        "errorType": "Runtime.ExitError",
        "errorMessage": f"RequestId: {died.request_id} Error: {how}",
    }
    assert answer(after)["pid"]
    assert after.cold


@linux_only
@pytest.mark.parametrize("do", ["grow", "grow in a child"])
def test_a_process_over_its_memory_is_killed_with_its_children(tmp_path: Path, do: str) -> None:
    died, after = invoked(made(memory_mb=128), tmp_path, encoded(do, 300), TELL)
    assert died.fault is not None
    assert died.fault.payload == {
        "errorType": "Runtime.OutOfMemory",
        "errorMessage": f"RequestId: {died.request_id} Error: Runtime exited with error: signal: killed",
    }
    assert after.cold
    assert answer(after)["pid"]


@linux_only
def test_memory_that_children_share_counts_once(tmp_path: Path) -> None:
    (result,) = invoked(made(memory_mb=256), tmp_path, encoded("share", 100))
    assert answer(result) == "100 MB shared"


def test_one_that_dies_after_its_answer_costs_no_later_event(tmp_path: Path) -> None:
    async def main() -> None:
        async with environment_of(made(), tmp_path) as environment:
            pid = answer(await environment.invoke(encoded("die after the answer")))
            until_ended(pid)  # and the loop, which stands still, has not heard of it
            after = await environment.invoke(TELL)
            assert after.cold
            assert answer(after)["pid"] != pid

    run(main())


def test_one_that_dies_before_it_asks_again_costs_no_later_event(tmp_path: Path) -> None:
    died, after = invoked(made(), tmp_path, encoded("die before asking again"), TELL)
    assert after.cold
    assert answer(after)["pid"] != answer(died)


def test_what_a_dead_process_started_dies_with_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with environment_of(made(), tmp_path) as environment:
            child = answer(await environment.invoke(encoded("leave a child")))
            assert is_running(child)
            await environment.invoke(encoded("exit at once", 1))
            await until_gone(child)

    run(main())


# Init.


def test_an_init_longer_than_its_limit_is_done_again_inside_the_invocation(tmp_path: Path) -> None:
    function = made("initialising", variables={"INIT": "sleep:1"})
    first, second = invoked(function, tmp_path, b"{}", b"{}", init_limit_s=0.5)
    assert answer(first)["inits"] in (1, 2)  # the first may have been killed before its first line
    assert first.cold
    assert first.init_ms >= 500
    assert first.duration_ms >= 1000  # the second init is in it,
    assert answer(first)["remaining_ms"] <= 29_000  # and takes from the time of the invocation
    assert not second.cold
    assert answer(second)["inits"] == answer(first)["inits"]


def test_an_init_that_takes_longer_than_the_function_may_is_its_timeout(tmp_path: Path) -> None:
    function = made("initialising", variables={"INIT": "sleep:60"}, timeout_s=1)
    (result,) = invoked(function, tmp_path, b"{}", init_limit_s=0.2)
    assert result.fault is not None
    assert result.fault.error_type == "Sandbox.Timedout"
    assert result.fault.payload["errorMessage"].endswith("Task timed out after 1.00 seconds")


@pytest.mark.parametrize(
    ("init", "error_type", "message"),
    [
        ("exit:7", "Runtime.ExitError", "Runtime exited with error: exit status 7"),
        ("raise:no luck", "ValueError", "no luck"),
        pytest.param(
            "grow:300", "Runtime.OutOfMemory", "Runtime exited with error: signal: killed", marks=linux_only
        ),
    ],
)
def test_an_init_that_fails_is_tried_twice_and_told_once(
    tmp_path: Path, init: str, error_type: str, message: str
) -> None:
    async def main() -> tuple[InvokeResult, int]:
        function = made("initialising", variables={"INIT": init}, memory_mb=128)
        async with environment_of(function, tmp_path) as environment:
            result = await environment.invoke(b"{}")
            return result, len((tmp_path / "tmp" / "inits").read_text().splitlines())

    result, inits = run(main())
    assert result.fault is not None
    assert result.fault.error_type == result.fault.payload["errorType"] == error_type
    assert result.fault.payload["errorMessage"].endswith(message)
    assert inits == 2


@pytest.mark.parametrize(
    ("code", "error_type", "message"),
    [
        ("import no_such_module", "Runtime.ImportModuleError", "No module named 'no_such_module'"),
        ("def lambda_handler(:", "Runtime.UserCodeSyntaxError", "Syntax error in module 'handler'"),
        ("x = 1", "Runtime.HandlerNotFound", "Handler 'lambda_handler' missing on module 'handler'"),
    ],
)
def test_a_handler_that_cannot_be_loaded_is_told_as_awslambdaric_tells_it(
    tmp_path: Path, code: str, error_type: str, message: str
) -> None:
    (tmp_path / "handler.py").write_text(code)
    (result,) = invoked(made(tmp_path), tmp_path, b"{}")
    assert result.fault is not None
    assert result.fault.error_type == error_type
    assert message in result.fault.payload["errorMessage"]


# Answers.


def test_a_handlers_own_error_is_told_by_its_class_and_leaves_the_process_warm(tmp_path: Path) -> None:
    told, failed, after = invoked(made(), tmp_path, TELL, encoded("raise", "früh"), TELL)
    assert failed.fault is not None
    assert failed.fault.error_type == "PoisonItem"
    assert failed.fault.payload["errorMessage"] == "früh"
    assert failed.fault.payload["requestId"] == failed.request_id
    assert "handler.py" in failed.fault.payload["stackTrace"][0]
    assert answer(after)["pid"] == answer(told)["pid"]


def test_a_response_of_six_megabytes_passes_and_more_is_refused_without_a_death(tmp_path: Path) -> None:
    quotes = 2
    told, most, more, much_more, after = invoked(
        made(),
        tmp_path,
        TELL,
        encoded("return text of", MAX_PAYLOAD_BYTES - quotes),
        encoded("return text of", MAX_PAYLOAD_BYTES - quotes + 1),
        encoded("return text of", 3 * MAX_PAYLOAD_BYTES),
        TELL,
    )
    assert len(answer(most)) == MAX_PAYLOAD_BYTES - quotes
    for result in (more, much_more):
        assert result.fault is not None
        assert result.fault.error_type == "Function.ResponseSizeTooLarge"
        assert str(MAX_PAYLOAD_BYTES) in result.fault.payload["errorMessage"]
    assert answer(after)["pid"] == answer(told)["pid"]


def test_a_response_counts_as_utf8_not_as_escapes(tmp_path: Path) -> None:
    (result,) = invoked(made(), tmp_path, encoded("return umlauts", 2_000_000))
    assert len(result.payload) == 2 * 2_000_000 + 2


def test_a_result_that_is_not_json_is_a_marshal_error(tmp_path: Path) -> None:
    (result,) = invoked(made(), tmp_path, encoded("return an object"))
    assert result.fault is not None
    assert result.fault.error_type == "Runtime.MarshalError"
    assert "Unable to marshal response" in result.fault.payload["errorMessage"]


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Sends a value through one environment that all examples share."""
    with asyncio.Runner() as runner:
        context = environment_of(made(), tmp_path_factory.mktemp("echo"))
        environment = runner.run(context.__aenter__())
        yield lambda value: answer(runner.run(environment.invoke(encoded("echo", value))))
        runner.run(context.__aexit__(None, None, None))


texts = st.text(st.characters(exclude_categories=["Cs"]))
jsons = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
)


@given(value=jsons)
def test_any_json_comes_back_as_it_went_in(echo: Any, value: Any) -> None:
    assert echo(value) == value


# Cancellation, closing, and the end of the cloud.


def test_a_cancelled_invocation_ends_the_process_and_the_next_gets_a_new_one(tmp_path: Path) -> None:
    async def main() -> None:
        async with environment_of(made(), tmp_path) as environment:
            pid = answer(await environment.invoke(TELL))["pid"]
            at_work = tmp_path / "at work"
            event = encoded("wait", {"at_work": str(at_work), "until": str(tmp_path / "never")})
            task = asyncio.create_task(environment.invoke(event))
            await until_written(at_work)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            after = await environment.invoke(TELL)
            assert not is_running(pid)
            assert after.cold
            assert answer(after)["pid"] != pid

    run(main())


def test_a_cancellation_in_the_middle_of_init_leaves_the_environment_usable(tmp_path: Path) -> None:
    async def main() -> None:
        function = made("initialising", variables={"INIT": "sleep once:60"})
        async with environment_of(function, tmp_path, init_limit_s=60) as environment:
            task = asyncio.create_task(environment.invoke(b"{}"))
            await until_written(tmp_path / "tmp" / "inits")
            pid = environment.pid
            assert pid is not None
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert answer(await environment.invoke(b"{}"))["inits"] == 2
            assert not is_running(pid)

    run(main())


@pytest.mark.parametrize("moment", ["at work", "in its init"])
def test_closing_does_not_wait_for_an_invocation(tmp_path: Path, moment: str) -> None:
    async def main() -> None:
        if moment == "at work":
            function, made_first = made(), tmp_path / "at work"
            event = encoded("wait", {"at_work": str(made_first), "until": str(tmp_path / "never")})
        else:
            function = made("initialising", variables={"INIT": "sleep:120"}, timeout_s=120)
            made_first, event = tmp_path / "tmp" / "inits", b"{}"
        async with environment_of(function, tmp_path, init_limit_s=120) as environment:
            task = asyncio.create_task(environment.invoke(event))
            await until_written(made_first)
            pid = environment.pid
            assert pid is not None
            await environment.close()
            assert not is_running(pid)
            with pytest.raises(EnvironmentClosed, match="obedient"):
                await task
            with pytest.raises(EnvironmentClosed):
                await environment.invoke(TELL)
            assert environment.pid is None

    run(main())


def test_closed_it_leaves_no_process_no_port_and_no_folder(tmp_path: Path) -> None:
    async def main() -> None:
        async with environment_of(made(), tmp_path) as environment:
            told = answer(await environment.invoke(TELL))
        assert not is_running(told["pid"])
        host, port = told["variables"]["AWS_LAMBDA_RUNTIME_API"].split(":")
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(host, int(port))
        assert not (tmp_path / "tmp").exists()

    run(main())


@linux_only
def test_processes_die_with_a_cloud_that_is_killed(tmp_path: Path) -> None:
    code = """
import asyncio, json, sys
from pathlib import Path
from fanwise_local.environment import Environment
from fanwise_local.template import Function

async def main():
    root, folder, at_work = map(Path, sys.argv[1:])
    function = Function("F", "f", "arn:aws:lambda:r:1:function:f", root, "handler.lambda_handler",
                        (), {}, 512, 60, 512)
    environment = Environment(function, folder=folder, log=(folder.parent / "log").open("ab"),
                              extra_environment={})
    event = {"do": "wait", "with": {"at_work": str(at_work), "until": str(at_work) + ".never"}}
    await environment.invoke(json.dumps(event).encode())

asyncio.run(main())
"""
    at_work = tmp_path / "at work"
    arguments = [sys.executable, "-c", code, str(made().task_root), str(tmp_path / "tmp"), str(at_work)]
    with subprocess.Popen(arguments) as cloud:
        run(until_written(at_work))
        pid = int(at_work.read_text())
        assert is_running(pid)
        cloud.kill()  # in the middle of an invocation: a process that waited for one would see its port close
    run(until_gone(pid))


# Logs.


def test_what_a_function_prints_and_raises_is_in_the_log(tmp_path: Path) -> None:
    invoked(made(), tmp_path, encoded("print", "größe"), encoded("raise", "no luck"))
    log = (tmp_path / "log").read_bytes()
    assert "größe\n".encode() in log
    assert b"PoisonItem: no luck" in log
    assert b"\r" not in log  # which on CloudWatch keeps a traceback together, and here would hide it


def test_an_event_that_awslambdaric_cannot_read_fails_alone(tmp_path: Path) -> None:
    unread, after = invoked(made(), tmp_path, b"{", TELL)
    assert unread.fault is not None
    assert unread.fault.error_type == "Runtime.UnmarshalError"
    assert msgspec.json.decode(after.payload)["pid"]
