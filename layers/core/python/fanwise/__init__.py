"""fanwise inside a Lambda: everything that reads, plans, predicts, commits and accounts.

The way of the data, stage by stage: `planning` → `prediction` (→ `failures`) → `aggregation`. Stages do not
import each other; they share `items` and `model`, and below those `records`, `storage`, `commits`, `errors`,
`limits`, `pricing`, `redaction` and `settings`.
"""

__version__ = "0.1.0"
