"""`fanwise tune`: runtime, memory size and batch size, measured together by invocations of PredictBatch, and held
against each other by what the whole job would take and cost.

`tune` asks and plans, a bench invokes (`local_bench`, and `fanwise_cli.stack.tune_bench`), `search` says what is
tried next, `combinations` reckons, `table` and `picture` show.
"""
