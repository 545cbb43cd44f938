"""Storage: one behaviour over folders and obstore, and nothing outside of a mounted folder."""

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer
from obstore.store import MemoryStore, S3Store

from fanwise.errors import ItemsChanged, LocationError, StoreFull, StoreUnavailable
from fanwise.items.folder import version_of_folder
from fanwise.storage import Body, FolderBackend, Location, ObjectInfo, ObstoreBackend, Storage


@pytest.fixture(params=["folder", "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "memory":
        return Storage({"b": ObstoreBackend(MemoryStore())}, s3=False)
    return Storage({"b": FolderBackend(tmp_path, writable=True)}, s3=False)


def test_what_is_written_is_read_whole_and_by_range(storage: Storage) -> None:
    storage.write("s3://b/a/b.txt", b"0123456789")
    assert storage.read("s3://b/a/b.txt") == b"0123456789"
    assert storage.read("s3://b/a/b.txt", 3) == b"3456789"
    assert storage.read("s3://b/a/b.txt", 3, 5) == b"34"
    assert storage.read("s3://b/a/b.txt", 3, 3) == b""
    assert storage.head("s3://b/a/b.txt").size_bytes == 10
    assert b"".join(storage.stream("s3://b/a/b.txt", storage.head("s3://b/a/b.txt"), 3)) == b"0123456789"


def test_a_range_past_the_end_gives_what_there_is(storage: Storage) -> None:
    storage.write("s3://b/x", b"0123456789")
    assert storage.read("s3://b/x", 0, 1000) == b"0123456789"
    assert storage.read("s3://b/x", 8, 1000) == b"89"


def test_a_pinned_read_refuses_another_version(storage: Storage) -> None:
    storage.write("s3://b/items.jsonl", b"one\n")
    pin = storage.head("s3://b/items.jsonl")
    assert storage.read("s3://b/items.jsonl", 0, 3, pin) == b"one"
    storage.write("s3://b/items.jsonl", b"three\n")
    with pytest.raises(ItemsChanged, match=r"s3://b/items.jsonl is no longer the version"):
        storage.read("s3://b/items.jsonl", 0, 3, pin)


def test_create_answers_with_the_winner(storage: Storage) -> None:
    assert storage.create("s3://b/commits/0.json", b"first") == b"first"
    assert storage.create("s3://b/commits/0.json", b"second") == b"first"
    assert storage.read("s3://b/commits/0.json") == b"first"


def test_of_many_who_create_at_once_one_wins(tmp_path: Path) -> None:
    storage = Storage({"b": FolderBackend(tmp_path, writable=True)}, s3=False)
    answers: list[bytes] = []
    threads = [
        threading.Thread(target=lambda n=n: answers.append(storage.create("s3://b/c/x", b"%d" % n * 9999)))
        for n in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(answers)) == 1
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == ["x"]


class LostAnswer(ObstoreBackend):
    """A store whose conditional write succeeds and whose answer never comes."""

    def create(self, key: str, body: bytes) -> bool:
        super().create(key, body)
        raise StoreUnavailable("connection reset")


def test_a_lost_answer_to_create_is_read_back() -> None:
    storage = Storage({"b": LostAnswer(MemoryStore())}, s3=False)
    assert storage.create("s3://b/c", b"mine") == b"mine"


class NoAnswer(ObstoreBackend):
    """A store that does nothing and says so."""

    def create(self, key: str, body: bytes) -> bool:
        raise StoreUnavailable("503 Slow Down")


def test_a_create_that_did_nothing_is_worth_another_attempt() -> None:
    storage = Storage({"b": NoAnswer(MemoryStore())}, s3=False)
    with pytest.raises(StoreUnavailable, match="Slow Down"):
        storage.create("s3://b/c", b"mine")


class Short(ObstoreBackend):
    """A store whose connection ends before the body does."""

    def read(self, key: str, start: int, end: int | None, pin: ObjectInfo | None) -> Body:
        data, size_bytes = super().read(key, start, end, pin)
        return Body(data[: len(data) // 2], size_bytes)


@pytest.mark.parametrize(
    ("start", "end", "sizes"), [(0, None, "5 of 10"), (2, 6, "2 of 4"), (4, 99, "3 of 6")]
)
def test_a_body_cut_short_is_no_object(start: int, end: int | None, sizes: str) -> None:
    storage = Storage({"b": Short(MemoryStore())}, s3=False)
    storage.write("s3://b/x", b"0123456789")
    with pytest.raises(StoreUnavailable, match=f"s3://b/x: gave {sizes} bytes; try again"):
        storage.read("s3://b/x", start, end)


def test_a_winner_that_is_read_back_short_is_no_winner() -> None:
    storage = Storage({"b": Short(MemoryStore())}, s3=False)
    assert storage.create("s3://b/x", b"first") == b"first"
    with pytest.raises(StoreUnavailable, match="gave 2 of 5 bytes"):
        storage.create("s3://b/x", b"second")


class Conflict(ObstoreBackend):
    """A store that says "exists" (S3's 409 too) of a key that its rival then failed to write."""

    def create(self, key: str, body: bytes) -> bool:
        return False


def test_a_create_that_lost_to_nobody_is_worth_another_attempt() -> None:
    storage = Storage({"b": Conflict(MemoryStore())}, s3=False)
    with pytest.raises(
        StoreUnavailable, match=r"s3://b/c: a conditional write was refused, and nothing is there"
    ):
        storage.create("s3://b/c", b"mine")
    assert storage.requests() == (1, 1)


def test_a_pinned_object_that_is_gone_has_changed(storage: Storage) -> None:
    storage.write("s3://b/items.jsonl", b"one\n")
    pin = storage.head("s3://b/items.jsonl")
    storage.delete("s3://b/items.jsonl")
    with pytest.raises(ItemsChanged, match=r"s3://b/items.jsonl is no longer the version"):
        storage.read("s3://b/items.jsonl", 0, 3, pin)


@pytest.mark.parametrize("key", ["x" * 300 + "/y", "x" * 1100, "/".join(["deep"] * 300)])
def test_a_name_that_no_object_can_have_is_an_object_that_is_not_there(storage: Storage, key: str) -> None:
    """And not a store that does not answer, which would be asked again and again."""
    with pytest.raises(FileNotFoundError):
        storage.read(f"s3://b/{key}")


def test_a_key_that_obstore_cannot_hold_is_a_wrong_location() -> None:
    storage = Storage({"b": ObstoreBackend(MemoryStore())}, s3=False)
    with pytest.raises(LocationError, match=r"s3://b/x//y: .*empty path segment"):
        storage.read("s3://b/x//y")


def test_a_bucket_that_cannot_exist_is_never_asked_for() -> None:
    with pytest.raises(LocationError, match="no bucket is called 'not a bucket'"):
        Storage({}, s3=True).read("s3://not a bucket/x")


@contextmanager
def s3_that(status: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """An S3 that answers every request with `status`; yields the methods it was asked with."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            asked.append(self.command)
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_PUT = _answer  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:  # not to the terminal
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        for name, value in {
            "AWS_ENDPOINT": f"http://127.0.0.1:{server.server_address[1]}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "nothing",
        }.items():
            monkeypatch.setenv(name, value)
        try:
            yield asked
        finally:
            server.shutdown()
            thread.join()


def test_an_s3_that_does_not_answer_is_asked_three_times(monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_that(503, monkeypatch) as asked, pytest.raises(StoreUnavailable, match=r"s3://bucket/x: .*503"):
        Storage({}, s3=True).read("s3://bucket/x")
    assert asked == ["GET"] * 3


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The URL of an S3 that does what S3 does: moto's, in memory."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield "http://{}:{}".format(*server.get_host_and_port())
    finally:
        server.stop()


class Bucket:
    """A new bucket of `s3`, with a client beside the storage: what people upload with."""

    def __init__(self, url: str, name: str) -> None:
        keys = {"aws_access_key_id": "nobody", "aws_secret_access_key": "nothing"}
        self.client = boto3.client("s3", endpoint_url=url, region_name="us-east-1", **keys)
        self.client.create_bucket(Bucket=name)
        self.name = name
        store = S3Store(
            name,
            endpoint=url,
            access_key_id="nobody",
            secret_access_key="nothing",  # noqa: S106 - of a server in memory
            region="us-east-1",
            client_options={"allow_http": True},
            virtual_hosted_style_request=False,
        )
        self.storage = Storage({"b": ObstoreBackend(store)}, s3=False)

    def put(self, key: str, body: bytes = b"") -> str | None:
        version_id: str | None = self.client.put_object(Bucket=self.name, Key=key, Body=body).get("VersionId")
        return version_id

    def keep_versions(self, status: str) -> None:
        configuration = {"Status": status}
        self.client.put_bucket_versioning(Bucket=self.name, VersioningConfiguration=configuration)


@pytest.fixture
def bucket(s3: str, request: pytest.FixtureRequest) -> Bucket:
    digest = hashlib.md5(request.node.name.encode(), usedforsecurity=False).hexdigest()
    return Bucket(s3, f"bucket-{digest}")


def test_a_range_of_an_empty_object_is_empty(bucket: Bucket) -> None:
    """S3 answers such a range with 416, which is no reason to try again."""
    bucket.put("empty")
    bucket.put("full", b"0123")
    for start, end in ((0, 100), (3, None), (3, 5)):
        assert bucket.storage.read("s3://b/empty", start, end) == b""
    assert bucket.storage.read("s3://b/full", 4, 10) == b""
    assert bucket.storage.read("s3://b/full", 9) == b""


def test_a_folder_made_in_the_console_is_no_object(bucket: Bucket) -> None:
    for key in ("f/", "f/sub/", "f/bare/", "f/empty"):
        bucket.put(key)
    for key in ("f/sub-a", "f/sub/x", "f/ü 😀+%2F.txt"):
        bucket.put(key, b"1")
    names = ["f/empty", "f/sub-a", "f/sub/x", "f/ü 😀+%2F.txt"]
    assert [info.key for info in bucket.storage.list("s3://b/f/")] == names
    assert [info.key for info in bucket.storage.list("s3://b/")] == names
    assert len(version_of_folder(bucket.storage, "s3://b/f/")) == 64  # sorted, too
    assert bucket.storage.read("s3://b/f/ü 😀+%2F.txt") == b"1"


def test_an_object_as_it_was_at_a_version(bucket: Bucket) -> None:
    bucket.keep_versions("Enabled")
    versions = [bucket.put("x", b"x" * size) for size in (1, 2, 3)]
    infos = [bucket.storage.head("s3://b/x", version) for version in versions]
    assert [(info.size_bytes, info.version_id) for info in infos] == list(
        zip((1, 2, 3), versions, strict=True)
    )
    assert [bucket.storage.read("s3://b/x", 0, 9, info) for info in infos] == [b"x", b"xx", b"xxx"]
    bucket.client.delete_object(Bucket=bucket.name, Key="x", VersionId=versions[1])
    with pytest.raises(FileNotFoundError, match=r"s3://b/x: no such object"):
        bucket.storage.head("s3://b/x", versions[1])


def test_a_bucket_that_has_stopped_to_keep_versions_has_none_to_pin(bucket: Bucket) -> None:
    """Each version is called "null" there, so two would look the same."""
    bucket.keep_versions("Suspended")
    bucket.put("x", b"1")
    before = bucket.storage.head("s3://b/x")
    bucket.put("x", b"22")
    assert (before.version_id, bucket.storage.head("s3://b/x").version_id) == (None, None)
    with pytest.raises(ItemsChanged):
        bucket.storage.read("s3://b/x", 0, 1, before)


def test_a_folder_has_no_versions(tmp_path: Path) -> None:
    storage = Storage({"b": FolderBackend(tmp_path, writable=True)}, s3=False)
    storage.write("s3://b/x", b"1")
    with pytest.raises(FileNotFoundError):
        storage.head("s3://b/x", "v1")


def test_listing_is_sorted_and_below_the_prefix_alone(storage: Storage) -> None:
    for key in ("p/b", "p/a/2", "p/a/10", "pq/x"):
        storage.write(f"s3://b/{key}", b"")
    assert sorted(info.key for info in storage.list("s3://b/p/")) == ["p/a/10", "p/a/2", "p/b"]
    assert list(storage.list("s3://b/none/")) == []


def test_a_missing_object_names_its_uri(storage: Storage) -> None:
    with pytest.raises(FileNotFoundError, match=r"s3://b/none\.json: no such object"):
        storage.read("s3://b/none.json")
    storage.delete("s3://b/none.json")


def test_requests_are_counted_as_s3_bills_them(storage: Storage) -> None:
    storage.write("s3://b/x", b"1")
    storage.read("s3://b/x")
    storage.head("s3://b/x")
    assert storage.requests() == (2, 1)


@pytest.mark.parametrize("uri", ["file:///etc/passwd", "http://x/y", "x/y", "s3:/b/k", "s3://", "S3://b/k"])
def test_only_s3_uris_are_locations(uri: str) -> None:
    with pytest.raises(LocationError):
        Location.parse(uri)


class TestFolder:
    """What a mounted folder keeps in, and out."""

    @pytest.fixture
    def outside(self, tmp_path: Path) -> Path:
        (tmp_path / "secret.txt").write_text("secret")
        (tmp_path / "mounted").mkdir()
        (tmp_path / "mounted" / "in.txt").write_text("in")
        return tmp_path

    @pytest.fixture
    def folder(self, outside: Path) -> Storage:
        return Storage({"b": FolderBackend(outside / "mounted", writable=False)}, s3=False)

    @pytest.mark.parametrize(
        "key", ["../secret.txt", "a/../../secret.txt", "./in.txt", "a//b", "/in.txt", ""]
    )
    def test_a_key_cannot_climb_out(self, folder: Storage, key: str) -> None:
        with pytest.raises(LocationError):
            folder.read(f"s3://b/{key}")

    def test_a_symlink_out_is_refused_and_one_inside_is_followed(
        self, folder: Storage, outside: Path
    ) -> None:
        (outside / "mounted" / "out.txt").symlink_to(outside / "secret.txt")
        (outside / "mounted" / "again.txt").symlink_to(outside / "mounted" / "in.txt")
        with pytest.raises(LocationError, match="leads out"):
            folder.read("s3://b/out.txt")
        assert folder.read("s3://b/again.txt") == b"in"

    def test_a_symlinked_folder_out_is_refused(self, folder: Storage, outside: Path) -> None:
        (outside / "mounted" / "up").symlink_to(outside)
        with pytest.raises(LocationError, match="leads out"):
            folder.read("s3://b/up/secret.txt")
        with pytest.raises(LocationError, match="symlink to a folder"):
            list(folder.list("s3://b/"))

    def test_a_mount_whose_own_path_is_a_symlink_works(self, outside: Path) -> None:
        (outside / "link").symlink_to(outside / "mounted")
        storage = Storage({"b": FolderBackend(outside / "link", writable=False)}, s3=False)
        assert storage.read("s3://b/in.txt") == b"in"

    def test_a_folder_is_not_an_object(self, folder: Storage, outside: Path) -> None:
        (outside / "mounted" / "sub").mkdir()
        with pytest.raises(FileNotFoundError):
            folder.read("s3://b/sub")
        with pytest.raises(FileNotFoundError):
            folder.read("s3://b/in.txt/below")

    def test_a_pipe_is_not_waited_for(self, folder: Storage, outside: Path) -> None:
        os.mkfifo(outside / "mounted" / "pipe")
        with pytest.raises(FileNotFoundError):
            folder.read("s3://b/pipe")

    def test_symlinks_in_a_circle_are_no_object(self, folder: Storage, outside: Path) -> None:
        (outside / "mounted" / "one").symlink_to(outside / "mounted" / "two")
        (outside / "mounted" / "two").symlink_to(outside / "mounted" / "one")
        with pytest.raises(FileNotFoundError):
            folder.read("s3://b/one")

    def test_read_only_is_read_only(self, folder: Storage) -> None:
        with pytest.raises(PermissionError, match="read-only"):
            folder.write("s3://b/new", b"")

    def test_another_bucket_names_the_remedy(self, folder: Storage) -> None:
        with pytest.raises(LocationError, match=r"no folder is mounted as bucket 'other' .* --root DIR"):
            folder.read("s3://other/x")

    @pytest.mark.parametrize("name", ["a b", "a%20b", "ü", "😀", "a\\b", "line\nbreak", "#?&", "~x", "[y]"])
    def test_whatever_a_file_may_be_called(self, tmp_path: Path, name: str) -> None:
        storage = Storage({"b": FolderBackend(tmp_path, writable=True)}, s3=False)
        storage.write(f"s3://b/{name}", b"x")
        assert storage.read(f"s3://b/{name}") == b"x"
        assert list(storage.list("s3://b/")) == [
            ObjectInfo(name, 1, storage.head(f"s3://b/{name}").etag, None),
        ]

    def test_a_full_disk_leaves_nothing_behind(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        storage = Storage({"b": FolderBackend(tmp_path, writable=True)}, s3=False)

        def no_space(descriptor: int, mode: str) -> object:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("fanwise.durable.open", no_space, raising=False)
        with pytest.raises(StoreFull, match="No space left on device; free some space"):
            storage.write("s3://b/x", b"x")
        assert list(tmp_path.iterdir()) == []
