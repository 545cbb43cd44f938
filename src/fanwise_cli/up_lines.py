"""The lines that `fanwise up` prints, to be copied: each works as it stands, in any folder.

They take the demo's items and model. Where these are not known to be there, the first lines make them.
"""

import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.request import getproxies, proxy_bypass

from fanwise_cli.settings import DEFAULT_STACK
from fanwise_local.template import Stack

HOST = "127.0.0.1"
ITEMS, SCANS = "items.jsonl", "scans"
_DEMO = Path("fanwise-demo/data")
_DEMO_MODEL = "digits@demo"


@dataclass(frozen=True)
class Line:
    """A line to copy, and what it is for; a remark has no line."""

    comment: str
    line: str = ""


def lines_to_copy(
    environment: Mapping[str, str], stack: Stack, published: Sequence[tuple[Path, str]]
) -> Iterator[Line]:
    """`published` are models as they were given, and what they are called."""
    yield Line(
        "", "export " + " ".join(f"{name}={shlex.quote(value)}" for name, value in environment.items())
    )
    if "http" in getproxies() and not proxy_bypass(HOST):
        yield Line("not by way of the proxy", f'export NO_PROXY="$NO_PROXY,{HOST}"')
    found = [(path.resolve().parent, name) for path, name in published if _is_demo(path.resolve().parent)]
    data, model = found[0] if found else (_DEMO, _DEMO_MODEL)
    fanwise, of_stack = _program(), "" if stack.name == DEFAULT_STACK else f" --stack {stack.name}"
    if not found:
        name, _, version = _DEMO_MODEL.partition("@")
        yield Line(f"the demo's items and model, in {_DEMO}, and the model published", f"{fanwise} demo")
        yield Line("", f"{fanwise} push {_DEMO}/model --name {name} --version {version}{of_stack}")
    inbox = f"s3://{stack.buckets['InputBucket']}/inbox/{model}"
    scans, items = (shlex.quote(str(data / name)) for name in (SCANS, ITEMS))
    yield Line("an upload starts a job: the scans that its items name, and the items file")
    yield Line("", f"aws s3 cp --recursive --only-show-errors {scans} {inbox}/{SCANS}/")
    yield Line("", f"aws s3 cp {items} {inbox}/{ITEMS}")
    start = f'{{"manifest": {{"items": "{inbox}/{ITEMS}", "model": "{model}"}}, "run": "by hand"}}'
    arn = stack.state_machine_arn
    yield Line(
        "so does an execution",
        f"aws stepfunctions start-execution --state-machine-arn {arn} --input '{start}'",
    )
    yield Line(
        "and this, which waits for its end", f"{fanwise} submit {items} --model {model} --watch{of_stack}"
    )
    results = f"s3://{stack.buckets['ResultsBucket']}/jobs/"
    yield Line("what came of them", f"aws s3 sync --only-show-errors {results} results/")
    for _, name in () if found else published:
        yield Line(
            f"items of your own: aws s3 cp {ITEMS} s3://{stack.buckets['InputBucket']}/inbox/{name}/{ITEMS}"
        )


def _is_demo(data: Path) -> bool:
    """Whether a folder has the demo's items."""
    return (data / ITEMS).is_file() and (data / SCANS).is_dir()


def _program() -> str:
    """How this command is called from any folder."""
    found = shutil.which("fanwise")
    if found is not None and Path(found).resolve().parent == Path(sys.executable).absolute().parent.resolve():
        return "fanwise"
    beside = Path(sys.executable).absolute().with_name("fanwise")
    return shlex.quote(str(beside)) if beside.exists() else f"{shlex.quote(sys.executable)} -m fanwise_cli"
