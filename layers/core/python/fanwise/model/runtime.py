"""What computes: a small interface, and where the runtimes behind it are found.

A runtime is loaded and called from one thread. It computes with as many threads as the memory size buys vCPUs,
and without the interpreter's lock, so that the decode threads run meanwhile.
"""

import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from fanwise.errors import ModelError
from fanwise.limits import VCPU_MB
from fanwise.model.calls import PLAIN, Calls
from fanwise.model.signature import TensorSpec

_MODULES = {"litert": "fanwise.model.litert_runtime", "tensorflow": "fanwise.model.tensorflow_runtime"}
_NOISE = (
    b"All log messages before absl::InitializeLog() is called are written to STDERR",
    b"oneDNN custom operations are on",
)

Tensors = Mapping[str, NDArray[Any]]


class ComputeError(Exception):
    """The runtime did not compute these tensors. `of_values`: it says that values, not itself, are at fault."""

    def __init__(self, message: str, *, of_values: bool) -> None:
        super().__init__(message)
        self.of_values = of_values


class Runtime(Protocol):
    """A loaded model. Tensors have the batch first, and always `mini_batch` rows."""

    @property
    def inputs(self) -> Mapping[str, TensorSpec]: ...
    @property
    def outputs(self) -> Mapping[str, TensorSpec]: ...

    def predict(self, tensors: Tensors) -> dict[str, NDArray[Any]]:
        """The outputs for the inputs, by the signature's names. Raises `ComputeError`."""
        ...


def threads(memory_mb: int) -> int:
    """Threads to compute with: the vCPUs of that memory size, and no more than the machine has."""
    return max(1, min(round(memory_mb / VCPU_MB), os.cpu_count() or 1))


def import_runtime(name: str) -> Any:
    """Import a runtime's module, at an environment's init: TensorFlow takes 2.4 s. Raises `ModelError`.

    Sets what TensorFlow has to be told before (oneDNN on, logging to errors), where the environment does not say
    otherwise.
    """
    if name not in _MODULES:
        raise ModelError(f"runtime {name!r} is not in this version of fanwise; known: {', '.join(_MODULES)}")
    if _MODULES[name] in sys.modules:
        return sys.modules[_MODULES[name]]
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # 2 times faster on MobileNetV2
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    try:
        with _without_noise(), _without_keras(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return import_module(_MODULES[name])
    except ImportError as error:
        raise ModelError(f"runtime {name!r} cannot be imported here: {error}") from error


def can_be_imported(name: str) -> bool:
    """Whether a runtime's library is installed here; nothing is imported."""
    return find_spec({"litert": "ai_edge_litert", "tensorflow": "tensorflow"}[name]) is not None


def load(name: str, bundle: Path, signature: str, *, memory_mb: int, calls: Calls = PLAIN) -> Runtime:
    """Load the model of a fetched bundle; `signature` is the name of one. Raises `ModelError`."""
    module = import_runtime(name)
    runtime: Runtime = module.load(bundle, signature, threads=threads(memory_mb), calls=calls)
    return runtime


@contextmanager
def _without_keras() -> Iterator[None]:
    """Keep `import tensorflow` from importing Keras, which it does last and does without where it is missing.

    A session runs no Python of the model's, so nothing would use it. Measured: 2.4 s in place of 3.7 s, and 80 MB
    less.
    """
    eager = "keras.src.optimizers"  # the module that tensorflow/__init__.py asks for
    blocked = sys.modules.setdefault(eager, None) is None  # type: ignore[arg-type]
    try:
        yield
    finally:
        if blocked:
            del sys.modules[eager]


@contextmanager
def _without_noise() -> Iterator[None]:
    """Hold stderr back while TensorFlow's libraries load, and let all through but what they say each time.

    They write to the file descriptor before logging has a level, so TF_CPP_MIN_LOG_LEVEL does not reach it.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        stderr = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            held.seek(0)
            for line in held:
                if not any(noise in line for noise in _NOISE):
                    os.write(2, line)
