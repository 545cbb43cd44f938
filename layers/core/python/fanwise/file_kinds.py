"""What a file is that should be UTF-8 text, by its first bytes: UTF-16, an archive, a table in a binary format.

Files are known to us by the ending of their name, which may be wrong; their first bytes are not.
"""

from pathlib import PurePosixPath

BEGINNING_BYTES = 256  # are enough to know it by

# First bytes → what it is, and the command that unpacks it (`{}`: its name).
_ARCHIVES: dict[bytes, tuple[str, str]] = {
    b"\x1f\x8b": ("gzip", "gunzip < {} > NEW"),
    b"\x28\xb5\x2f\xfd": ("zstd", "unzstd < {} > NEW"),
    b"\xfd7zXZ\0": ("xz", "unxz < {} > NEW"),
    b"\x04\x22\x4d\x18": ("lz4", "unlz4 < {} > NEW"),
    b"BZh91AY&SY": ("bzip2", "bunzip2 < {} > NEW"),
    b"7z\xbc\xaf\x27\x1c": ("7-Zip", "7z x {}"),
    b"PK\x03\x04": ("a zip archive, as of zip or Excel", "unzip {}, or save the table as CSV"),
}
_FORMATS: dict[bytes, str] = {
    b"PAR1": "Parquet",
    b"ARROW1\0": "Arrow",
    b"Obj\x01": "Avro",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "Excel",
    b"SQLite format 3\0": "SQLite",
    b"\x89HDF\r\n": "HDF5",
    b"\x93NUMPY": "NumPy",
    b"\x89PNG\r\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"%PDF-": "PDF",
}
_MARKS = {
    b"\xff\xfe\0\0": "UTF-32LE",
    b"\0\0\xfe\xff": "UTF-32BE",
    b"\xff\xfe": "UTF-16LE",
    b"\xfe\xff": "UTF-16BE",
}
# Which of four bytes are zero in plain characters.
_ZEROS = {
    (0, 1, 1, 1): "UTF-32LE",
    (1, 1, 1, 0): "UTF-32BE",
    (0, 1, 0, 1): "UTF-16LE",
    (1, 0, 1, 0): "UTF-16BE",
}
_MOST = 0.8  # of the characters of a file's beginning are plain: JSON's and CSV's own, if no others


def why_no_text(beginning: bytes, name: str) -> str | None:
    """What the file `name` is instead of UTF-8 text, with the remedy; None where nothing says so.

    `beginning` is its first `BEGINNING_BYTES` or more.
    """
    file = PurePosixPath(name).name
    encoding = other_encoding(beginning)
    if encoding is not None:
        return f"is {encoding}, and UTF-8 is read; convert it: {conversion(encoding, name)}"
    for magic, (what, command) in _ARCHIVES.items():
        if beginning.startswith(magic):
            return f"is compressed ({what}), whatever its name says; unpack it first: {command.format(file)}"
    for magic, what in _FORMATS.items():
        if beginning.startswith(magic) and not _is_plain(beginning):
            return f"is {what}, and no text; write what it holds as text, encoded as UTF-8"
    return None


def conversion(encoding: str, name: str) -> str:
    """The command that makes UTF-8 of a file."""
    return f"iconv -f {encoding} -t UTF-8 < {PurePosixPath(name).name} > NEW"


def other_encoding(beginning: bytes) -> str | None:
    """UTF-16 or UTF-32, by a byte order mark or by where the zero bytes of plain characters stand."""
    if b"\0" not in beginning:
        return None
    for mark, encoding in _MARKS.items():
        if beginning.startswith(mark):
            return encoding
    quarter = len(beginning) // 4
    counts = [beginning[at : quarter * 4 : 4].count(0) for at in range(4)]
    for zeros, encoding in _ZEROS.items():
        if quarter and all(
            count >= quarter * _MOST if zero else count == 0
            for zero, count in zip(zeros, counts, strict=True)
        ):
            return encoding
    return None


def _is_plain(beginning: bytes) -> bool:
    """Whether it may be text all the same, whose first word is that of a format."""
    try:
        beginning[: BEGINNING_BYTES - 4].decode()
    except UnicodeDecodeError as error:
        if error.start < len(beginning) - 4:
            return False
    return b"\0" not in beginning
