"""The model that a job names: its published bundle, by digest, and what it says of the outputs."""

import hashlib
from dataclasses import dataclass, field

from fanwise.errors import BundleError, ItemsChanged, LocationError
from fanwise.model.bundle import CONTRACT_FILE, DIGEST_FILE, Digest, read_digest
from fanwise.model.contract import Contract, read_contract
from fanwise.model.signature import Signature
from fanwise.records import Job
from fanwise.storage import Storage

_UNREADABLE = (FileNotFoundError, PermissionError, LocationError)


@dataclass(frozen=True)
class PublishedModel:
    """What lies where the job's model was published. `contract` is None where it is not to be trusted."""

    contract: Contract | None = None
    signature: Signature | None = None
    troubles: list[str] = field(default_factory=list)
    unread: str | None = None  # why nothing could be compared


def read_model(storage: Storage, job: Job) -> PublishedModel:
    """Read the bundle, its files too, and hold it against the job's digest."""
    ref = job.model
    where = f"{ref.uri}/{DIGEST_FILE}"
    try:
        digest = read_digest(storage.read(where), where)
    except _UNREADABLE as error:
        return PublishedModel(unread=f"the model: {where} cannot be read ({error})")
    except BundleError as error:
        return PublishedModel(troubles=[str(error)])
    if digest.digest != ref.digest:
        return PublishedModel(
            troubles=[f"job.json says model {ref.digest}, and {where} says {digest.digest}"]
        )
    troubles = [wrong for name in digest.files if (wrong := _other_file(storage, ref.uri, name, digest))]
    troubles += _other_kinds(storage, job, digest) if not troubles else []
    if troubles:
        return PublishedModel(troubles=troubles)
    return PublishedModel(_contract(storage, ref.uri, digest), digest.signature)


def _other_file(storage: Storage, uri: str, name: str, digest: Digest) -> str | None:
    sha256, size_bytes = hashlib.sha256(), 0
    try:
        for chunk in storage.stream(f"{uri}/{name}", storage.head(f"{uri}/{name}")):
            sha256.update(chunk)
            size_bytes += len(chunk)
    except (*_UNREADABLE, ItemsChanged) as error:
        return f"{uri}/{name}, a file of the model, cannot be read: {error}"
    file = digest.files[name]
    if (size_bytes, sha256.hexdigest()) != (file.size_bytes, file.sha256):
        return f"{uri}/{name} is not the file of the model that was published, by {DIGEST_FILE}"
    return None


def _contract(storage: Storage, uri: str, digest: Digest) -> Contract:
    where = f"{uri}/{CONTRACT_FILE}"
    return read_contract(storage.read(where), where) if CONTRACT_FILE in digest.files else Contract()


def _other_kinds(storage: Storage, job: Job, digest: Digest) -> list[str]:
    """The kinds of inputs and the runtime that the plan took from the bundle."""
    try:
        kinds = _contract(storage, job.model.uri, digest).kinds(digest.signature.inputs)
    except BundleError as error:
        return [str(error)]
    if kinds != job.model.kinds:
        return [f"job.json says inputs {job.model.kinds}, and the model has {kinds}"]
    if job.model.runtime not in digest.runtimes:
        return [f"job.json says runtime {job.model.runtime!r}; the model is for {', '.join(digest.runtimes)}"]
    return []
