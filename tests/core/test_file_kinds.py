"""Files that are no UTF-8 text are known by their first bytes; UTF-8 text is never taken for one."""

import bz2
import gzip
import io
import json
import lzma
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from obstore.store import MemoryStore

from fanwise.errors import BundleError, ItemsFileError
from fanwise.file_kinds import BEGINNING_BYTES, why_no_text
from fanwise.model.binding import read_labels
from fanwise.model.contract import read_contract
from fanwise.planning.source import pin_items
from fanwise.storage import ObstoreBackend, Storage

TEXT = b'{"inputs": {"x": 1}}\n' * 50


def _zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("items.jsonl", TEXT)
    return file.getvalue()


def _numpy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros(9))
    return file.getvalue()


BINARY = {
    "compressed (gzip)": gzip.compress(TEXT),
    "compressed (bzip2)": bz2.compress(TEXT),
    "compressed (xz)": lzma.compress(TEXT),
    "compressed (zstd)": b"\x28\xb5\x2f\xfd\x04\x58\x41\x00",
    "compressed (a zip archive": _zip(),
    "Parquet": b"PAR1\x15\x04\x15\x10\x15\x14L\x15\x02\x15\x00\x12\x00\x00",
    "NumPy": _numpy(),
}

values = st.recursive(
    st.none() | st.integers() | st.text(), lambda inner: st.dictionaries(st.text(), inner), max_leaves=9
)
encodings = st.sampled_from(["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])


@given(st.dictionaries(st.text("abcdefgh"), values), encodings)
def test_json_in_another_encoding_is_named(value: dict[str, object], encoding: str) -> None:
    data = json.dumps(value).encode(encoding)  # which is ASCII, as most JSON is
    why = why_no_text(data, "s3://b/items.jsonl")
    name = encoding.upper().replace("F-", "F-").replace("-LE", "LE").replace("-BE", "BE")
    name += "" if name.endswith("E") else "LE"
    assert why == f"is {name}, and UTF-8 is read; convert it: iconv -f {name} -t UTF-8 < items.jsonl > NEW"


@given(st.lists(values.map(lambda value: json.dumps(value, ensure_ascii=False)), max_size=5))
def test_json_in_utf_8_is_text(lines: list[str]) -> None:
    data = "\n".join(lines).encode()
    assert why_no_text(data, "a") is None
    assert why_no_text(b"\xef\xbb\xbf" + data, "a") is None


@given(st.text(min_size=4), st.integers(0, 400))
def test_text_without_zero_bytes_is_text(text: str, length: int) -> None:
    data = (text * 100).replace("\0", "").encode()[:length]
    assert why_no_text(data, "a") is None


@pytest.mark.parametrize("text", [b"PAR1,b\n1,2\n", b"BZh,a\n", "Obj,ä\n".encode() * 200, b"%PDF-x,uri\n"])
def test_a_header_may_begin_like_a_format(text: bytes) -> None:
    assert why_no_text(text[:BEGINNING_BYTES], "a") is None


@pytest.mark.parametrize("what", BINARY)
def test_what_is_no_text_is_named_wherever_text_is_read(what: str) -> None:
    data = BINARY[what]
    storage = Storage({"b": ObstoreBackend(MemoryStore())}, s3=False)
    for name in ("items.jsonl", "items.csv"):
        storage.write(f"s3://b/{name}", data)
        with pytest.raises(ItemsFileError) as refused:
            pin_items(storage, f"s3://b/{name}")
        assert str(refused.value).startswith(f"s3://b/{name} is {what}")
    for read in (read_contract, read_labels):
        with pytest.raises(BundleError) as not_read:
            read(data, "file")
        assert str(not_read.value).startswith(f"file is {what}")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32"])
@pytest.mark.parametrize(("name", "text"), [("items.jsonl", TEXT.decode()), ("items.csv", "id,uri\nä,a\n")])
def test_items_in_another_encoding_are_refused_before_any_work(name: str, text: str, encoding: str) -> None:
    storage = Storage({"b": ObstoreBackend(MemoryStore())}, s3=False)
    storage.write(f"s3://b/{name}", text.encode(encoding))
    with pytest.raises(
        ItemsFileError, match=f"^s3://b/{name} is UTF-.*; convert it: iconv -f UTF-.* {name} "
    ):
        pin_items(storage, f"s3://b/{name}")


def test_labels_in_another_encoding() -> None:
    with pytest.raises(BundleError, match=r"^labels.txt is UTF-16LE"):
        read_labels("Äpfel\nBirnen\n".encode("utf-16"), "labels.txt")
    assert read_labels("Äpfel\nBirnen\n".encode(), "labels.txt") == ("Äpfel", "Birnen")
