"""The command line's words of `fanwise tune`, which measures on this machine, or with `--stack` on Lambda."""

from pathlib import Path
from typing import Annotated

import typer

from fanwise_cli.estimate_command import Architecture, Model
from fanwise_cli.exit_codes import EXIT_OK
from fanwise_cli.manifest_options import MaxConcurrency
from fanwise_cli.stack.options import (
    Endpoint,
    Items,
    Json,
    Profile,
    Quiet,
    Region,
    Work,
    connected,
)
from fanwise_cli.terminal import for_people, for_results, print_document

INTERRUPTED = "interrupted; what was changed for it is as it was; the same command begins anew"


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(tune)


def tune(
    items: Items,
    model: Model = None,
    by: Annotated[str, typer.Option("--by", help="What is best: price or time.")] = "price",
    memory: Annotated[
        list[str] | None,
        typer.Option("--memory", help="MB to try, by commas or repeated; else a few, as far as they help."),
    ] = None,
    batch_size: Annotated[
        list[str] | None,
        typer.Option("--batch-size", help="Items an invocation to try, likewise; else by fours."),
    ] = None,
    runtime: Annotated[
        list[str] | None,
        typer.Option("--runtime", help="litert, tensorflow; else all the model is made for."),
    ] = None,
    max_concurrency: MaxConcurrency = None,
    count: Annotated[
        int | None, typer.Option("--items", min=1, help="Items of the whole job; else as many as ITEMS has.")
    ] = None,
    repeats: Annotated[
        int,
        typer.Option("--repeats", min=1, max=100, help="Warm invocations of each kind; the median counts."),
    ] = 3,
    root: Annotated[
        list[str] | None,
        typer.Option("--root", help="DIR or NAME=DIR: a folder that items point into, on this machine."),
    ] = None,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="Draw price against time into FILE.svg or .png.")
    ] = None,
    arch: Architecture = None,
    stack: Annotated[
        str | None, typer.Option("--stack", help="Measure on that stack, in place of this machine.")
    ] = None,
    region: Region = None,
    aws_profile: Profile = None,
    endpoint_url: Endpoint = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> Work:
    """Try batch sizes, memory sizes and runtimes on real items, and say which are best."""

    def work() -> int:
        from fanwise_cli.tuning import options as words  # noqa: PLC0415 - --help needs none
        from fanwise_cli.tuning.tune import check, tune_here  # noqa: PLC0415 - as above

        options = words.TuneOptions(
            items=items,
            model=model,
            by=words.by_of(by),
            memory_mb=words.memory_sizes_of(memory),
            batch_sizes=words.batch_sizes_of(batch_size),
            runtimes=words.runtimes_asked_for(runtime),
            max_concurrency=max_concurrency,
            count=count,
            repeats=repeats,
            roots=root or (),
            region=region,
            architecture=arch,
            picture=picture,
            quiet=quiet,
        )
        check(options)
        console = for_people()
        if stack is not None:
            from fanwise_cli.stack.tuning import tune_there  # noqa: PLC0415 - as above

            with connected(stack, region, aws_profile, endpoint_url, INTERRUPTED) as at:
                tuned = tune_there(options, at, console)
        else:
            words.refuse_options_of_a_stack(aws_profile, endpoint_url)
            tuned = tune_here(options, console)
        if picture is not None:
            from fanwise_cli.tuning.picture import draw  # noqa: PLC0415 - of those who draw

            draw(tuned, picture)
        if as_json:
            print_document(tuned.described())
        else:
            from fanwise_cli.tuning.table import print_tuned  # noqa: PLC0415 - as above

            print_tuned(for_results(), tuned, stack)
        return EXIT_OK

    return work
