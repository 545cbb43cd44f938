"""`make check-build`: builds what is deployed, and has it answer: the zips, their layers, and the image.

`sam build` makes the zips; each handler is imported, and a small job run, with only what was built on the path.
The image is made by its Dockerfile's own steps in a clean Python environment, without Docker. Where Lambda's own
version of Python is not here, what runs is built once more for the version that is.
"""

import asyncio
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / folder) for folder in ("src", "layers/core/python", "tests")]

from builds import zips  # noqa: E402 - the path comes first
from builds.dockerfile import DockerfileError, Image, context, read_steps  # noqa: E402
from builds.lambda_process import BuildError, Built  # noqa: E402
from builds.tiny_job import TinyJob  # noqa: E402
from fanwise_local.template import Function, read_stack  # noqa: E402

DOCKERFILE = ROOT / "docker/predict_batch/Dockerfile"
LAMBDA_VERSION = "3.12"


def main() -> int:
    """Build, measure and run; 1 with what is wrong where something is."""
    try:
        with tempfile.TemporaryDirectory(prefix="fanwise-builds-") as folder:
            _check(Path(folder))
    except (BuildError, DockerfileError, subprocess.CalledProcessError) as error:
        _say(str(error))
        return 1
    return 0


def _check(folder: Path) -> None:
    stack = zips.sam_build(folder / "zips", LAMBDA_VERSION)
    found = zips.sizes(stack)
    _say(f"unzipped, of at most {zips.MAX_UNZIPPED_BYTES // 2**20} MB:\n{zips.table(found)}")
    zips.check_sizes(found)
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        _say("what was built is for Linux on x86_64, and is not run here")
        return
    python, version = _python()
    if version != LAMBDA_VERSION:
        _say(f"there is no Python {LAMBDA_VERSION} here; what runs is built for {version}, which is")
        stack = zips.sam_build(folder / "zips-that-run", version)
    functions = {name: zips.built(function, python) for name, function in stack.functions.items()}
    for built in functions.values():
        _say(f"{built.name} imports in {asyncio.run(built.imported_ms())} ms")
    job = TinyJob(stack, folder / "job")
    runtime = _runtime(folder / "runtime", python)
    plan, aggregate = functions["PlanJobFunction"], functions["AggregateResultsFunction"]
    asyncio.run(job.run(plan, functions["PredictBatchLiteRTFunction"], aggregate, runtime, on="litert"))
    _say("a job ran through the zips, on LiteRT")
    with_image = read_stack(ROOT)
    image = _image(with_image.functions["PredictBatchTensorFlowFunction"], folder, python)
    _say(f"the image's function imports in {asyncio.run(image.imported_ms())} ms")
    plan = replace(plan, environment=with_image.functions[plan.name].environment)
    asyncio.run(job.run(plan, image, aggregate, runtime, on="tensorflow"))
    _say("a job ran through the image, on TensorFlow")


def _python() -> tuple[str, str]:
    """The Python that runs what was built, Lambda's own version if that is here, and its version."""
    script = [str(ROOT / "scripts/build_lambda.sh"), "python"]
    environment = {**os.environ, "FANWISE_BUILD_PYTHON": LAMBDA_VERSION}
    found = subprocess.run(script, env=environment, capture_output=True, text=True, check=True).stdout.strip()
    if found:
        return found, LAMBDA_VERSION
    return sys.executable, f"{sys.version_info.major}.{sys.version_info.minor}"


def _runtime(folder: Path, python: str) -> Path:
    """awslambdaric in a folder of its own: on Lambda it comes with the runtime."""
    words = [str(ROOT / ".venv/bin/uv"), "pip", "install", "--quiet", "--no-build", "--python", python]
    words += ["--target", str(folder), "--constraint", str(ROOT / "requirements/dev.txt"), "awslambdaric"]
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
    return folder


def _image(function: Function, folder: Path, python: str) -> Built:
    """The function that the template starts, in the image that the Dockerfile makes."""
    began = time.monotonic()
    image = Image(folder / "image")
    image.build(read_steps(DOCKERFILE.read_text()), context(ROOT, folder / "context"), python)
    if list(image.command) != [function.handler]:
        raise BuildError(f"{DOCKERFILE.name} starts {image.command}, and the template {function.handler}")
    _say(f"the Dockerfile's steps took {time.monotonic() - began:.0f} s")
    return Built(
        name=function.logical_id,
        python=str(image.python),
        isolation=("-I",),
        path=(image.task_root,),
        handler=function.handler,
        environment={**image.variables, **function.environment},
        memory_mb=function.memory_mb,
    )


def _say(words: str) -> None:
    sys.stderr.write(f"build: {words}\n")


if __name__ == "__main__":
    sys.exit(main())
