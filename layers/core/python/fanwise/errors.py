"""Every error that fanwise raises on purpose.

    FanwiseError
    ├── InputError               what a person gave cannot be worked on: said before any work, exit code 2
    │   ├── ManifestError
    │   ├── ItemsFileError
    │   ├── BundleError          the model bundle, its contract or its digest
    │   ├── JobError             a job that is not there, or is not in a state for what was asked
    │   ├── StackError           a deployed stack that is not there, or may not be used as asked
    │   │   └── StackUnreachable AWS does not answer, or asks to wait: the same again may succeed
    │   └── LocationError        a URI that is malformed, or outside the buckets and mounts of this job
    ├── ItemError                one item's fault: becomes its dead letter, its neighbours are predicted
    │   ├── LineTooLong  NotUtf8  NotJson  NotAnObject  TooDeep  BadRow                  stage read
    │   ├── BadId  BadUri  BadInputs  TooManyKeys                                        stage parse
    │   ├── NotFound  Forbidden  UnreadableObject                                        stage fetch
    │   ├── UndecodableImage  ImageTooLarge                                              stage decode
    │   ├── MissingInput  ShapeMismatch  NotANumber  NotText  NotFinite  OutOfRange      stage shape
    │   ├── PredictionFailed                                                             stage predict
    │   └── NonFiniteResult  NotUtf8Result  ResultShapeMismatch  ResultTooLarge          stage result
    ├── ModelError               the model cannot be loaded, or rejects whatever it is given: stops the job
    ├── ItemsChanged             the items file is not the version that was planned
    ├── StoreFull                the disk that stands for the store is full: stops the job, until there is room
    └── StoreUnavailable         the store asked to wait, or did not answer: worth another attempt

Step Functions sees a handler's exception by its class name, so a name in `Retry` or `Catch` of the definition
that is not AWS's own is a class of this module (a test holds that).
"""

import errno
import json
from typing import ClassVar

from fanwise.redaction import redacted

# What an OSError has as its errno where nothing more can be written: the disk, a quota or a limit is reached.
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def room_wanted(error: OSError) -> str:
    """What to do about an error of `DISK_FULL`."""
    if error.errno == errno.EFBIG:
        return "raise the limit on the size of files (ulimit -f)"
    return "free some space"


def message_of_cause(cause: str) -> str:
    """The message in a Lambda error's cause, which is JSON text; any other cause as it is."""
    try:
        return str(json.loads(cause)["errorMessage"])
    except (ValueError, KeyError, TypeError):
        return cause


class FanwiseError(Exception):
    """The root; never raised itself. Its message goes into logs and events, so secrets are cut out of it."""

    def __init__(self, message: str = "") -> None:
        super().__init__(redacted(message))


class InputError(FanwiseError):
    """What a person gave cannot be worked on. The message names the file, the place and the remedy."""


class ManifestError(InputError):
    """A manifest that is not JSON, has an unknown key, or a value out of its range."""


class ItemsFileError(InputError):
    """An items file or folder that is missing, compressed, of an unknown kind, or without a usable header."""


class BundleError(InputError):
    """A model bundle that is missing, incomplete, changed since it was published, or whose contract is wrong."""


class JobError(InputError):
    """A job that is not there, or cannot be resumed or replayed as it is."""


class StackError(InputError):
    """A deployed stack that is not there, is not one of ours, or may not be used with these credentials."""


class StackUnreachable(StackError):
    """AWS, or what stands for it, does not answer, or asks to wait."""


class LocationError(InputError):
    """A URI that is malformed or points outside what this job may read."""


class ItemError(FanwiseError):
    """One item's fault. The class name is the dead letter's `error`, `stage` says where it arose.

    `lacks` are inputs of the model that the item has no value for, where that is the fault.
    """

    stage: ClassVar[str]
    lacks: tuple[str, ...] = ()


class LineTooLong(ItemError):
    """The line has more bytes than `limits.MAX_LINE_BYTES`."""

    stage = "read"


class NotUtf8(ItemError):
    """The line is not UTF-8."""

    stage = "read"


class NotJson(ItemError):
    """The line is not JSON."""

    stage = "read"


class NotAnObject(ItemError):
    """The line is JSON, but not an object."""

    stage = "read"


class TooDeep(ItemError):
    """The line is nested deeper than `limits.MAX_NESTING`."""

    stage = "read"


class BadRow(ItemError):
    """A CSV row with more fields than the header has columns, or one that strict CSV refuses."""

    stage = "read"


class BadId(ItemError):
    """`id` is neither text nor a whole number."""

    stage = "parse"


class BadUri(ItemError):
    """`uri` is not text, not `s3://` or relative, or leaves the buckets this job may read."""

    stage = "parse"


class BadInputs(ItemError):
    """`inputs` is not an object, or an item has neither `uri` nor `inputs`."""

    stage = "parse"


class TooManyKeys(ItemError):
    """The item, or its `inputs`, has more keys than `limits.MAX_COLUMNS`."""

    stage = "parse"


class NotFound(ItemError):
    """There is no such object."""

    stage = "fetch"


class Forbidden(ItemError):
    """The object may not be read (on S3 also: it does not exist, and the role may not list the bucket)."""

    stage = "fetch"


class UnreadableObject(ItemError):
    """The object could not be read to its end."""

    stage = "fetch"


class UndecodableImage(ItemError):
    """The bytes are not an image that Pillow reads to its end."""

    stage = "decode"


class ImageTooLarge(ItemError):
    """The image has more bytes or pixels than the limit."""

    stage = "decode"


class MissingInput(ItemError):
    """The item has no value for an input of the model."""

    stage = "shape"


class ShapeMismatch(ItemError):
    """The value has not the shape that the signature asks for."""

    stage = "shape"


class NotANumber(ItemError):
    """The value is not a number, or not an array of numbers."""

    stage = "shape"


class NotText(ItemError):
    """The value of a text input is not text."""

    stage = "shape"


class NotFinite(ItemError):
    """The value is NaN or infinite, or becomes so in the input's dtype."""

    stage = "shape"


class OutOfRange(ItemError):
    """The number does not fit the input's dtype."""

    stage = "shape"


class PredictionFailed(ItemError):
    """The model raised on this item, alone in its mini-batch."""

    stage = "predict"


class NonFiniteResult(ItemError):
    """The model answered NaN or infinity."""

    stage = "result"


class NotUtf8Result(ItemError):
    """The model answered a string that is not UTF-8, so JSON cannot hold it."""

    stage = "result"


class ResultShapeMismatch(ItemError):
    """The model's output for this item is not one row, or not the scores that `keep` and labels speak of."""

    stage = "result"


class ResultTooLarge(ItemError):
    """The model answered with more values than `limits.MAX_RESULT_VALUES`, or more text than a line may have."""

    stage = "result"


class ModelError(FanwiseError):
    """The model cannot be loaded, or rejects whatever it is given. Stops the job."""


class ItemsChanged(FanwiseError):
    """The items file is no longer the version that was planned."""


class StoreFull(FanwiseError):
    """The disk that stands for the store is full (S3 never is). Stops the job; a resume goes on."""


class StoreUnavailable(FanwiseError):
    """The store asked to wait, or did not answer. Worth another attempt."""
