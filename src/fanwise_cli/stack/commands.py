"""The command line's words for a stack: push, submit, status, watch, stop, results, failures.

As in `main`, typer reads the words and answers with the work, which is done outside of it.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fanwise_cli.exit_codes import EXIT_OK
from fanwise_cli.manifest_options import (
    AcceptDifference,
    BatchSize,
    MaxConcurrency,
    ModelSamples,
    RunName,
    RuntimeName,
    Tolerate,
)
from fanwise_cli.stack.options import (
    Endpoint,
    Items,
    Job,
    Json,
    Profile,
    Quiet,
    Region,
    Stack,
    Work,
    connected,
)
from fanwise_cli.terminal import JobConsole, for_people, for_results, print_document

if TYPE_CHECKING:
    from fanwise_cli.stack.connection import DeployedStack
    from fanwise_cli.stack.jobs import StackJob
    from fanwise_cli.stack.submit import Submitted

# What a command needs of a stack is imported in it: boto3 and its like are slow, and --help needs none.


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    for command in (push, submit, status, watch, stop, results, failures):
        app.command()(command)


def push(
    model: Annotated[
        Path,
        typer.Argument(metavar="MODEL", help="A bundle, a SavedModel folder, a .keras or a .tflite file."),
    ],
    name: Annotated[str | None, typer.Option("--name", help="Else model.json's, else the file's.")] = None,
    version: Annotated[
        str | None, typer.Option("--version", help="Written once; else made of the digest.")
    ] = None,
    samples: ModelSamples = None,
    accept_difference: AcceptDifference = False,
    stack: Stack = None,
    region: Region = None,
    profile: Profile = None,
    endpoint_url: Endpoint = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> Work:
    """Publish a model into the stack's model bucket, as NAME@VERSION."""

    def work() -> int:
        from fanwise_cli.stack.push import PushOptions, described, prepare, publish  # noqa: PLC0415 - see above

        options, console = PushOptions(model, name, version, quiet, samples, accept_difference), for_people()
        prepared = prepare(options, console)  # first: what is wrong with a model is said without AWS
        with connected(stack, region, profile, endpoint_url) as at:
            published = publish(prepared, options, at, console)
        if as_json:
            print_document(described(published))
        else:
            for_results().tell(published.reference)
            if published.was_there and not quiet:
                console.tell("it was published already; nothing was uploaded", "dim")
        return EXIT_OK

    return work


def submit(
    items: Items,
    model: Annotated[
        str | None,
        typer.Option("--model", help="NAME@VERSION, or a model of this machine: it is pushed first."),
    ] = None,
    batch_size: BatchSize = None,
    max_concurrency: MaxConcurrency = None,
    runtime: RuntimeName = None,
    accept_difference: AcceptDifference = False,
    tolerate: Tolerate = None,
    name: RunName = None,
    again: Annotated[bool, typer.Option("--again", help="Run it anew, though the job is there.")] = False,
    and_watch: Annotated[bool, typer.Option("--watch", help="Follow it to its end.")] = False,
    stack: Stack = None,
    region: Region = None,
    profile: Profile = None,
    endpoint_url: Endpoint = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> Work:
    """Start a job on the stack; what is on this machine is uploaded first."""

    def work() -> int:
        from fanwise_cli.stack.submit import SubmitOptions, submit  # noqa: PLC0415 - see above

        console = for_people()
        options = SubmitOptions(
            items=items,
            model=model,
            batch_size=batch_size,
            max_concurrency=max_concurrency,
            runtime=runtime,
            accept_difference=accept_difference,
            tolerate=tolerate,
            name=name,
            again=again,
            quiet=quiet,
        )
        with connected(stack, region, profile, endpoint_url) as at:
            submitted = submit(options, at, console)
            if and_watch:
                tell_submitted(submitted, at, console, as_json=False, quiet=quiet)
                return follow(submitted.job, at, console, as_json=as_json, quiet=quiet)
            tell_submitted(submitted, at, for_results(), as_json=as_json, quiet=quiet)
            return EXIT_OK

    return work


def status(
    job: Annotated[
        str | None,
        typer.Argument(
            metavar="[JOB]", help="A job's id, or an execution's ARN or name; else the recent ones."
        ),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="Executions of the table.")] = 20,
    stack: Stack = None,
    region: Region = None,
    profile: Profile = None,
    endpoint_url: Endpoint = None,
    as_json: Json = False,
) -> Work:
    """Show the recent jobs of the stack, or where one of them stands."""

    def work() -> int:
        from fanwise_cli.stack import status as shown  # noqa: PLC0415 - see above
        from fanwise_cli.stack.jobs import find_job  # noqa: PLC0415 - see above

        with connected(stack, region, profile, endpoint_url) as at:
            if job is None:
                rows = shown.recent(at, limit)
                if as_json:
                    print_document({"stack": at.name, "executions": [row.described() for row in rows]})
                else:
                    shown.print_recent(for_results(), rows, at)
                return EXIT_OK
            found = find_job(at, job)
            if as_json:
                print_document(shown.status_of(found, at))
            else:
                shown.print_status(for_results(), found, at)
            return EXIT_OK

    return work


def watch(
    job: Job,
    stack: Stack = None,
    region: Region = None,
    profile: Profile = None,
    endpoint_url: Endpoint = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> Work:
    """Follow a job of the stack to its end; Ctrl-C ends the watching, not the job."""

    def work() -> int:
        from fanwise_cli.stack.jobs import find_job  # noqa: PLC0415 - see above

        with connected(stack, region, profile, endpoint_url) as at:
            return follow(find_job(at, job), at, for_people(), as_json=as_json, quiet=quiet)

    return work


def stop(
    job: Job,
    stack: Stack = None,
    region: Region = None,
    profile: Profile = None,
    endpoint_url: Endpoint = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> Work:
    """Stop a job of the stack; what it has finished stays, and resume goes on from there."""

    def work() -> int:
        from fanwise_cli.stack.control import stop  # noqa: PLC0415 - see above

        with connected(stack, region, profile, endpoint_url) as at:
            return stop(job, at, for_people(), as_json=as_json, quiet=quiet)

    return work


def results(
    job: Job,
    out: Annotated[Path, typer.Option("--out", help="The folder that they are written to.")],
    stack: Stack = None,
    region: Region = None,
    profile: Profile = None,
    endpoint_url: Endpoint = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> Work:
    """Fetch predictions.jsonl, failures.jsonl and summary.json of a job that has ended."""

    def work() -> int:
        from fanwise_cli.stack.results import bring_results  # noqa: PLC0415 - see above

        with connected(stack, region, profile, endpoint_url) as at:
            return bring_results(job, out, at, for_people(), as_json=as_json, quiet=quiet)

    return work


def failures(
    job: Job,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Dead letters that are shown.")] = 20,
    stack: Stack = None,
    region: Region = None,
    profile: Profile = None,
    endpoint_url: Endpoint = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print all of them, as an items file, one a line.")
    ] = False,
) -> Work:
    """Show the dead letters of a job: by error, then one by one."""

    def work() -> int:
        from fanwise_cli.stack.results import show_failures  # noqa: PLC0415 - see above

        with connected(stack, region, profile, endpoint_url) as at:
            return show_failures(job, at, limit=limit, as_json=as_json)

    return work


def follow(job: "StackJob", at: "DeployedStack", console: JobConsole, *, as_json: bool, quiet: bool) -> int:
    """What `watch` does, for whoever has just started a job."""
    from fanwise_cli.stack.watch import watch  # noqa: PLC0415 - see above

    return watch(job, at, console, as_json=as_json, quiet=quiet)


def tell_submitted(
    submitted: "Submitted", at: "DeployedStack", console: JobConsole, *, as_json: bool, quiet: bool
) -> None:
    """Say which job it is, and what can be done next."""
    from fanwise_cli.summary import print_lines  # noqa: PLC0415 - see above

    job = submitted.job
    if as_json:
        print_document(
            {
                "job_id": job.job_id,
                "execution": job.execution,
                "items_uri": submitted.items_uri,
                "model": submitted.model,
                "is_new": submitted.is_new,
            }
        )
        return
    if quiet:
        return
    if not submitted.is_new:
        console.tell("This job is there already; nothing was started (--again runs it anew).", "yellow")
    lines = {"job": job.name, "execution": job.execution}
    if url := at.console_url(job.execution):
        lines["console"] = url
    lines["next"] = f"fanwise watch {job.name}{at.options.again()}"
    print_lines(console, lines)
