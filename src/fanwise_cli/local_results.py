"""`fanwise results OUT`: where the results of a job of this machine are, or a copy of them."""

from pathlib import Path
from typing import Any

from fanwise.errors import JobError
from fanwise_cli.collecting import RESULTS, collect
from fanwise_cli.examples import examples_of, lines_of_file
from fanwise_cli.exit_codes import EXIT_OF_STATUS
from fanwise_cli.local_jobs import LocalJob
from fanwise_cli.stack.results import check_out
from fanwise_cli.summary import print_summary, say_why_failed
from fanwise_cli.terminal import for_results, print_document


def local_results(job: LocalJob, out: Path | None, *, as_json: bool, quiet: bool) -> int:
    """Say where they are, or copy them to `out` first; the job's exit code. Raises `InputError`."""
    summary = job.summary()
    if summary is None:
        goes_on = "wait for it" if job.is_at_work() else f"fanwise resume {job.name} goes on with it"
        raise JobError(f"{job.name}: {job.job_id} has not ended, so its results are not whole; {goes_on}")
    where = job.results
    if out is not None:
        check_out(out, job.job_id)
        collect(job.storage, job.job_home, out)
        where = out
    elif not all((where / name).exists() for name in RESULTS):
        with job.home.held():
            collect(job.storage, job.job_home, where)
    _tell(job, summary, where, as_json=as_json, quiet=quiet)
    return EXIT_OF_STATUS[summary["status"]]


def _tell(job: LocalJob, summary: dict[str, Any], where: Path, *, as_json: bool, quiet: bool) -> None:
    if as_json:
        print_document(summary)
    elif not quiet:
        print_summary(for_results(), summary, where, extra={}, home=job.home.out)
    if as_json or quiet:
        say_why_failed(summary, examples_of(lines_of_file(where / "failures.jsonl"), summary))
