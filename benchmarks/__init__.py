"""What fanwise costs over doing it by hand: `python -m benchmarks` measures, `python -m benchmarks report` tells.

`__main__` reads the words of the command line and calls the `parts`, each a module with a `PART` (`part` says what
that is): `mobilenet` (the `workload`, the hand-written `tensorflow_loop`, and `fanwise run`, each in `processes`
of their own), `interpreter` (the shipped definition over stub services, measured inside `interpreter_process`),
`runtime_hop` (a function that does nothing, in a real environment, measured inside `runtime_hop_process`),
`simulated` (the simulator, and jobs held against it) and `growth` (planning and aggregation at growing size, of
`growth_data`, measured inside `growth_process`). `measured` is for what is inside a measured process. `rates` holds
the arithmetic, `results` what is kept, `machine` says where it was measured, `tables` and `report` what people read.
"""
