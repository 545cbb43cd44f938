"""moto's services past HTTP: what this process itself reads, writes and sends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from fanwise.errors import StoreUnavailable
from fanwise_local.doors.in_memory import InMemoryServices
from fanwise_local.doors.object_events import Created
from fanwise_local.template import read_stack, stack_root
from local.invoking import run

STACK = read_stack(stack_root())
INPUTS, RESULTS = STACK.buckets["InputBucket"], STACK.buckets["ResultsBucket"]
QUEUE = STACK.outputs["DeadLetterQueueUrl"]


@asynccontextmanager
async def opened(created: list[Created]) -> AsyncIterator[InMemoryServices]:
    services = InMemoryServices(STACK, created.append)
    await services.open()
    try:
        yield services
    finally:
        await services.close()


def test_a_bucket_behaves_as_one_of_s3() -> None:
    created: list[Created] = []

    async def main() -> None:
        async with opened(created) as services:
            await asyncio.to_thread(work, services)

    def work(services: InMemoryServices) -> None:
        storage, uri = services.storage(), f"s3://{INPUTS}/a b/ü.txt"
        assert storage.create(uri, b"first") == b"first"
        assert storage.create(uri, b"second") == b"first"
        info = storage.head(uri)
        storage.write(uri, b"other")
        assert (info.size_bytes, storage.head(uri).version_id != info.version_id) == (5, True)
        assert (storage.read(uri), storage.read(uri, 1, 3, info)) == (b"other", b"ir")
        assert [one.key for one in storage.list(f"s3://{INPUTS}/a b/")] == ["a b/ü.txt"]
        storage.delete(uri)
        assert list(storage.list(f"s3://{INPUTS}/")) == []
        with pytest.raises(FileNotFoundError, match=r"ü\.txt: no such object"):
            storage.read(uri)

    run(main())
    assert [(one.key, one.size_bytes) for one in created] == [("a b/ü.txt", 5)] * 2
    assert created[0].sequencer < created[1].sequencer


def test_what_somebody_has_deleted_is_an_error_of_the_service() -> None:
    async def main() -> None:
        from moto.s3.models import s3_backends
        from moto.sqs.models import sqs_backends

        async with opened([]) as services:
            s3_backends[STACK.account_id]["aws"].delete_bucket(RESULTS)
            with pytest.raises(StoreUnavailable, match=RESULTS):
                await asyncio.to_thread(services.storage().write, f"s3://{RESULTS}/k", b"")
            assert await services.send_message(QUEUE, "hello")
            sqs_backends[STACK.account_id][STACK.region].delete_queue(QUEUE.rpartition("/")[2])
            with pytest.raises(OSError, match="does not exist"):
                await services.send_message(QUEUE, "hello")

    run(main())


def test_each_begins_anew() -> None:
    async def main() -> None:
        async with opened([]) as services:
            await asyncio.to_thread(services.storage().write, f"s3://{INPUTS}/k", b"")
        async with opened([]) as services:
            there = await asyncio.to_thread(lambda: list(services.storage().list(f"s3://{INPUTS}/")))
            assert there == []

    run(main())
