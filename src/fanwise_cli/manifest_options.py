"""The options that are a manifest's words, over those of the manifest itself, and how a model is prepared."""

from pathlib import Path
from typing import Annotated

import typer

BatchSize = Annotated[
    str | None, typer.Option("--batch-size", help="Items an invocation is given, 1 to 100,000, or auto.")
]
MaxConcurrency = Annotated[
    int | None, typer.Option("--max-concurrency", help="Invocations at once, 1 to 10,000.")
]
RuntimeName = Annotated[str | None, typer.Option("--runtime", help="auto, tensorflow or litert.")]
Tolerate = Annotated[
    float | None,
    typer.Option("--tolerate", help="Percent of items that may be dead letters before the job has FAILED."),
]
RunName = Annotated[
    str | None, typer.Option("--name", help="Makes a run of its own out of the same items and model.")
]
AcceptDifference = Annotated[
    bool,
    typer.Option(
        "--accept-difference",
        help="With --runtime litert: run a model on LiteRT that answers otherwise there than on TensorFlow.",
    ),
]
ModelSamples = Annotated[
    Path | None,
    typer.Option(
        "--samples", help="Your own items, to compare the forms of the model on beside synthetic ones."
    ),
]
