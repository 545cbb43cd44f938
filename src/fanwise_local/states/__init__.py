"""An interpreter of the Amazon States Language in its JSONata form, Distributed Map included.

The way through it: `definition` parses the text of a definition into frozen states, refusing what it does not
know; `executions` starts an `execution`, and redrives it; `interpreter` runs it state by state, with `expressions`
over a `scope`, `retries` where a state failed, and `services` for what a Task calls; `distributed_map` reads items
(`item_reader`), runs a child for each (`map_children`), counts them (`map_run`) and writes what came out
(`result_writer`). `history` is what GetExecutionHistory tells. Semantics are AWS's; each rule names its page of
the Step Functions Developer Guide or the Amazon States Language specification (states-language.net/spec.html).
"""
