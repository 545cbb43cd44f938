"""`make fuzz`: each target for some seconds, guided by coverage (atheris). Runs in an environment of its own.

What is worth keeping of the inputs stays in .fuzz/TARGET/corpus, so that the next run begins there; what broke a
promise in .fuzz/TARGET/crash-…, and `python tests/fuzz TARGET FILE` runs it again.
"""

import argparse
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

ROOT = Path(__file__).parents[2]
SEEDS, FOUND = Path(__file__).parent / "seeds", ROOT / ".fuzz"
WORDS = Path(__file__).parent / "words.dict"
sys.path[:0] = [str(ROOT / folder) for folder in ("src", "layers/core/python", "tests")]

MAX_INPUT_BYTES = 20_000  # more than a CSV header may have
MAX_INPUT_S = 5  # for one input: beyond it, it hangs
MAX_MEMORY_MB = 1024


def main() -> int:
    """Fuzz every target, or run one over given files."""
    try:
        import atheris
    except ImportError:
        sys.stderr.write(
            "fuzz: atheris has no wheel for this platform and Python; it has for Linux, 3.11 to 3.13\n"
        )
        return 1
    parser = argparse.ArgumentParser(prog="tests/fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("target", nargs="?", help="one alone")
    parser.add_argument("files", nargs="*", type=Path, help="run over these, and do not fuzz")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)  # in this process
    asked = parser.parse_args()
    instrumented = atheris.instrument_imports(include=["fanwise", "fanwise_cli", "fuzz"])
    with instrumented if asked.one else nullcontext():
        from fuzz.targets import TARGETS
    if asked.target is not None and asked.target not in TARGETS:
        parser.error(f"there is no target {asked.target!r}; known are {', '.join(TARGETS)}")
    if asked.files:
        for path in asked.files:
            TARGETS[asked.target](path.read_bytes())
        return 0
    if asked.one:
        atheris.Setup([sys.argv[0], *_options(asked.target, asked.seconds)], TARGETS[asked.target])
        atheris.Fuzz()  # ends the process
    failed = [
        target for target in ([asked.target] if asked.target else TARGETS) if not _fuzz(target, asked.seconds)
    ]
    if failed:
        sys.stderr.write(f"fuzz: {', '.join(failed)} failed; the inputs are in {FOUND}\n")
    return 1 if failed else 0


def _fuzz(target: str, seconds: int) -> bool:
    """One target, in a process of its own; whether it held."""
    sys.stderr.write(f"fuzz: {target}, {seconds} s\n")
    log = FOUND / target / "log"
    (FOUND / target / "corpus").mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file:
        words = [sys.executable, __file__, target, "--one", "--seconds", str(seconds)]
        done = subprocess.run(words, stdout=file, stderr=file, stdin=subprocess.DEVNULL, check=False)
    lines = log.read_text(errors="replace").splitlines()
    told = lines[-25:] if done.returncode else [line for line in lines if line.startswith("Done ")]
    sys.stderr.write("".join(f"  {line}\n" for line in told))
    return done.returncode == 0


def _options(target: str, seconds: int) -> list[str]:
    """libFuzzer's: the first folder takes what is new, the second is only read."""
    return [
        f"-max_total_time={seconds}",
        f"-max_len={MAX_INPUT_BYTES}",
        f"-timeout={MAX_INPUT_S}",
        f"-rss_limit_mb={MAX_MEMORY_MB}",
        f"-dict={WORDS}",
        f"-artifact_prefix={FOUND / target}/",
        "-print_final_stats=1",
        str(FOUND / target / "corpus"),
        str(SEEDS / target),
    ]


if __name__ == "__main__":
    sys.exit(main())
