"""What fanwise costs, beside others: `python -m benchmarks` measures, `python -m benchmarks report` tells.

`__main__` reads the words of the command line and calls the `parts`, each a module with a `PART` (`part` says what
that is): `jpegs` and `rows` are each a `comparison` of `fanwise_run` and of `scripts`, the loops by hand and the
`peers`; `cold` is the time to a first prediction, `cost` what a million images cost, `interpreter` the shipped
definition over stub services, `runtime_hop` a function that does nothing in a real environment, `simulated` the
simulator and jobs held against it, `growth` planning and aggregation at growing size, of `growth_data`. Modules in
`…_process` are what runs inside a measured process, with `measured`. `processes` runs one program, with its
`descendants`; `rates` holds the arithmetic, `results` what is kept, `machine` says where it was measured;
`tables`, `comparison_tables`, `drawing` and `report` are what people read.
"""
