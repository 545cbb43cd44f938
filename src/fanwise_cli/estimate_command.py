"""The command line's words of `fanwise estimate` and `fanwise profile`, which work with a stack or without one."""

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Annotated

import typer

from fanwise.limits import MAX_MEMORY_MB, MIN_MEMORY_MB
from fanwise_cli.exit_codes import EXIT_OK
from fanwise_cli.manifest_options import BatchSize, MaxConcurrency, RuntimeName
from fanwise_cli.stack.options import (
    Endpoint,
    Json,
    OnStack,
    Profile,
    Quiet,
    Region,
    Stack,
    Work,
    connected,
    refuse_stack_options,
)
from fanwise_cli.terminal import for_people, for_results, print_document

if TYPE_CHECKING:
    from fanwise_cli.stack.connection import DeployedStack

# Of `fanwise simulate` too, and some of `fanwise tune`.
ItemsOrCount = Annotated[
    str,
    typer.Argument(
        metavar="ITEMS|COUNT",
        help="An items file, a folder or a manifest: of this machine, or s3://… (a folder's ends with /); or how"
        " many items there would be.",
    ),
]
Model = Annotated[
    str | None, typer.Option("--model", help="A model of this machine, or NAME@VERSION of the stack.")
]
Memory = Annotated[
    int | None,
    typer.Option(
        "--memory",
        min=MIN_MEMORY_MB,
        max=MAX_MEMORY_MB,
        help="PredictBatch's memory in MB; by default as deployed.",
    ),
]
Architecture = Annotated[str | None, typer.Option("--arch", help="x86_64 or arm64, for its prices.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    for command in (estimate, profile):
        app.command()(command)


def estimate(
    items: ItemsOrCount,
    model: Model = None,
    batch_size: BatchSize = None,
    max_concurrency: MaxConcurrency = None,
    runtime: RuntimeName = None,
    memory: Memory = None,
    arch: Architecture = None,
    stack: Stack = None,
    region: Region = None,
    aws_profile: Profile = None,
    endpoint_url: Endpoint = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> Work:
    """Say what a job would take and cost; nothing is uploaded or started."""

    def work() -> int:
        from fanwise_cli.estimate_table import print_estimate  # noqa: PLC0415 - --help needs none
        from fanwise_cli.estimating import reckon  # noqa: PLC0415 - as above
        from fanwise_cli.surveying import SurveyOptions  # noqa: PLC0415 - as above

        options = SurveyOptions(
            items=items,
            model=model,
            batch_size=batch_size,
            max_concurrency=max_concurrency,
            runtime=runtime,
            memory_mb=memory,
            region=region,
            architecture=arch,
            quiet=quiet or as_json,
        )

        def connect() -> "AbstractContextManager[DeployedStack]":
            return connected(stack, region, aws_profile, endpoint_url)

        reckoned = reckon(options, connect, for_people())
        if as_json:
            print_document(reckoned.described())
        else:
            print_estimate(for_results(), reckoned)
        return EXIT_OK

    return work


def profile(
    job: Annotated[
        str, typer.Argument(metavar="JOB", help="The --out folder of a job, or its id; of a stack its id.")
    ],
    stack: OnStack = None,
    region: Region = None,
    aws_profile: Profile = None,
    endpoint_url: Endpoint = None,
    as_json: Json = False,
) -> Work:
    """Put what a job measured into its model's profile, for the next estimate to rest on."""

    def work() -> int:
        if stack is not None:
            from fanwise_cli.stack.feeding_back import profile_there  # noqa: PLC0415 - as above

            with connected(stack, region, aws_profile, endpoint_url) as at:
                profile_there(job, at, as_json=as_json)
            return EXIT_OK
        refuse_stack_options(region, aws_profile, endpoint_url)
        from fanwise_cli.feeding_back import profile_here  # noqa: PLC0415 - as above

        profile_here(job, as_json=as_json)
        return EXIT_OK

    return work
