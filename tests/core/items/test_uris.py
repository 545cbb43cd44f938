"""What a URI or a relative name stands for, and what is refused with the remedy."""

import os
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from obstore.store import MemoryStore

from fanwise.errors import BadUri, LocationError
from fanwise.items.uris import absolute_folder_uri, absolute_uri, folder_of
from fanwise.storage import FolderBackend, Location, ObstoreBackend, Storage

BASE = "s3://bucket/a/b/"
SECRET = b"outside of the folder"

# What names are made of where somebody tries to get out, in plain, encoded and look-alike spellings.
PIECES = [
    *["..", ".", "/", "//", "a", "b.png", "s3:", "file:", "http:", "bucket", "link", "up", "\\", "~", " "],
    *["%2e", "%2E", "%2f", "%5c", "%252e", "%252f", "%25", "%", "%00", "%0a", "%3a", "%c0%ae", "%u002e"],
    *["．", "‥", "…", "／", "：", "％", "２ｅ", "⁄", "∕", "\u200b", "\u0301", "\x00", "\n", "ü", "🔒"],  # noqa: RUF001
]
names = st.lists(st.sampled_from(PIECES), max_size=8).map("".join) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=20
)


@pytest.mark.parametrize(
    ("given_uri", "stands_for"),
    [
        ("x.png", "s3://bucket/a/b/x.png"),
        ("c/x.png", "s3://bucket/a/b/c/x.png"),
        ("12:30?.png#1%20", "s3://bucket/a/b/12:30?.png#1%20"),
        ("…/日本 x.png", "s3://bucket/a/b/…/日本 x.png"),
        ("..x/...", "s3://bucket/a/b/..x/..."),
        (".hidden/.x", "s3://bucket/a/b/.hidden/.x"),
        ("100%", "s3://bucket/a/b/100%"),
        ("100%/50%2x/%zz", "s3://bucket/a/b/100%/50%2x/%zz"),
        ("a%2fb%20%C3%BC", "s3://bucket/a/b/a%2fb%20%C3%BC"),
        ("Größe/🔒/ＦＵＬＬ．ｐｎｇ", "s3://bucket/a/b/Größe/🔒/ＦＵＬＬ．ｐｎｇ"),  # noqa: RUF001
        (
            "cache/https%3A%2F%2Fexample.org%2Fx.png",
            "s3://bucket/a/b/cache/https%3A%2F%2Fexample.org%2Fx.png",
        ),
        ("s3://other/key", "s3://other/key"),
        ("s3://other/ü%20x", "s3://other/ü%20x"),
    ],
)
def test_what_a_name_stands_for(given_uri: str, stands_for: str) -> None:
    assert absolute_uri(given_uri, BASE) == stands_for


@pytest.mark.parametrize(
    ("given_uri", "message"),
    [
        ("", r"the URI is empty; leave it out, or write"),
        ("file:///etc/passwd", r"is neither s3:// nor relative; only S3 is read: copy the file there"),
        ("https://example.org/x.png", r"is neither s3:// nor relative"),
        ("S3://bucket/x", r"is neither s3:// nor relative"),
        ("/etc/passwd", r"is an absolute path; write it relative to the items file"),
        ("s3://bucket", r"names no object but a folder; name one object"),
        ("s3://bucket/", r"names no object but a folder"),
        ("s3:///x", r"names no bucket; write s3://bucket/key"),
        ("scans/", r"names no object but a folder"),
        ("..", r"'\.\.' names no object but a folder"),
        ("a/.", r"names no object but a folder"),
        (
            "../x",
            r"'\.\./x' has an empty, '\.' or '\.\.' part, which is not followed; write the name without it",
        ),
        ("./x.png", r"an empty, '\.' or '\.\.' part"),
        ("a/../x", r"an empty, '\.' or '\.\.' part"),
        ("s3://bucket/a/../x", r"an empty, '\.' or '\.\.' part"),
        ("s3://bucket/a//x", r"an empty, '\.' or '\.\.' part"),
        ("a//x", r"an empty, '\.' or '\.\.' part"),
        ("a\0b", r"'a\\x00b' holds a control character"),
        ("a\nb", r"holds a control character"),
        ("x" * 300 + "/", r"x{200}…' names no object"),
    ],
)
def test_what_is_refused(given_uri: str, message: str) -> None:
    with pytest.raises(BadUri, match=message):
        absolute_uri(given_uri, BASE)


@pytest.mark.parametrize("prefix", ["", "s3://bucket/"])
@pytest.mark.parametrize(
    ("name", "danger"),
    [
        ("s3%3A%2F%2Fother/x", "another scheme"),
        ("file%3a%2f%2f%2fetc%2fpasswd", "another scheme"),
        ("http%253A%252F%252F10.0.0.1", "another scheme"),
        ("http：／／10.0.0.1", "another scheme"),  # noqa: RUF001
        ("%2fetc/passwd", "an absolute path"),
        ("／etc/passwd", "an absolute path"),  # noqa: RUF001
        ("..%2fx", r"a '\.\.' part"),
        ("%2e%2e/x", r"a '\.\.' part"),
        ("a/%2E./x", r"a '\.\.' part"),
        ("a/%252e%252e/x", r"a '\.\.' part"),
        ("‥/x", r"a '\.\.' part"),
        ("a/．./x", r"a '\.\.' part"),  # noqa: RUF001
        ("a／..／x", r"a '\.\.' part"),  # noqa: RUF001
        ("％2e％2e/x", r"a '\.\.' part"),  # noqa: RUF001
        ("%EF%BC%8E./x", r"a '\.\.' part"),
        ("a%00.png", "a control character"),
        ("a%0d%0ax", "a control character"),
        ("a%2500.png", "a control character"),
    ],
)
def test_look_alikes_are_refused(prefix: str, name: str, danger: str) -> None:
    with pytest.raises(
        BadUri, match=f"is {danger} to whoever decodes or normalises it .*; rename the object"
    ):
        absolute_uri(prefix + name, BASE)


@given(names, st.integers(0, 2))
@example("../x", 2)
def test_what_is_refused_is_refused_encoded_too(name: str, times: int) -> None:
    """Encoding a name twice does not make one of it that gets further than the name itself."""
    parts = name.split("/")
    if ".." not in parts and not name.startswith("/"):
        return
    for _ in range(times):
        name = quote(name, safe="")
    with pytest.raises(BadUri):
        absolute_uri(name, BASE)


@given(names, st.sampled_from(["", "s3://bucket/a/b/"]))
def test_what_is_accepted_lies_in_its_folder_and_can_be_asked_for(name: str, prefix: str) -> None:
    try:
        uri = absolute_uri(prefix + name, BASE)
    except BadUri:
        return
    if uri != name:  # which may name another bucket, for the allow-list to judge
        assert uri == BASE + name
    assert not {"", ".", ".."} & set(Location.parse(uri).key.split("/"))
    with pytest.raises(FileNotFoundError):  # and not LocationError
        Storage({"bucket": ObstoreBackend(MemoryStore())}, s3=False).read(BASE + uri.removeprefix(BASE))


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with symlinks that lead out of it, beside a secret."""
    outside = tmp_path_factory.mktemp("outside")
    (outside / "a").write_bytes(SECRET)
    (outside / "b.png").write_bytes(SECRET)
    bucket = outside / "bucket"
    folder = bucket / "a/b"
    folder.mkdir(parents=True)
    (folder / "a").write_bytes(b"inside")
    for name in ("link", "up", "ü", "..x"):
        (folder / name).symlink_to(outside)
    (folder / "b.png").symlink_to(outside / "a")
    (bucket / "a/a").symlink_to(Path(os.pardir, os.pardir, "a"))
    return bucket


@given(names)
@example("link/a")
@example("b.png")
@example("a")
def test_a_folder_gives_nothing_from_outside_of_it(planted: Path, name: str) -> None:
    storage = Storage({"bucket": FolderBackend(planted, writable=False)}, s3=False)
    for base in (BASE, "s3://bucket/"):
        try:
            assert storage.read(absolute_uri(name, base).replace("s3://a/", BASE)) == b"inside"
        except (BadUri, LocationError, FileNotFoundError):
            continue


def test_a_symlink_out_of_its_folder_is_refused_with_the_remedy(planted: Path) -> None:
    storage = Storage({"bucket": FolderBackend(planted, writable=False)}, s3=False)
    for name in ("link/a", "b.png", "..x/a"):
        with pytest.raises(LocationError, match=r"leads out of the mounted folder .* by --root"):
            storage.read(absolute_uri(name, BASE))


@pytest.mark.parametrize(
    ("given_uri", "stands_for"),
    [("s3://b/", "s3://b/"), ("s3://b/c/", "s3://b/c/"), ("c/", "s3://bucket/a/b/c/")],
)
def test_folders(given_uri: str, stands_for: str) -> None:
    assert absolute_folder_uri(given_uri, BASE) == stands_for


@pytest.mark.parametrize("given_uri", ["s3://b/c//", "./", "../", "a/../", "%2e%2e/"])
def test_folders_that_are_refused(given_uri: str) -> None:
    with pytest.raises(BadUri, match="part"):
        absolute_folder_uri(given_uri, BASE)


def test_the_folder_of_an_object() -> None:
    assert folder_of("s3://b/a/items.jsonl") == "s3://b/a/"
    assert folder_of("s3://b/items.jsonl") == "s3://b/"
