"""Does what its event says: lives, dies, answers and grows, in the ways that an environment has to stand."""

import ctypes
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from awslambdaric import lambda_runtime_client


class PoisonItem(ValueError):
    """An error of the function's own."""


def _tell(context: Any) -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "cwd": os.getcwd(),
        "tmp": tempfile.gettempdir(),
        "variables": dict(os.environ),
        "remaining_ms": context.get_remaining_time_in_millis(),
        "request_id": context.aws_request_id,
        "function": [context.function_name, context.memory_limit_in_mb, context.invoked_function_arn],
    }


def _grow(size_mb: int) -> None:
    """Hold that much and wait to be killed for it."""
    held = bytearray(size_mb * 2**20)
    held[:: os.sysconf("SC_PAGE_SIZE")] = b"x" * len(range(0, len(held), os.sysconf("SC_PAGE_SIZE")))
    time.sleep(60)


def _grow_in_a_child(size_mb: int) -> None:
    """The same in a process that a thread started, which is then not a child of the main thread."""
    code = f"x = b'x' * ({size_mb} * 2**20); import time; time.sleep(60)"
    thread = threading.Thread(target=subprocess.run, args=([sys.executable, "-c", code],))
    thread.start()
    thread.join()


def _share(size_mb: int) -> str:
    """Hold memory that three children have too, without a page of their own; for a few samples."""
    held = b"x" * (size_mb * 2**20)
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            time.sleep(0.6)
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    return f"{len(held) >> 20} MB shared"


def _wait_for(path: Path, until: str) -> str:
    """Say that it is at work, by a file with its id, and go on when another file is there."""
    path.with_suffix(".begun").write_text(str(os.getpid()))
    path.with_suffix(".begun").rename(path)
    while not Path(until).exists():
        time.sleep(0.005)
    return path.name


def _count_running(folder: Path) -> int:
    """How many of these run at once, as this one sees it."""
    mine = folder / f"{time.monotonic_ns()}.running"
    mine.touch()
    time.sleep(0.05)
    running = len(list(folder.glob("*.running")))
    mine.unlink()
    return running


def _raise(message: str) -> None:
    raise PoisonItem(message)


def _end_by(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(60)


def _note(text: str) -> str:
    """Add to what this environment's folder keeps, and return all of it."""
    with (Path(tempfile.gettempdir()) / "notes").open("a+") as notes:
        notes.write(text)
        notes.seek(0)
        return notes.read()


def _append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def _die_after_the_answer() -> int:
    threading.Timer(0.1, os._exit, [9]).start()
    return os.getpid()


def _die_before_asking_again() -> int:
    """The answer goes out; where the runtime would ask for the next event, the process ends."""

    def ends() -> None:
        time.sleep(0.2)
        os._exit(9)

    lambda_runtime_client.runtime_client.next = ends
    return os.getpid()


DEEDS: dict[str, Callable[[Any], Any]] = {
    "echo": lambda value: value,
    "print": lambda value: sys.stdout.write(f"{value}\n"),
    "raise": _raise,
    "exit": sys.exit,
    "exit at once": os._exit,
    "signal": _end_by,
    "segfault": lambda _: ctypes.string_at(0),
    "sleep": time.sleep,
    "grow": _grow,
    "grow in a child": _grow_in_a_child,
    "share": _share,
    "leave a child": lambda _: subprocess.Popen(["sleep", "60"]).pid,
    "die after the answer": lambda _: _die_after_the_answer(),
    "die before asking again": lambda _: _die_before_asking_again(),
    "note": _note,
    "wait": lambda value: _wait_for(Path(value["at_work"]), value["until"]),
    "count running": lambda value: _count_running(Path(value)),
    "append": lambda value: _append(Path(value["path"]), value["text"]),
    "return bytes": lambda _: b"\xff",
    "return NaN": lambda _: float("nan"),
    "return an object": lambda _: object(),
    "return text of": lambda value: "x" * value,
    "return umlauts": lambda value: "\u00e4" * value,
}


def lambda_handler(event: dict[str, Any], context: Any) -> Any:
    """`{"do": deed, "with": value}`."""
    return _tell(context) if event["do"] == "tell" else DEEDS[event["do"]](event.get("with"))
