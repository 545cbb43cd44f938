"""Tries on this machine: the real handler in a real process, with the threads, the memory and the time that a
memory size has.

A process may use the whole cores that its vCPUs come to, and is killed over its memory. A share of a vCPU cannot
be given, so time is reckoned: what took as much processor time as that takes at least this long on Lambda.
"""

import asyncio
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import ceil
from pathlib import Path

from fanwise.errors import InputError, StoreUnavailable
from fanwise.limits import VCPU_MB
from fanwise.records import Entry, Runtime
from fanwise_cli.interruption import loop_elsewhere, result_of, uninterrupted
from fanwise_cli.measuring import this_machine
from fanwise_cli.preparation import naming_items, publish_model, unusable_paths_are_input
from fanwise_cli.stack.submit import ask
from fanwise_cli.terminal import JobConsole
from fanwise_cli.tuning.options import TuneOptions
from fanwise_cli.tuning.place import Place, runtimes_to_try, words_of
from fanwise_cli.tuning.sample import Buckets, Sample, planned, runtimes_of
from fanwise_cli.tuning.trials import Bench, Invoke, Setting, Trial, trial_of
from fanwise_local.environment import InvokeResult
from fanwise_local.functions import FunctionService
from fanwise_local.mounts import Mounts
from fanwise_local.template import Function, Stack, read_stack, stack_root
from fanwise_local.this_machine import available_cores, peak_memory_mb, processor_time_s


def function_of(stack: Stack, runtime: Runtime) -> Function:
    """PredictBatch's packaging with a runtime."""
    return next(one for one in stack.functions.values() if one.environment.get("FANWISE_RUNTIME") == runtime)


def fits_this_machine(memory_mb: int) -> bool:
    """Whether this machine has the cores that a memory size's vCPUs are."""
    return ceil(memory_mb / VCPU_MB) <= available_cores()


@contextmanager
def here(options: TuneOptions, console: JobConsole) -> Iterator[Place]:
    """A local cloud's buckets, gone afterwards, with the model published and the items planned."""
    with unusable_paths_are_input(), tempfile.TemporaryDirectory(prefix="fanwise-tune-") as folder:
        if options.items.startswith("s3://"):
            raise InputError(f"{options.items}: is not on this machine; give --stack NAME to tune there")
        refuse_what_cannot_be_measured(options.memory_mb)
        asked = ask(words_of(options), None)
        if not isinstance(asked.items, Path):
            raise InputError(f"{options.items}: its items are not on this machine; give --stack NAME")
        model = Path(asked.model)
        if not model.exists():
            raise InputError(f"{model}: there is no such model here; give a folder or file, or --stack NAME")
        stack = read_stack(stack_root())
        items = asked.items.resolve()
        parent = items if items.is_dir() else items.parent
        mounts = Mounts.of(stack, work_dir=Path(folder), folders=[parent], roots=options.roots)
        slash = "/" if items.is_dir() else ""
        uri = mounts.uri_of(items).rstrip("/") + slash
        reference, notes = publish_model(model, stack, mounts, console, quiet=options.quiet)
        if not options.quiet:
            for note in notes:
                console.tell(note, "dim", wrap=True)
        buckets = Buckets(
            mounts.storage(), stack.buckets["ModelBucket"], stack.buckets["ResultsBucket"], mounts.readable()
        )
        with naming_items(uri, f"{asked.items}{slash}"):
            runtimes = runtimes_to_try(options, asked.words, runtimes_of(buckets, reference), reference)
            manifest = {**asked.words, "items": uri, "model": reference}
            with planned(buckets, manifest, runtimes) as sample:
                deployed, machine = function_of(stack, runtimes[0]), this_machine()

                @contextmanager
                def bench_for(_: Sequence[Setting]) -> Iterator[Bench]:
                    yield LocalBench(stack, mounts, sample, Path(folder))

                yield Place(
                    sample=sample,
                    deployed_mb=deployed.memory_mb,
                    timeout_s=deployed.timeout_s,
                    measured_on=machine,
                    headline=machine.headline,
                    region=options.region,
                    bench_for=bench_for,
                    is_this_machine=True,
                )


def refuse_what_cannot_be_measured(memory_mb: Sequence[int]) -> None:
    """Raises `InputError` for a memory size with more vCPUs than this machine has cores."""
    for one in memory_mb:
        if not fits_this_machine(one):
            raise InputError(
                f"--memory {one}: has {one / VCPU_MB:.2g} vCPUs, and this machine {available_cores()} cores to"
                f" measure them with; give up to {VCPU_MB * available_cores():,}, or --stack NAME to measure there"
            )


class LocalBench:
    """Execution environments of this machine, one at a time. `work_dir` gets their logs and /tmp."""

    def __init__(self, stack: Stack, mounts: Mounts, sample: Sample, work_dir: Path) -> None:
        self._stack = stack
        self._mounts = mounts
        self._sample = sample
        self._work_dir = work_dir

    @contextmanager
    def at(self, setting: Setting) -> Iterator[Invoke]:
        """A new process of the setting; ended, whatever it is at, when this is left."""
        function = replace(function_of(self._stack, setting.runtime), memory_mb=setting.memory_mb)
        service = FunctionService(
            {function.logical_id: function},
            environments=1,
            extra_environment=self._mounts.environment(),
            work_dir=self._work_dir,
            cores=ceil(setting.memory_mb / VCPU_MB),
        )
        with loop_elsewhere() as loop:
            result_of(service.start(), loop)
            try:
                environment = _Environment(loop, service, function, self._sample, setting)
                yield environment.invoke
            finally:
                with uninterrupted():
                    result_of(service.close(), loop)


class _Environment:
    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        service: FunctionService,
        function: Function,
        sample: Sample,
        setting: Setting,
    ) -> None:
        self._loop = loop
        self._service = service
        self._function = function
        self._sample = sample
        self._setting = setting
        self._pid: int | None = None

    def invoke(self, entry: Entry) -> Trial:
        """One try. Raises `StoreUnavailable` where this machine can start no process."""
        event, name = self._sample.event(self._setting.runtime, entry)
        before_s = self._processor_s()
        try:
            result = result_of(self._service.invoke(self._function.arn, event), self._loop)
        except OSError as error:
            raise StoreUnavailable(f"{self._function.name} could not be run here: {error}") from error
        is_warm, self._pid = result.pid == self._pid, result.pid
        used_s = self._processor_s() - (before_s if is_warm else 0.0)
        trial = trial_of(
            self._sample.commit(self._setting.runtime, name),
            entry.count,
            duration_ms=self._duration_ms(result, used_s if is_warm else 0.0),
            init_ms=result.init_ms,
            peak_memory_mb=None if result.pid is None else peak_memory_mb(result.pid),
            error=None if result.fault is None else result.fault.error_type,
        )
        return replace(trial, load_ms=trial.load_ms / min(1.0, self._setting.memory_mb / VCPU_MB))

    def _duration_ms(self, result: InvokeResult, used_s: float) -> float:
        return max(result.duration_ms, used_s * 1000 * VCPU_MB / self._setting.memory_mb)

    def _processor_s(self) -> float:
        return (processor_time_s(self._pid) or 0.0) if self._pid is not None else 0.0
