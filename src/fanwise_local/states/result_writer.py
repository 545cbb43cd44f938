"""What a Map Run's children gave: files in S3, or the state's output (input-output-resultwriter).

Files lie below `PREFIX/UUID/`: `SUCCEEDED_n.json`, `FAILED_n.json` (timed-out and aborted children too),
`PENDING_n.json` (children that never started), at most 5 GB each, and `manifest.json`, which names them. Failed
children are always written with their metadata, whatever the transformation. The names end in `.json` for JSONL
as well: readers go by the manifest.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from fanwise_local.states.errors import RESULT_WRITER_FAILED, StatesError
from fanwise_local.states.map_run import Child, MapRun
from fanwise_local.states.payloads import JSON, encode
from fanwise_local.states.services import Services
from fanwise_local.states.syntax import ResultWriter

MAX_FILE_BYTES = 5 * 1024**3


@dataclass(slots=True)
class Results:
    """Collects children as they end, by index, and keeps of each no more than will be written.

    Kept as JSON text where they go to files, as values where they become the state's output.
    """

    writer: ResultWriter | None
    state_machine_arn: str
    succeeded: list[tuple[int, JSON]] = field(default_factory=list)
    failed: list[tuple[int, JSON]] = field(default_factory=list)

    @property
    def exported(self) -> bool:
        """Whether the results go to files."""
        return self.writer is not None and self.writer.bucket is not None

    def add(self, child: Child) -> None:
        """A child has ended."""
        rows = self.failed if child.status != "SUCCEEDED" else self.succeeded
        for row in self._rows(child):
            rows.append((child.index, encode(row) if self.exported else row))

    def output(self) -> list[JSON]:
        """The results as the state's result: all children, in the order of their items."""
        return [row for _, row in sorted(self.succeeded + self.failed, key=lambda indexed: indexed[0])]

    def _rows(self, child: Child) -> Sequence[JSON]:
        # Without a ResultWriter the default is COMPACT, with one it is NONE.
        transformation = "COMPACT" if self.writer is None else self.writer.transformation
        if child.status != "SUCCEEDED" or transformation == "NONE":
            return [child.described(self.state_machine_arn)]
        if transformation == "FLATTEN" and isinstance(child.output, list):
            return child.output
        return [child.output]


async def export(
    results: Results,
    pending: Sequence[JSON],
    destination: tuple[str, str],
    map_run: MapRun,
    services: Services,
) -> JSON:
    """Writes the files and then the manifest; returns the state's result.

    `pending` are the rows of children that never started; `destination` is bucket and prefix. Raises `StatesError`
    with States.ResultWriterFailed.
    """
    bucket, prefix = destination
    folder = "/".join(part for part in (prefix.strip("/"), map_run.arn.rpartition(":")[2]) if part)
    json_lines = results.writer is not None and results.writer.json_lines
    groups = {
        "FAILED": _in_order(results.failed),
        "PENDING": [encode(row) for row in pending],
        "SUCCEEDED": _in_order(results.succeeded),
    }
    files: dict[str, list[JSON]] = {name: [] for name in groups}
    try:
        for name, rows in groups.items():
            for number, part in enumerate(_parts(rows)):
                key = f"{folder}/{name}_{number}.json"
                body = _body(part, json_lines)
                await services.put_object(bucket, key, body)
                files[name].append({"Key": key, "Size": len(body)})
        manifest = {"DestinationBucket": bucket, "MapRunArn": map_run.arn, "ResultFiles": files}
        await services.put_object(bucket, f"{folder}/manifest.json", encode(manifest))
    except StatesError as error:
        raise StatesError(
            RESULT_WRITER_FAILED, f"s3://{bucket}/{folder}: {error.error}: {error.cause}"
        ) from error
    return {
        "MapRunArn": map_run.arn,
        "ResultWriterDetails": {"Bucket": bucket, "Key": f"{folder}/manifest.json"},
    }


def _in_order(rows: list[tuple[int, JSON]]) -> list[bytes]:
    return [row for _, row in sorted(rows, key=lambda indexed: indexed[0])]


def _parts(rows: Sequence[bytes]) -> Iterator[list[bytes]]:
    """Cuts rows into files."""
    part: list[bytes] = []
    size_bytes = 2
    for row in rows:
        if part and size_bytes + len(row) + 1 > MAX_FILE_BYTES:
            yield part
            part, size_bytes = [], 2
        part.append(row)
        size_bytes += len(row) + 1
    if part:
        yield part


def _body(rows: Sequence[bytes], json_lines: bool) -> bytes:
    return b"\n".join((*rows, b"")) if json_lines else b"[" + b",".join(rows) + b"]"
