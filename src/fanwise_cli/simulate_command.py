"""The command line's words of `fanwise simulate`, which are those of `fanwise estimate` and a few more."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fanwise_cli.estimate_command import Architecture, ItemsOrCount, Memory, Model
from fanwise_cli.exit_codes import EXIT_OK
from fanwise_cli.manifest_options import BatchSize, MaxConcurrency, RuntimeName
from fanwise_cli.stack.options import Endpoint, Json, Profile, Quiet, Region, Stack, Work, connected
from fanwise_cli.terminal import for_people, for_results, print_document

if TYPE_CHECKING:
    from fanwise_cli.stack.connection import DeployedStack


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(simulate)


def simulate(
    items: ItemsOrCount,
    model: Model = None,
    batch_size: BatchSize = None,
    max_concurrency: MaxConcurrency = None,
    account_concurrency: Annotated[
        int | None,
        typer.Option(
            "--account-concurrency",
            min=1,
            help="Invocations at once that the account has, of all functions; by default the stack's account is"
            " asked, else 1,000.",
        ),
    ] = None,
    runtime: RuntimeName = None,
    memory: Memory = None,
    arch: Architecture = None,
    jitter: Annotated[
        float,
        typer.Option("--jitter", min=0, max=2, help="How far durations scatter: sigma of a log-normal."),
    ] = 0.1,
    tail: Annotated[
        float, typer.Option("--tail", min=0, max=1, help="The share of invocations that are stragglers.")
    ] = 0.01,
    seed: Annotated[int, typer.Option("--seed", help="Of chance: the same seed is the same run.")] = 0,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="Draw it into a file, .svg or .png.")
    ] = None,
    stack: Stack = None,
    region: Region = None,
    aws_profile: Profile = None,
    endpoint_url: Endpoint = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> Work:
    """Play a job through at the size of the cloud, in seconds: time, price, throttling; nothing is started."""

    def work() -> int:
        from fanwise_cli.simulating import SimulateOptions, simulate_job  # noqa: PLC0415 - --help needs none
        from fanwise_cli.simulation_table import print_simulation  # noqa: PLC0415 - as above
        from fanwise_cli.surveying import SurveyOptions  # noqa: PLC0415 - as above

        options = SimulateOptions(
            job=SurveyOptions(
                items=items,
                model=model,
                batch_size=batch_size,
                max_concurrency=max_concurrency,
                runtime=runtime,
                memory_mb=memory,
                region=region,
                architecture=arch,
                quiet=quiet or as_json,
            ),
            account_concurrency=account_concurrency,
            jitter=jitter,
            tail=tail,
            seed=seed,
            picture=picture,
        )

        def connect() -> "AbstractContextManager[DeployedStack]":
            return connected(stack, region, aws_profile, endpoint_url)

        simulated = simulate_job(options, connect, for_people())
        if as_json:
            print_document(simulated.described())
        else:
            print_simulation(for_results(), simulated)
        return EXIT_OK

    return work
