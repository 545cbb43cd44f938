"""`python -m fanwise_cli` is the command `fanwise`."""

from fanwise_cli.main import main

main()
