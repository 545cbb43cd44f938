"""A bundle's runtime, measured on this machine: what it takes to start, and to predict an item.

`prepare_bundle` has it done when a bundle is made: TensorFlow in its own process, which has imported it, and
LiteRT in a fresh one, `python -m fanwise_cli.measuring FOLDER RUNTIME OUT CALLS LAYOUT [SAMPLES]`. It takes a
second, and never stands in a bundle's way. Items are synthetic: `synthetic`'s values, for images a JPEG of twice
the model's height and width; where there are a person's own, rows are made out of those images.
"""

import io
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

import fanwise
from fanwise.errors import FanwiseError, ItemError
from fanwise.limits import VCPU_MB
from fanwise.model.calls import PLAIN, Calls
from fanwise.model.layout import Layout
from fanwise.model.profile import MeasuredOn, RuntimeProfile, told_by_batch
from fanwise.records import Runtime, moment_text
from fanwise_local import this_machine as here
from fanwise_local.this_machine import available_cores, processor

MEASURE_S = 0.15  # spent on each figure
MAX_REPEATS = 50
MOST_LOAD_S = 1.0  # to load: a model that takes longer is not loaded again for a second vCPU
# Of an invocation on Lambda, beside its items: some five requests to S3, 20 ms each. A job measures it.
ASSUMED_INVOCATION_MS = 100.0

_TIMEOUT_S = 60


def this_machine() -> MeasuredOn:
    """The machine that this process runs on."""
    return MeasuredOn(
        kind="machine",
        name=processor(),
        cores=available_cores(),
        system=f"{platform.system()} {platform.machine()}",
        fanwise=fanwise.__version__,
        at=moment_text(datetime.now(UTC)),
    )


def measure_apart(
    folder: Path,
    runtime: Runtime,
    layout: Layout | None = None,
    samples: Path | None = None,
    calls: Calls = PLAIN,
) -> RuntimeProfile | None:
    """`measure` in a process of its own, whose imports and memory are the runtime's; None where it failed."""
    out = folder.parent / f"measured-{runtime}.json"
    command = [sys.executable, "-P", "-m", "fanwise_cli.measuring", str(folder), runtime, str(out)]
    command += [msgspec.json.encode(calls).decode(), msgspec.json.encode(layout).decode()]
    command += [str(samples)] if samples else []
    try:
        subprocess.run(  # noqa: S603
            command, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=_TIMEOUT_S
        )
        return msgspec.json.decode(out.read_bytes(), type=RuntimeProfile)
    except (OSError, subprocess.SubprocessError, msgspec.DecodeError):
        return None
    finally:
        out.unlink(missing_ok=True)


def measure(
    folder: Path,
    runtime: Runtime,
    *,
    init_ms: float,
    peak_mb: int | None = None,
    layout: Layout | None = None,
    samples: Path | None = None,
    calls: Calls = PLAIN,
) -> RuntimeProfile:
    """Load a bundle on a runtime and time it. Raises `FanwiseError` where it does not compute.

    `init_ms` is what its import took, `peak_mb` what the process had needed when it had the model, where it
    has done other things since. `layout` is what the trial found. `samples` are images to be decoded, in place
    of synthetic ones.
    """
    from fanwise.model.binding import read_labels  # noqa: PLC0415 - imports numpy, which init counts
    from fanwise.model.contract import Contract, read_contract  # noqa: PLC0415
    from fanwise.model.model import Model  # noqa: PLC0415
    from fanwise.model.runtime import load  # noqa: PLC0415

    path = folder / "model.json"
    contract = read_contract(path.read_bytes(), "model.json") if path.exists() else Contract()
    labels = {name: read_labels((folder / name).read_bytes(), name) for name in contract.label_files()}

    def loaded(vcpus: int) -> tuple[Any, float]:
        loading = time.monotonic()
        computes = load(runtime, folder, contract.signature, memory_mb=vcpus * VCPU_MB, calls=calls)
        model = Model(contract, labels, computes, layout=layout)
        model.warm_up()
        return model, (time.monotonic() - loading) * 1000

    model, load_ms = loaded(1)
    stack, decode_ms = _stack(model)
    if samples is not None and model.is_fetched:
        from fanwise_cli.sample_items import making_ms  # noqa: PLC0415 - imports numpy

        decode_ms = making_ms(samples, model)
    compute_ms = {1: _item_ms(model, stack)}
    peak_mb = peak_mb or peak_memory_mb()
    if available_cores() > 1 and load_ms < MOST_LOAD_S * 1000:
        del model
        model, _ = loaded(2)
        compute_ms[2] = _item_ms(model, stack)
    measured = RuntimeProfile(
        measured_on=this_machine(),
        init_ms=round(init_ms, 1),
        load_ms=round(load_ms, 1),
        invocation_ms=ASSUMED_INVOCATION_MS,
        mini_batch=model.mini_batch,
        compute_ms={vcpus: round(ms, 4) for vcpus, ms in compute_ms.items()},
        decode_ms=round(decode_ms, 4),
        peak_memory_mb=peak_mb,
    )
    return told_by_batch(measured)


def _item_ms(model: Any, stack: Mapping[str, Any]) -> float:
    """The model's time an item, by a stack of one row: as many together as PredictBatch has."""
    from fanwise.prediction.pipeline import SHORT_S  # noqa: PLC0415 - imports numpy

    def item_ms(rows: int) -> float:
        repeated = {name: tensor.repeat(rows, axis=0) for name, tensor in stack.items()}
        return _time_ms(lambda: model.predict_stack(repeated)) / rows

    alone_ms = item_ms(model.mini_batch)
    together = model.most_at_once > model.mini_batch and alone_ms * model.mini_batch < SHORT_S * 1000
    return item_ms(model.most_at_once) if together else alone_ms


def _stack(model: Any) -> tuple[Any, float]:
    """A stack of one synthetic row, and the milliseconds that a row takes to be made out of an item."""
    from fanwise.model.contract import ImageInput, NumberInput  # noqa: PLC0415 - imports numpy
    from fanwise.model.synthetic import TEXT  # noqa: PLC0415

    tensors = {name: tensor[:1] for name, tensor in model.synthetic_inputs().items()}
    inputs: dict[str, msgspec.Raw] = {}
    jpegs: dict[str, bytes] = {}
    for name, declared in model.inputs.items():
        value = tensors[name][0, ...]  # an array also where a row has no dimensions
        carried = declared.names(name)
        if isinstance(declared, ImageInput):
            jpegs[f"s3://synthetic/{name}"] = _jpeg(2 * declared.width, 2 * declared.height)
            inputs[carried[0]] = _raw(f"s3://synthetic/{name}")
        elif isinstance(declared, NumberInput) and declared.columns is not None:
            inputs |= {column: _raw(one.item()) for column, one in zip(carried, value, strict=True)}
        elif value.dtype.kind == "O":
            inputs[carried[0]] = _raw(TEXT)
        else:
            inputs[carried[0]] = _raw(value.tolist())

    items = [inputs] * model.most_at_once
    if model.stack(items) is not None:
        return model.stack([inputs]), _time_ms(lambda: model.stack(items)) / len(items)

    def row() -> Any:
        return model.encode(inputs, None, jpegs.__getitem__, lambda uri: uri)

    try:
        return {name: one[None] for name, one in row().items()}, _time_ms(row)
    except ItemError:  # of synthetic items, and nothing that a model could not do without
        return tensors, 0.0


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def _jpeg(width: int, height: int) -> bytes:
    """A picture that is neither plain nor noise, so that it takes to decode what a photograph does."""
    from PIL import Image  # noqa: PLC0415 - a model without images needs none

    small = Image.effect_noise((max(1, width // 4), max(1, height // 4)), 64)
    file = io.BytesIO()
    small.resize((width, height), Image.Resampling.BICUBIC).convert("RGB").save(file, "JPEG", quality=85)
    return file.getvalue()


def _time_ms(work: Callable[[], object]) -> float:
    """The median of what `work` takes, once warm."""
    work()
    times: list[float] = []
    until = time.perf_counter() + MEASURE_S
    while not times or (time.perf_counter() < until and len(times) < MAX_REPEATS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return median(times) * 1000


def peak_memory_mb() -> int:
    """The most memory that this process has had, in MB."""
    told = here.peak_memory_mb(os.getpid())
    if told is not None:  # getrusage counts what the process was before its exec: all that its parent had
        return told
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (1024 * 1024 if sys.platform == "darwin" else 1024)


def main(arguments: list[str]) -> int:
    """FOLDER RUNTIME OUT CALLS LAYOUT [SAMPLES]; writes the figures, or nothing."""
    folder, runtime, out, calls, layout, *samples = arguments
    began = time.monotonic()
    from fanwise.model.runtime import import_runtime  # noqa: PLC0415 - as the handler does it
    from fanwise.prediction import batch  # noqa: F401, PLC0415 - the handler's imports
    from fanwise.telemetry import Telemetry  # noqa: F401, PLC0415 - as above

    import_runtime(runtime)
    init_ms = (time.monotonic() - began) * 1000
    try:
        measured = measure(
            Path(folder),
            msgspec.convert(runtime, Runtime),
            init_ms=init_ms,
            layout=msgspec.json.decode(layout, type=Layout | None),
            samples=Path(samples[0]) if samples else None,
            calls=msgspec.json.decode(calls, type=Calls),
        )
    except FanwiseError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    Path(out).write_bytes(msgspec.json.encode(measured))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
