"""The command `fanwise`: reads the words of the command line, and ends with an exit code (CONTRACTS).

0 every item predicted · 3 some items dead-lettered · 1 the job failed · 2 usage, or input that stopped the
command before any work · 130 interrupted.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

import fanwise
from fanwise.errors import FanwiseError, InputError
from fanwise_cli.run import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE, RunOptions
from fanwise_cli.run import run as run_job

app = typer.Typer(
    name="fanwise",
    help="Batch inference of TensorFlow models on AWS Lambda, and the same state machine on this machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"fanwise {fanwise.__version__}")
        raise typer.Exit


@app.callback()
def _fanwise(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def run(
    items: Annotated[
        Path, typer.Argument(help="An items file (.jsonl, .ndjson, .csv), a folder, or a manifest (.json).")
    ],
    out: Annotated[Path, typer.Option("--out", help="The job's home: results, and what it needs to go on.")],
    model: Annotated[
        Path | None,
        typer.Option("--model", help="A model bundle, a SavedModel folder or a .keras file."),
    ] = None,
    batch_size: Annotated[
        str | None, typer.Option("--batch-size", help="Items an invocation is given, 1 to 100,000, or auto.")
    ] = None,
    max_concurrency: Annotated[
        int | None, typer.Option("--max-concurrency", help="Invocations at once, 1 to 10,000.")
    ] = None,
    runtime: Annotated[str | None, typer.Option("--runtime", help="auto, tensorflow or litert.")] = None,
    tolerate: Annotated[
        float | None,
        typer.Option(
            "--tolerate", help="Percent of items that may be dead letters before the job has FAILED."
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Makes a run of its own out of the same items and model.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Run the job that OUT holds anew.")] = False,
    root: Annotated[
        list[str] | None,
        typer.Option("--root", help="DIR or NAME=DIR: a further folder that items may name as s3://NAME/…"),
    ] = None,
    environments: Annotated[
        int | None,
        typer.Option(
            "--environments", min=1, help="Processes at once; by default as cores and memory allow."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print summary.json, and nothing else, on stdout.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no summary.")] = False,
) -> None:
    """Run a job on this machine, on the deployed definition."""
    options = RunOptions(
        items=items,
        out=out,
        model=model,
        batch_size=batch_size,
        max_concurrency=max_concurrency,
        runtime=runtime,
        tolerate=tolerate,
        name=name,
        again=again,
        roots=root or (),
        environments=environments,
        as_json=as_json,
        quiet=quiet,
    )
    raise typer.Exit(run_job(options, console=Console(stderr=True)).exit_code)


@app.command()
def demo(
    folder: Annotated[
        Path, typer.Option("--folder", help="Where the demo's model, scans and results go.")
    ] = Path("fanwise-demo"),
    as_json: Annotated[
        bool, typer.Option("--json", help="Print summary.json, and nothing else, on stdout.")
    ] = False,
) -> None:
    """Train a small model on handwritten digits and run the whole pipeline over held-out scans."""
    from fanwise_cli.demo import run_demo  # noqa: PLC0415 - only the demo needs it

    raise typer.Exit(run_demo(folder, as_json=as_json, console=Console(stderr=True)))


def main() -> None:
    """Run the command; whatever stops it becomes one line and an exit code, never a traceback."""
    try:
        app()
    except InputError as error:
        _say(str(error))
        sys.exit(EXIT_USAGE)
    except FanwiseError as error:
        _say(str(error))
        sys.exit(EXIT_FAILED)
    except OSError as error:
        _say(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        sys.exit(EXIT_FAILED)
    except KeyboardInterrupt:
        _say("interrupted before the job began; nothing was run")
        sys.exit(EXIT_INTERRUPTED)


def _say(message: str) -> None:
    sys.stderr.write(f"fanwise: {message}\n")


if __name__ == "__main__":
    main()
