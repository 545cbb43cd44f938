"""`python -m fanwise_cli` is the command `fanwise`."""

import sys

from fanwise_cli.main import main

if __name__ == "__main__":
    sys.exit(main())
