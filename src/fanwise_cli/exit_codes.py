"""How the command ends (docs/contracts.md, "Exit codes")."""

EXIT_OK = 0  # every item predicted
EXIT_FAILED = 1  # the job FAILED, or this machine did
EXIT_USAGE = 2  # usage, or input that stopped the command before any work
EXIT_PARTIAL = 3  # finished, some items dead-lettered
EXIT_INTERRUPTED = 130

EXIT_OF_STATUS = {"SUCCEEDED": EXIT_OK, "PARTIALLY_FAILED": EXIT_PARTIAL, "FAILED": EXIT_FAILED}
