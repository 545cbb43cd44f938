"""Large items files that are meant to cost memory, and a process that plans and reads them with little of it.

`python hostile.py jsonl|csv FOLDER` prints the name of each that it got through.
"""

import resource
import sys
from pathlib import Path

from fanwise.errors import ItemError
from fanwise.items.cutting import cut_entries
from fanwise.items.dead_letters import dead_letter_of_record
from fanwise.items.lines import LineKind, bytes_to_read, split_records
from fanwise.items.parsing import parse_record
from fanwise.records import Failure, ItemsSource
from fanwise.storage import FolderBackend, Storage

MIB = 1024 * 1024
MEMORY_BYTES = 384 * MIB  # beyond what the process has when it begins
RECORDS_READ = 1  # of an entry

# What is repeated, and how often.
HOSTILE: dict[str, tuple[bytes, int]] = {
    "one-line-without-end": (b'{"x":"' + b"a" * MIB, 64),
    "quotes": (b'"' * MIB, 64),
    "brackets": (b"[" * MIB, 64),
    "quotes-and-line-ends": (b'"\n' * MIB, 6),
    "short-lines": (b"1\n" * MIB, 4),
    "blank-lines": (b"\r\n \t\n" * MIB, 12),
    "returns": (b"\r" * MIB, 64),
    "digits": (b'{"inputs":{"x":' + b"9" * 7 * MIB + b"}}\n", 8),
    "many-keys": (b"{" + b",".join(b'"%d":1' % i for i in range(500_000)) + b"}\n", 6),
    "the-same-key": (b"{" + b'"x":{},' * MIB + b'"x":1}\n', 6),
    "commas": (b"," * 7 * MIB + b"\n", 6),
    "deep": (b'{"inputs":' + b'{"a":' * MIB + b"1" + b"}" * (MIB + 1) + b"\n", 8),
    "not-utf-8": (b"\xff" * 7 * MIB + b"\n", 8),
}


def main(kind: LineKind, folder: Path) -> None:
    """Go through each of them as PlanJob and PredictBatch do."""
    with open("/proc/self/statm", "rb") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY_BYTES, now + MEMORY_BYTES))
    storage = Storage({"in": FolderBackend(folder, writable=True)}, s3=False)
    for name, (piece, times) in HOSTILE.items():
        path = folder / f"items.{kind}"
        with path.open("wb") as file_:
            file_.writelines(piece for _ in range(times))
        read(storage, f"s3://in/{path.name}", kind)
        sys.stdout.write(name + "\n")


def read(storage: Storage, uri: str, kind: LineKind) -> None:
    """Cut the file into entries, and read of the first and the last."""
    info = storage.head(uri)
    source = ItemsSource(
        uri=uri, kind=kind, size_bytes=info.size_bytes, etag=info.etag, base="s3://in/", columns=("x", "y")
    )
    entries = list(cut_entries(storage.stream(uri, info), kind, 100_000))
    for entry in (*entries[:1], *entries[-1:]):
        data = storage.read(uri, *bytes_to_read(entry), info)
        records = list(
            split_records(data, kind, start=entry.start, first_line=entry.first_line, end=entry.end)
        )
        assert len(records) == entry.count
        for index, record in enumerate(records[:RECORDS_READ], entry.first):
            try:
                parse_record(record, index, source, {"x": "number"})
            except ItemError as error:
                failure = Failure(
                    error=type(error).__name__,
                    message=str(error),
                    stage=error.stage,
                    attempts=1,
                    line=record.line,
                )
                dead_letter_of_record(record, index, source, {"x": "number"}, failure)


if __name__ == "__main__":
    main("csv" if sys.argv[1] == "csv" else "jsonl", Path(sys.argv[2]))
