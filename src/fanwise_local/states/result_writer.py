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
    """Collects children as they end, by index, and keeps of those that succeeded no more than will be written.

    Kept as JSON text where they go to files, as values where they become the state's output. A child that failed
    is kept itself: a redrive starts it again, and then what it gives takes its place.
    """

    writer: ResultWriter | None
    state_machine_arn: str
    succeeded: dict[int, Sequence[JSON]] = field(default_factory=dict)
    failed: dict[int, Child] = field(default_factory=dict)

    @property
    def exported(self) -> bool:
        """Whether the results go to files."""
        return self.writer is not None and self.writer.bucket is not None

    def add(self, child: Child) -> None:
        """A child has ended."""
        if child.status != "SUCCEEDED":
            self.failed[child.index] = child
            return
        self.failed.pop(child.index, None)
        rows = self._rows(child)
        self.succeeded[child.index] = [encode(row) for row in rows] if self.exported else rows

    def successes(self) -> Iterator[JSON]:
        """What the children that succeeded gave, in the order of their items."""
        return (row for index in sorted(self.succeeded) for row in self.succeeded[index])

    def failures(self) -> Iterator[JSON]:
        """The children that failed, with their metadata, in the order of their items."""
        return (self.failed[index].described(self.state_machine_arn) for index in sorted(self.failed))

    def output(self) -> list[JSON]:
        """The results as the state's result: all children, in the order of their items."""
        failed = {index: [child.described(self.state_machine_arn)] for index, child in self.failed.items()}
        rows = {**self.succeeded, **failed}
        return [row for index in sorted(rows) for row in rows[index]]

    def _rows(self, child: Child) -> Sequence[JSON]:
        # Without a ResultWriter the default is COMPACT, with one it is NONE.
        transformation = "COMPACT" if self.writer is None else self.writer.transformation
        if transformation == "NONE":
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
    with States.ResultWriterFailed. Of a Map Run that was redriven, the files are written again; what an earlier
    manifest alone named stays where it is.
    """
    bucket, prefix = destination
    folder = "/".join(part for part in (prefix.strip("/"), map_run.arn.rpartition(":")[2]) if part)
    json_lines = results.writer is not None and results.writer.json_lines
    groups = {
        "FAILED": [encode(row) for row in results.failures()],
        "PENDING": [encode(row) for row in pending],
        "SUCCEEDED": list(results.successes()),
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
