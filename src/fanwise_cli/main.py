"""The command `fanwise`: reads the words of the command line, and ends with an exit code (`exit_codes`).

typer reads the words and answers with what they ask for; that is done here, outside of typer, so that whatever
stops it is said in one line.
"""

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

import fanwise
from fanwise.errors import DISK_FULL, FanwiseError, InputError, room_wanted
from fanwise_cli import estimate_command, simulate_command, tune_command
from fanwise_cli.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE
from fanwise_cli.manifest_options import (
    AcceptDifference,
    BatchSize,
    MaxConcurrency,
    ModelSamples,
    RunName,
    RuntimeName,
    Tolerate,
)
from fanwise_cli.settings import DEBUG, debug
from fanwise_cli.stack import commands as stack_commands
from fanwise_cli.stack.options import (
    Endpoint,
    OnStack,
    Profile,
    Region,
    Work,
    connected,
    refuse_stack_options,
)
from fanwise_cli.terminal import accept_any_text, for_people, say

app = typer.Typer(
    name="fanwise",
    help="Batch inference of TensorFlow models on AWS Lambda, and the same state machine on this machine.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"fanwise {fanwise.__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _fanwise(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(EXIT_USAGE)


_JOB = typer.Argument(metavar="JOB", help="The --out folder of a job, or its id, found in the folders here.")
_ENVIRONMENTS = typer.Option(
    "--environments", min=1, help="Processes at once; by default as cores and memory allow."
)
_CONCURRENCY = typer.Option("--max-concurrency", min=1, max=10_000, help="In place of the job's.")
_JSON = typer.Option("--json", help="Print summary.json, and nothing else, on stdout.")
_QUIET = typer.Option("--quiet", help="No progress and no summary.")


@app.command()
def run(
    items: Annotated[
        Path, typer.Argument(help="An items file (.jsonl, .ndjson, .csv), a folder, or a manifest (.json).")
    ],
    out: Annotated[Path, typer.Option("--out", help="The job's home: results, and what it needs to go on.")],
    model: Annotated[
        Path | None,
        typer.Option("--model", help="A model bundle, a SavedModel folder, a .keras or a .tflite file."),
    ] = None,
    samples: ModelSamples = None,
    batch_size: BatchSize = None,
    max_concurrency: MaxConcurrency = None,
    runtime: RuntimeName = None,
    accept_difference: AcceptDifference = False,
    tolerate: Tolerate = None,
    name: RunName = None,
    again: Annotated[bool, typer.Option("--again", help="Run the job that OUT holds anew.")] = False,
    root: Annotated[
        list[str] | None,
        typer.Option("--root", help="DIR or NAME=DIR: a further folder that items may name as s3://NAME/…"),
    ] = None,
    environments: Annotated[int | None, _ENVIRONMENTS] = None,
    faults: Annotated[
        Path | None,
        typer.Option("--faults", help="A fault plan: what shall go wrong, to see the job outlast it."),
    ] = None,
    as_json: Annotated[bool, _JSON] = False,
    quiet: Annotated[bool, _QUIET] = False,
) -> Work:
    """Run a job on this machine, on the deployed definition."""

    def work() -> int:
        from fanwise_cli.run import HowToRun, RunOptions, run  # noqa: PLC0415 - slow to import; --help needs none

        options = RunOptions(
            items=items,
            out=out,
            model=model,
            samples=samples,
            batch_size=batch_size,
            max_concurrency=max_concurrency,
            runtime=runtime,
            accept_difference=accept_difference,
            tolerate=tolerate,
            name=name,
            again=again,
            roots=root or (),
            faults=faults,
            how=HowToRun(environments=environments, as_json=as_json, quiet=quiet),
        )
        return run(options, console=for_people()).exit_code

    return work


@app.command()
def resume(
    job: Annotated[str, _JOB],
    max_concurrency: Annotated[int | None, _CONCURRENCY] = None,
    environments: Annotated[int | None, _ENVIRONMENTS] = None,
    stack: OnStack = None,
    region: Region = None,
    profile: Profile = None,
    endpoint_url: Endpoint = None,
    as_json: Annotated[bool, _JSON] = False,
    quiet: Annotated[bool, _QUIET] = False,
) -> Work:
    """Go on with a job: what has no commit is tried, and nothing else."""

    def work() -> int:
        if stack is not None:
            from fanwise_cli.stack import control  # noqa: PLC0415 - as above

            with connected(stack, region, profile, endpoint_url) as at:
                going_on_there = control.resume(job, at, max_concurrency=max_concurrency)
                return stack_commands.follow(going_on_there, at, for_people(), as_json=as_json, quiet=quiet)
        refuse_stack_options(region, profile, endpoint_url)
        from fanwise_cli import going_on  # noqa: PLC0415 - as above
        from fanwise_cli.preparation import HowToRun  # noqa: PLC0415 - as above

        how = HowToRun(environments=environments, as_json=as_json, quiet=quiet)
        return going_on.resume(job, max_concurrency=max_concurrency, how=how, console=for_people()).exit_code

    return work


@app.command()
def replay(
    job: Annotated[str, _JOB],
    model: Annotated[
        Path | None, typer.Option("--model", help="Another model than the job's, in any form `run` takes.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", min=1, max=100_000, help="In place of the job's.")
    ] = None,
    max_concurrency: Annotated[int | None, _CONCURRENCY] = None,
    environments: Annotated[int | None, _ENVIRONMENTS] = None,
    stack: OnStack = None,
    region: Region = None,
    profile: Profile = None,
    endpoint_url: Endpoint = None,
    as_json: Annotated[bool, _JSON] = False,
    quiet: Annotated[bool, _QUIET] = False,
) -> Work:
    """Try the dead letters of a job again, as a job of their own; results go to JOB/replays/1, 2 and so on."""

    def work() -> int:
        if stack is not None:
            from fanwise_cli.stack import control  # noqa: PLC0415 - as above

            with connected(stack, region, profile, endpoint_url) as at:
                replayed = control.replay(
                    job,
                    at,
                    for_people(),
                    model=model,
                    batch_size=batch_size,
                    max_concurrency=max_concurrency,
                    quiet=quiet,
                )
                return stack_commands.follow(replayed, at, for_people(), as_json=as_json, quiet=quiet)
        refuse_stack_options(region, profile, endpoint_url)
        from fanwise_cli import going_on  # noqa: PLC0415 - as above
        from fanwise_cli.preparation import HowToRun  # noqa: PLC0415 - as above

        how = HowToRun(environments=environments, as_json=as_json, quiet=quiet)
        return going_on.replay(
            job,
            model=model,
            batch_size=batch_size,
            max_concurrency=max_concurrency,
            how=how,
            console=for_people(),
        ).exit_code

    return work


@app.command()
def demo(
    folder: Annotated[
        Path, typer.Option("--folder", help="Where the demo's model, scans and results go.")
    ] = Path("fanwise-demo"),
    as_json: Annotated[bool, _JSON] = False,
) -> Work:
    """Train a small model on handwritten digits and run the whole pipeline over held-out scans."""

    def work() -> int:
        from fanwise_cli.demo import run_demo  # noqa: PLC0415 - as above

        return run_demo(folder, as_json=as_json, console=for_people())

    return work


@app.command()
def verify(
    job: Annotated[
        str,
        typer.Argument(
            metavar="JOB", help="The --out folder of a run, or the id of a job in a folder of this one."
        ),
    ],
    root: Annotated[
        list[str] | None,
        typer.Option(
            "--root",
            help="DIR or NAME=DIR: where a folder that the run read is now. 64 hexadecimal digits: the root"
            " that the job had, kept elsewhere.",
        ),
    ] = None,
    recompute: Annotated[
        int,
        typer.Option(
            "--recompute",
            metavar="N",
            min=0,
            help="Predict N of the items again, each alone, and compare; on TensorFlow where the model has it.",
        ),
    ] = 0,
    stack: OnStack = None,
    region: Region = None,
    profile: Profile = None,
    endpoint_url: Endpoint = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the account, and nothing else, on stdout.")
    ] = False,
) -> Work:
    """Read every line of a job, and prove that every item is accounted for, once."""

    def work() -> int:
        if stack is not None:
            from fanwise_cli.stack import control  # noqa: PLC0415 - as above

            with connected(stack, region, profile, endpoint_url) as at:
                return control.verify(
                    job, at, for_people(), roots=root or (), recompute=recompute, as_json=as_json
                )
        refuse_stack_options(region, profile, endpoint_url)
        from fanwise_cli.verify import VerifyOptions, verify  # noqa: PLC0415 - as above

        return verify(VerifyOptions(job, root or (), recompute, as_json), console=for_people())

    return work


@app.command()
def up(
    port: Annotated[
        int, typer.Option("--port", min=0, max=65_535, help="Of 127.0.0.1; 0 is any free one.")
    ] = 0,
    stack: Annotated[str, typer.Option("--stack", help="The stack's name.")] = "fanwise",
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", help="KEY=VALUE: a parameter of template.yaml.")
    ] = None,
    model: Annotated[
        list[Path] | None, typer.Option("--model", help="A model to publish, in any form `run` takes.")
    ] = None,
    environments: Annotated[int | None, _ENVIRONMENTS] = None,
    logs: Annotated[
        Path | None, typer.Option("--logs", help="A folder for logs, which are gone at the end without it.")
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Let in every program of this machine, signed or not.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the endpoint and the stack's outputs as JSON on stdout.")
    ] = False,
) -> Work:
    """Run the deployed stack on this machine, for the AWS CLI and SDKs, until it is interrupted."""

    def work() -> int:
        from fanwise_cli.up import UpOptions, up  # noqa: PLC0415 - as above

        options = UpOptions(
            port=port,
            stack=stack,
            parameters=parameter or (),
            models=model or (),
            environments=environments,
            logs=logs,
            insecure=insecure,
            as_json=as_json,
        )
        return up(options, console=for_people())

    return work


estimate_command.register(app)
simulate_command.register(app)
tune_command.register(app)
stack_commands.register(app)


def main(words: Sequence[str] | None = None) -> int:
    """Run the command and answer with its exit code; whatever stops it becomes one line, never a traceback."""
    accept_any_text()
    with _interruptible():
        try:
            _refuse_empty_words(sys.argv[1:] if words is None else words)
            asked: Work | int = app(words, prog_name="fanwise", standalone_mode=False)
            return asked() if callable(asked) else int(asked or EXIT_OK)
        except (Exception, KeyboardInterrupt) as error:
            exit_code, message = _ending(error)
            say(message)
            return exit_code


def _refuse_empty_words(words: Sequence[str]) -> None:
    """Raises `InputError` for what a variable of the shell that is not set leaves: as a path it is this folder."""
    for before, word in zip(["", *words], words, strict=False):
        if not word:
            after = f" after {before}" if before else ""
            raise InputError(f"there is an empty word{after}; is a variable of the shell not set?")


@contextmanager
def _interruptible() -> Iterator[None]:
    """Have SIGTERM raise `KeyboardInterrupt`, as SIGINT does, so that both leave by the same way."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _ending(error: BaseException) -> tuple[int, str]:
    """The exit code, and what to say. With FANWISE_DEBUG, what nobody foresaw is raised again."""
    match error:
        case TyperException():
            return EXIT_USAGE, f"{error.format_message().rstrip('.')}; fanwise --help says what there is"
        case InputError():
            return EXIT_USAGE, str(error)
        case FanwiseError():
            return EXIT_FAILED, str(error)
        case OSError():
            is_full = error.errno in DISK_FULL
            remedy = f"; {room_wanted(error)}, and give the same command again" if is_full else ""
            what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
            return EXIT_FAILED, what + remedy
        case KeyboardInterrupt():
            return EXIT_INTERRUPTED, str(
                error
            ) or "interrupted before the job began; the same command begins anew"
    if debug():
        raise error
    defect = f"{type(error).__name__}: {error}"
    return EXIT_FAILED, f"{defect} (a defect of fanwise; with {DEBUG}=1 it says where it arose, for a report)"
