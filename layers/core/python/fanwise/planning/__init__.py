"""The stage that plans: a start → a job with its entries, and nothing predicted yet.

`start` reads what an execution was started with, `source` pins the items, `plan` derives the job's id, claims it
and cuts the entries.
"""

from fanwise.planning.plan import plan_job

__all__ = ["plan_job"]
