"""Finding a runtime, and importing it without noise."""

import os
import subprocess
import sys

import pytest

from fanwise.errors import ModelError
from fanwise.model.runtime import import_runtime, threads


def test_a_runtime_that_is_not_there_is_named() -> None:
    with pytest.raises(
        ModelError, match="runtime 'onnx' is not in this version of fanwise; known: litert, tensorflow"
    ):
        import_runtime("onnx")


@pytest.mark.parametrize(("memory_mb", "vcpus"), [(128, 1), (1769, 1), (2600, 1), (3538, 2), (10_240, 6)])
def test_threads_go_by_the_memory_size(memory_mb: int, vcpus: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert threads(memory_mb) == vcpus
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert threads(memory_mb) == 1


def test_tensorflow_is_imported_in_silence_without_keras_and_stderr_works_again() -> None:
    code = """
import os, sys
from fanwise.model.runtime import import_runtime
module = import_runtime("tensorflow")
assert import_runtime("tensorflow") is module
os.write(2, b"after\\n")
print([name for name in ("keras", "PIL", "boto3") if name in sys.modules], os.environ["TF_ENABLE_ONEDNN_OPTS"])
"""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    done = subprocess.run([sys.executable, "-c", code], env=clean, capture_output=True, text=True, check=True)
    assert done.stderr == "after\n"
    assert done.stdout == "[] 1\n"


def test_what_else_is_said_while_it_is_imported_is_not_lost() -> None:
    code = """
import os
from fanwise.model import runtime
with runtime._without_noise():
    os.write(2, b"I0000 oneDNN custom operations are on. You may see\\nsomething of use\\n")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "something of use\n"


def test_litert_is_imported_alone() -> None:
    code = """
import sys
from fanwise.model.runtime import import_runtime
import_runtime("litert")
print([name for name in ("tensorflow", "keras", "jax", "google.protobuf", "PIL", "boto3") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_what_plans_a_job_imports_neither_numpy_nor_tensorflow_nor_pillow() -> None:
    code = "import sys, fanwise.model.bundle, fanwise.model.binding; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"'numpy'", "'tensorflow'", "'PIL'"} & set(done.stdout.strip("[]\n").split(", "))
