"""The last stage of a round: from the commits to the next round's work, or to the verdict.

AggregateResults (`aggregate`) walks from the plan through the commits and counts (`accounting`). What has no
commit is the next round's work; if there is none, or another round would not help (`stopping`), it writes
`parts.jsonl` and removes orphans (`parts`), and judges the job by items in `summary.json` (`summary`): SUCCEEDED
(every item predicted), PARTIALLY_FAILED (some dead letters, within what is tolerated), FAILED (beyond it, nothing
predicted, or items missing).
"""

from fanwise.aggregation.aggregate import aggregate_results

__all__ = ["aggregate_results"]
