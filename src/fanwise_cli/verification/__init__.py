"""`fanwise verify`: every line of a job, held against every item that went in.

In the manner of Jepsen's total-queue checker: what was attempted, what came out, and what was lost, duplicated or
never asked for. `planned` reads the items again, by the one rule of where a record ends; `ledger` what the job's
home says of itself; `lines` holds a line against its item; `account` keeps a byte an item. What the ledger and
summary.json say counts for nothing here but to be compared (`check`), and which files count.

It runs over any `Storage`, so a test of a fault may end with it as a person does.
"""

from fanwise_cli.verification.check import verify_job
from fanwise_cli.verification.result import Verification

__all__ = ["Verification", "verify_job"]
