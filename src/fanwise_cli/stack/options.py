"""The options of the commands that work on a stack, and what such a command does first: find it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from fanwise.errors import InputError

if TYPE_CHECKING:
    from fanwise_cli.stack.connection import DeployedStack

Work = Callable[[], int]  # what a command asks for; answers the exit code

Stack = Annotated[
    str | None, typer.Option("--stack", help="The stack's name; else FANWISE_STACK, else fanwise.")
]
OnStack = Annotated[
    str | None, typer.Option("--stack", help="A job of that stack, in place of one of this machine.")
]
Region = Annotated[
    str | None, typer.Option("--region", help="The stack's Region, in place of AWS's settings.")
]
Profile = Annotated[str | None, typer.Option("--profile", help="A profile of AWS's settings.")]
Endpoint = Annotated[
    str | None, typer.Option("--endpoint-url", help="What stands for AWS, such as fanwise up's address.")
]
Items = Annotated[
    str,
    typer.Argument(
        metavar="ITEMS",
        help="An items file, a folder or a manifest: of this machine, or s3://… (a folder's ends with /).",
    ),
]
Job = Annotated[
    str, typer.Argument(metavar="JOB", help="A job's id, or the ARN or name of an execution of the stack.")
]
JobAnywhere = Annotated[
    str,
    typer.Argument(
        metavar="JOB",
        help="The --out folder of a run here, a job's id, or the ARN or name of an execution of the stack.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else, on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress and no words.")]


@contextmanager
def connected(
    stack: str | None,
    region: str | None,
    profile: str | None,
    endpoint_url: str | None,
    interrupted: str = "interrupted; what is there stays, and the same command goes on",
) -> Iterator["DeployedStack"]:
    """The stack that the options name; what AWS says no to inside is told in one line, as is `interrupted`."""
    from fanwise_cli.stack.connection import StackOptions, at_work, connect  # noqa: PLC0415 - --help needs none

    try:
        found = connect(StackOptions(stack, region, profile, endpoint_url))
        with at_work(found):
            yield found
    except KeyboardInterrupt:
        raise KeyboardInterrupt(interrupted) from None


def refuse_stack_options(*said: str | None) -> None:
    """Raises `InputError`: without --stack the job is looked for on this machine, and none of them would count."""
    if any(said):
        raise InputError("--region, --profile and --endpoint-url are of a stack's job; give --stack NAME too")
