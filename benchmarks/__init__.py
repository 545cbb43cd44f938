"""What fanwise costs over doing it by hand: `python -m benchmarks` measures, `python -m benchmarks report` tells.

`__main__` reads the words of the command line and calls the `parts`, each a module with a `PART` (`part` says what
that is): `jpegs` and `rows` are each a `comparison` of `fanwise_run` and of `scripts`, which are loops by hand and
`peers`; `cold` is the time to a first prediction, `cost` what a million images cost; `interpreter` the shipped
definition over stub services. `rates` holds the arithmetic, `results` what is kept, `machine` says where it was measured, `tables` and `report`
what people read.
"""
