"""What the interpreter asks of the cloud around it. Local cloud, simulator and tests each bring their own."""

from typing import Protocol

from fanwise_local.states.payloads import JSON


class Services(Protocol):
    """The services a definition integrates with.

    A failure is a `StatesError` with the name that Step Functions would report, such as
    `Lambda.TooManyRequestsException`; it is what Retry and Catch match. Any other exception is a defect of the
    service: it ends the execution with States.Runtime. Values given and returned belong to both sides: neither
    changes them.
    """

    async def call(self, resource: str, arguments: JSON) -> JSON:
        """Calls a Task's resource, such as `arn:aws:states:::lambda:invoke`, and returns its result.

        Cancelled when the state times out or the execution stops.
        """

    async def get_object(self, bucket: str, key: str) -> bytes:
        """Reads the object of an ItemReader."""

    async def put_object(self, bucket: str, key: str, body: bytes) -> None:
        """Writes one file of a ResultWriter."""
