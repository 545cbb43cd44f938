"""Faults on purpose: a plan of what goes wrong, and the two places where the local cloud brings it about.

`rules` are the kinds of faults and whom each befalls; `plan` is the file and the one decision (`faults_of`), pure
and seeded. `functions` brings about what Step Functions sees of Lambda, in the cloud's process; `bootstrap` and
`store` what happens inside an invocation, in the function's. `random_plan` makes plans. docs/faults.md tells
users.

Without a plan nothing of this is imported.
"""
