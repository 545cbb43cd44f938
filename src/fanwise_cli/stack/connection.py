"""A deployed stack, found by its name: what CloudFormation says of it, and the ways to its services.

Where `fanwise up` stands for AWS, `--endpoint-url` or AWS_ENDPOINT_URL name it, as for every AWS tool; nothing
else is different.
"""

import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import fanwise
from fanwise.errors import StackError, StoreUnavailable
from fanwise.items.readable import Readable, prefixes_of
from fanwise.planning.job_limits import BYTES_PARAMETER, ITEMS_PARAMETER, NO_LIMITS, JobLimits
from fanwise.reckoning.batching import DEFAULT_SIZE, FunctionSize
from fanwise.records import Runtime
from fanwise.storage import Location, Storage
from fanwise_cli.settings import stack_name
from fanwise_cli.stack.aws_errors import Place, aws_errors_told, in_other_region
from fanwise_cli.up_secret import LOOPBACK, secret_of

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Store

_OUTPUTS = ("InputBucket", "ModelBucket", "ResultsBucket", "StateMachineArn")
_FUNCTIONS: Mapping[Runtime, str] = {
    "litert": "PredictBatchLiteRTFunctionName",
    "tensorflow": "PredictBatchTensorFlowFunctionName",
}
_LOCAL_REGION = "us-east-1"  # of what runs on this machine, where nobody says another

# A person's line may be slow and a laptop sleeps: wait longer than a Lambda would, and try more often (obstore's
# own default: ten times in three minutes).
_CLIENT: "ClientConfig" = {"connect_timeout": timedelta(seconds=10), "timeout": timedelta(seconds=120)}

# Shorter than the ten minutes before their end at which botocore renews credentials, come what may.
_CREDENTIALS_KEPT = timedelta(minutes=5)


@dataclass(frozen=True)
class StackOptions:
    """The words of the command line that say which stack; None where nothing was said."""

    stack: str | None = None
    region: str | None = None
    profile: str | None = None
    endpoint_url: str | None = None

    def again(self) -> str:
        """The same words once more, for a command that a person is to give next; with a space before."""
        return self._words(self.stack)

    def again_on_stack(self, name: str) -> str:
        """The same, for a command that works on this machine unless a stack is named."""
        return self._words(name)

    def _words(self, stack: str | None) -> str:
        flags = {
            "--stack": stack,
            "--region": self.region,
            "--profile": self.profile,
            "--endpoint-url": self.endpoint_url,
        }
        return "".join(f" {flag} {shlex.quote(value)}" for flag, value in flags.items() if value)


@dataclass(frozen=True)
class DeployedStack:
    """A stack that can be worked with. `readable` is what items and manifests may be, `size` PredictBatch's.

    `predict_batch` are its functions, by runtime, `limits` how large a job may be.
    """

    name: str
    place: Place
    input_bucket: str
    model_bucket: str
    results_bucket: str
    state_machine_arn: str
    readable: Readable
    options: StackOptions
    session: Any  # a boto3.Session
    size: FunctionSize = DEFAULT_SIZE
    predict_batch: Mapping[Runtime, str] = field(default_factory=dict)
    limits: JobLimits = NO_LIMITS

    @cached_property
    def s3(self) -> Any:
        """boto3's client of S3: for uploads."""
        return _client(self.session, "s3", self.options)

    @cached_property
    def step_functions(self) -> Any:
        """boto3's client of Step Functions."""
        return _client(self.session, "stepfunctions", self.options)

    @cached_property
    def functions(self) -> Any:
        """boto3's client of Lambda, which waits for an invocation as long as one may take."""
        return _client(self.session, "lambda", self.options, answers_within_s=self.size.timeout_s + 60)

    @cached_property
    def storage(self) -> Storage:
        """The stack's buckets, as the handlers see them, with the credentials of this session."""
        return Storage({}, s3=True, open_bucket=self._open_bucket)

    def _open_bucket(self, bucket: str) -> "S3Store":
        from obstore.auth.boto3 import Boto3CredentialProvider  # noqa: PLC0415 - imports boto3
        from obstore.store import S3Store  # noqa: PLC0415 - goes with it

        endpoint: str = self.s3.meta.endpoint_url  # as boto3 found it: the two never look in different places
        client = _CLIENT | ({"allow_http": True} if endpoint.startswith("http:") else {})
        return S3Store(
            bucket,
            region=self.place.region,
            endpoint=endpoint,
            virtual_hosted_style_request=False,
            credential_provider=Boto3CredentialProvider(self.session, ttl=_CREDENTIALS_KEPT),
            client_options=client,
        )

    @property
    def is_on_aws(self) -> bool:
        """Whether AWS itself answers, and its console shows it."""
        host = urlsplit(self.step_functions.meta.endpoint_url).hostname or ""
        return host.endswith((".amazonaws.com", ".amazonaws.com.cn", ".api.aws"))

    def execution_arn(self, name: str) -> str:
        """The ARN of an execution of the stack's state machine."""
        return f"{self.state_machine_arn.replace(':stateMachine:', ':execution:')}:{name}"

    def console_url(self, execution_arn: str) -> str | None:
        """Where AWS's console shows an execution; None on this machine."""
        if not self.is_on_aws or not self.state_machine_arn.startswith("arn:aws:"):
            return None
        region = self.place.region
        return (
            f"https://{region}.console.aws.amazon.com/states/home?region={region}"
            f"#/v2/executions/details/{execution_arn}"
        )


def connect(options: StackOptions) -> DeployedStack:
    """Find the stack. Raises `StackError`, which says what is wrong with credentials, Region, endpoint or name."""
    name = stack_name(options.stack)
    with aws_errors_told(Place(options.region or "this Region", _endpoint(options), options.profile)):
        session = _session(options)
        client = _client(session, "cloudformation", options)
        place = Place(client.meta.region_name, _endpoint(options), options.profile)
    with aws_errors_told(place):
        described = _describe(client, name, place)
    outputs = {one["OutputKey"]: one["OutputValue"] for one in described.get("Outputs", ())}
    _check(name, described["StackStatus"], outputs, place)
    parameters = {
        one["ParameterKey"]: one.get("ParameterValue", "") for one in described.get("Parameters", ())
    }
    further = [arn.strip() for arn in parameters.get("FurtherItems", "").split(",") if arn.strip()]
    return DeployedStack(
        name=name,
        place=place,
        input_bucket=outputs["InputBucket"],
        model_bucket=outputs["ModelBucket"],
        results_bucket=outputs["ResultsBucket"],
        state_machine_arn=outputs["StateMachineArn"],
        readable=prefixes_of([f"arn:aws:s3:::{outputs['InputBucket']}/*", *further]),
        options=options,
        session=session,
        size=_size(parameters),
        predict_batch={runtime: outputs[key] for runtime, key in _FUNCTIONS.items() if outputs.get(key)},
        limits=JobLimits(*(int(parameters.get(name) or 0) for name in (ITEMS_PARAMETER, BYTES_PARAMETER))),
    )


def _size(parameters: Mapping[str, str]) -> FunctionSize:
    """PredictBatch's size, as the stack was deployed."""
    return FunctionSize(
        int(parameters.get("PredictBatchMemoryMb") or DEFAULT_SIZE.memory_mb),
        float(parameters.get("PredictBatchTimeoutS") or DEFAULT_SIZE.timeout_s),
    )


@contextmanager
def at_work(stack: DeployedStack) -> Iterator[None]:
    """Raise `StackError` for whatever AWS says no to while a stack is worked with."""
    with aws_errors_told(stack.place):
        try:
            yield
        except StoreUnavailable as error:
            _refuse_other_region(stack, str(error))
            raise
        except PermissionError as error:
            if error.errno is not None:  # a file of this machine
                raise
            raise StackError(
                f"{error}: {stack.place.credentials} may not do that; have it allowed, or choose others with"
                f" --profile or AWS_PROFILE"
            ) from error


def _refuse_other_region(stack: DeployedStack, message: str) -> None:
    """Raises `StackError` where the bucket that a message names is in another Region, which S3 does not say."""
    from botocore.exceptions import ClientError  # noqa: PLC0415 - only where AWS is talked to

    uri = message.partition(": ")[0]
    if not uri.startswith("s3://"):
        return
    try:
        answer = stack.s3.head_bucket(Bucket=Location.parse(uri).bucket)
    except ClientError as error:
        answer = error.response
    region = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("x-amz-bucket-region")
    if region and region != stack.place.region:
        raise StackError(in_other_region(f"{uri}: the bucket", region, stack.place))


def _describe(client: Any, name: str, place: Place) -> dict[str, Any]:
    from botocore.exceptions import ClientError  # noqa: PLC0415 - only where AWS is talked to

    try:
        (described,) = client.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationError":
            raise
        raise StackError(
            f"there is no stack {name!r} in {place}; deploy it, or name another with --stack and --region: `aws"
            f" cloudformation describe-stacks --query Stacks[].StackName --region {place.region}` lists them"
        ) from error
    found: dict[str, Any] = described
    return found


def _check(name: str, status: str, outputs: Mapping[str, str], place: Place) -> None:
    """Raises `StackError` for a stack that cannot be used, or is another's."""
    absent = [key for key in _OUTPUTS if key not in outputs]
    if status.startswith("DELETE"):
        raise StackError(f"stack {name!r} in {place} is {status}; deploy it again, or name another (--stack)")
    if not absent:
        return
    if status.endswith("_IN_PROGRESS"):
        raise StackError(
            f"stack {name!r} in {place} is still {status}; wait until it is there, and try again"
        )
    if status.endswith("FAILED") or status.startswith("ROLLBACK"):
        raise StackError(
            f"stack {name!r} in {place} is {status}; its events say why (aws cloudformation describe-stack-events"
            f" --stack-name {name} --region {place.region}); deploy it again"
        )
    raise StackError(
        f"stack {name!r} in {place} is not a stack of fanwise: it has no output {absent[0]}; name another with"
        f" --stack, or update it to the current template"
    )


def _endpoint(options: StackOptions) -> str | None:
    return options.endpoint_url or os.environ.get("AWS_ENDPOINT_URL") or None


def _is_on_this_machine(options: StackOptions) -> bool:
    return urlsplit(_endpoint(options) or "").hostname in LOOPBACK


def _session(options: StackOptions) -> Any:
    """A session, with the secret of a `fanwise up` that runs on this machine, unless a profile is named.

    Of what else runs here any credentials and Region will do. AWS_REGION counts as it does for the AWS CLI's
    second version; boto3 knows AWS_DEFAULT_REGION alone.
    """
    import boto3  # noqa: PLC0415 - takes 0.3 s

    secret = secret_of(_endpoint(options)) if options.profile is None else None
    if secret is not None:
        return boto3.Session(
            aws_access_key_id=secret.access_key_id,
            aws_secret_access_key=secret.secret_access_key,
            region_name=options.region or secret.region,
        )
    region = options.region or os.environ.get("AWS_REGION") or None
    session = boto3.Session(profile_name=options.profile, region_name=region)
    if not _is_on_this_machine(options):
        return session
    if session.region_name is None:
        session = boto3.Session(profile_name=options.profile, region_name=_LOCAL_REGION)
    if session.get_credentials() is None:
        session = boto3.Session(
            aws_access_key_id="local",
            aws_secret_access_key="local",  # noqa: S106 - of whoever does not look at it
            region_name=session.region_name,
        )
    return session


def _client(session: Any, service: str, options: StackOptions, answers_within_s: float = 60) -> Any:
    from botocore.config import Config  # noqa: PLC0415 - only where AWS is talked to
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - as above

    config = Config(
        retries={"mode": "standard", "total_max_attempts": 5},
        connect_timeout=10,
        read_timeout=answers_within_s,
        user_agent_extra=f"fanwise/{fanwise.__version__}",
        # Buckets of this machine have no host names of their own.
        s3={"addressing_style": "path"} if _is_on_this_machine(options) else None,
    )
    try:
        return session.client(service, endpoint_url=options.endpoint_url, config=config)
    except BotoCoreError:
        raise
    except ValueError as error:  # of an endpoint that is none
        raise StackError(f"{error}; write it like http://127.0.0.1:4566 (--endpoint-url)") from error
