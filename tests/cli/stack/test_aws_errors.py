"""What cannot be brought about with an endpoint in a moment: waiting, and uploads that were refused."""

import pytest
from boto3.exceptions import S3UploadFailedError
from botocore import exceptions as raised
from botocore.exceptions import BotoCoreError, ClientError

from fanwise.errors import StackError, StackUnreachable
from fanwise_cli.stack.aws_errors import Place, aws_errors_told

PLACE = Place("eu-west-1")


def refusal(code: str, message: str = "", operation: str = "DescribeMapRun", **told: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message, **told}}, operation)


def told(error: Exception, place: Place = PLACE) -> StackError:
    """What is raised in place of an error."""
    with pytest.raises(StackError) as caught, aws_errors_told(place):
        raise error
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("code", ["ThrottlingException", "SlowDown", "503", "RequestLimitExceeded"])
def test_what_passes_is_told_apart(code: str) -> None:
    error = told(refusal(code, "Rate exceeded"))
    assert isinstance(error, StackUnreachable)
    assert "asks to wait (DescribeMapRun: " in str(error)
    assert not isinstance(told(refusal("AccessDenied")), StackUnreachable)


@pytest.mark.parametrize(
    "error",
    [
        raised.EndpointConnectionError(endpoint_url="https://states.eu-west-1.amazonaws.com/"),
        raised.ConnectTimeoutError(endpoint_url="https://x/"),
        raised.ReadTimeoutError(endpoint_url="https://x/"),
        raised.ConnectionClosedError(endpoint_url="https://x/"),
        raised.ProxyConnectionError(proxy_url="http://p/"),
    ],
)
def test_no_answer_passes(error: BotoCoreError) -> None:
    assert isinstance(told(error), StackUnreachable)
    assert "check the network" in str(told(error))
    assert "nothing answers at http://127.0.0.1:1" in str(told(error, Place("r", "http://127.0.0.1:1")))


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (raised.SSLError(endpoint_url="https://x/", error="self-signed"), "AWS_CA_BUNDLE"),
        (raised.UnauthorizedSSOTokenError(), "sign in again"),
        (raised.SSOTokenLoadError(error_msg="no token"), "no token; sign in again"),
        (raised.CredentialRetrievalError(provider="process", error_msg="died"), "died; sign in again"),
        (
            raised.ParamValidationError(report="Invalid length"),
            "AWS in eu-west-1: Parameter validation failed",
        ),
    ],
)
def test_what_boto3_cannot_do(error: BotoCoreError, says: str) -> None:
    assert says in str(told(error))


def test_an_upload_that_was_refused_says_what_s3_said() -> None:
    def upload() -> None:
        try:
            raise refusal("AccessDenied", "no", "PutObject")
        except ClientError as error:
            raise S3UploadFailedError(f"Failed to upload x to y: {error}")  # noqa: B904 - as boto3 does

    says = "the credentials in use may not do PutObject in eu-west-1"
    with pytest.raises(StackError, match=says), aws_errors_told(PLACE):
        upload()


def test_a_bucket_that_is_gone() -> None:
    assert "there is no bucket in-put in eu-west-1" in str(told(refusal("NoSuchBucket", BucketName="in-put")))
