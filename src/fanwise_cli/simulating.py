"""`fanwise simulate`: a job played through at the size of the cloud, the deployed definition on a virtual clock.

It begins as an estimate does (`surveying`) and is held against one: what the closed form has not is chance,
throttling and the rounds that follow from it. `fanwise_local.simulation` plays it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from fanwise.errors import InputError
from fanwise.reckoning.estimate import Estimate
from fanwise_cli.estimating import closed_form, described_model
from fanwise_cli.interruption import ended_at_once
from fanwise_cli.pictures import check_picture, save
from fanwise_cli.progress import counted, waiting
from fanwise_cli.simulation_picture import picture_of
from fanwise_cli.simulation_progress import simulation_shown
from fanwise_cli.surveying import Connect, Survey, SurveyOptions, survey
from fanwise_cli.terminal import JobConsole
from fanwise_local.simulation import Counts, Scenario, Simulation, simulate
from fanwise_local.simulation.scenario import DEFAULT_ACCOUNT_CONCURRENCY

if TYPE_CHECKING:
    from fanwise_cli.stack.connection import DeployedStack

MOST_ENTRIES = 1_000_000  # more take minutes and gigabytes

# Where the account's concurrency is from: said, asked of the stack's account, or AWS's default.
Source = Literal["option", "account", "default"]


@dataclass(frozen=True)
class SimulateOptions:
    """The words of `fanwise simulate`; None where nothing was said."""

    job: SurveyOptions
    jitter: float
    tail: float
    seed: int
    account_concurrency: int | None = None
    picture: Path | None = None


@dataclass(frozen=True)
class Simulated:
    """A simulation, what was simulated, and what the closed form says of the same."""

    job: Survey
    scenario: Scenario
    account_from: Source
    simulation: Simulation
    estimate: Estimate

    def described(self) -> dict[str, Any]:
        """What `--json` prints."""
        scenario, work = self.scenario, self.scenario.work
        told: dict[str, Any] = msgspec.to_builtins(self.simulation)
        return {
            "model": described_model(self.job.model),
            "scenario": {
                "items": work.items,
                "items_guessed": self.job.guessed,
                "size_bytes": work.size_bytes,
                "batch_size": work.batch_size,
                "max_concurrency": work.max_concurrency,
                "account_concurrency": scenario.account_concurrency,
                "account_concurrency_from": self.account_from,
                "runtime": scenario.runtime,
                "memory_mb": scenario.size.memory_mb,
                "timeout_s": scenario.size.timeout_s,
                "jitter": scenario.jitter,
                "tail": scenario.tail,
                "tail_factor": scenario.tail_factor,
                "seed": scenario.seed,
            },
            **told,
            "estimate": msgspec.to_builtins(self.estimate),
        }


def simulate_job(options: SimulateOptions, connect: Connect, console: JobConsole) -> Simulated:
    """Survey the job, play it through, and draw its picture where one is asked for. Raises `InputError`."""
    if options.picture is not None:
        check_picture(options.picture)
    account = _Account(options.account_concurrency)
    job = survey(options.job, account.asked_by(connect), console)
    if job.work.entries > MOST_ENTRIES:
        raise InputError(
            f"{counted(job.work.entries, 'batch', 'batches')} of {job.work.batch_size:,} items are too many to"
            f" play through; at most {MOST_ENTRIES:,}: give a larger --batch-size, or ask fanwise estimate"
        )
    scenario = Scenario(
        work=job.work,
        profile=job.profile,
        runtime=job.model.runtime,
        size=job.size,
        prices=job.prices,
        account_concurrency=account.concurrency,
        jitter=options.jitter,
        tail=options.tail,
        seed=options.seed,
    )
    counts = Counts()
    with (
        simulation_shown(console, job.work.entries, counts, quiet=options.job.quiet) as clear,
        ended_at_once("interrupted; a simulation that is not finished tells nothing", clear),
    ):
        simulation = simulate(scenario, counts)
    simulated = Simulated(job, scenario, account.source, simulation, closed_form(job))
    if options.picture is not None:
        with waiting(console, f"drawing {options.picture}", quiet=options.job.quiet):
            save(picture_of(simulated), options.picture)
    return simulated


class _Account:
    """Lambda's concurrency of the account: as said, else asked where a stack is looked at, else AWS's default."""

    def __init__(self, said: int | None) -> None:
        self.concurrency = said or DEFAULT_ACCOUNT_CONCURRENCY
        self.source: Source = "default" if said is None else "option"

    def asked_by(self, connect: Connect) -> Connect:
        """The same way to the stack, on which its account is asked."""

        @contextmanager
        def connected() -> Iterator["DeployedStack"]:
            from fanwise_cli.stack.account import account_concurrency  # noqa: PLC0415 - of those with a stack

            with connect() as stack:
                if self.source == "default" and (told := account_concurrency(stack)) is not None:
                    self.concurrency, self.source = told, "account"
                yield stack

        return connected
