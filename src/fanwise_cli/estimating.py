"""`fanwise estimate`: what a job would take and cost, before anything is uploaded or started.

The items are counted by the planner's own scan, the model's profile is the bundle's (`surveying`), and the
reckoning is the one that PlanJob leaves in the plan (`fanwise.reckoning`).
"""

from dataclasses import dataclass
from typing import Any

import msgspec

from fanwise.reckoning.choices import Best, Choice, best_of, choices
from fanwise.reckoning.estimate import Estimate, estimate
from fanwise.records import ModelRef
from fanwise_cli.surveying import Connect, Survey, SurveyOptions, survey
from fanwise_cli.terminal import JobConsole


@dataclass(frozen=True)
class Reckoned:
    """An estimate, what it was made of, and what would be better."""

    job: Survey
    estimate: Estimate
    choices: list[Choice]
    best: Best

    def described(self) -> dict[str, Any]:
        """What `--json` prints."""
        described: dict[str, Any] = msgspec.to_builtins(self.estimate)
        return {
            "model": described_model(self.job.model),
            **described,
            "best": msgspec.to_builtins(self.best),
            "choices": msgspec.to_builtins(self.choices),
        }


def described_model(model: ModelRef) -> dict[str, Any]:
    """A model, as every document of a reckoning names it."""
    return {"name": model.name, "version": model.version, "digest": model.digest}


def reckon(options: SurveyOptions, connect: Connect, console: JobConsole) -> Reckoned:
    """Survey the job and reckon it. Raises `InputError`, with what is missing."""
    job = survey(options, connect, console)
    made = choices(job.work, job.profile, runtime=job.model.runtime, size=job.size, prices=job.prices)
    return Reckoned(
        job=job,
        estimate=closed_form(job),
        choices=made,
        best=best_of(made, job.work, job.profile, job.size),
    )


def closed_form(job: Survey) -> Estimate:
    """The job's estimate."""
    return estimate(job.work, job.profile, runtime=job.model.runtime, size=job.size, prices=job.prices)
