"""The stage that plans: a start → a job with its entries, and nothing predicted yet.

`start` reads what an execution was started with (`uploads`, where S3 told of it), `source` pins the items, `plan`
derives the job's id, has it claimed (`claim`) and cuts the entries. `resume`, `replay` and `ended` are about jobs
that are there already.
"""

from fanwise.planning.plan import plan_job

__all__ = ["plan_job"]
