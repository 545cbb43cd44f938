"""An endpoint that answers every request in one way, as AWS would: what a real one cannot be brought to."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def error_xml(code: str, message: str) -> str:
    """An error in the query protocol, as CloudFormation answers it."""
    return (
        f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
        f"<RequestId>1</RequestId></ErrorResponse>"
    )


def s3_error_xml(code: str, message: str, **more: str) -> str:
    """An error of S3."""
    members = "".join(f"<{key}>{value}</{key}>" for key, value in more.items())
    return f"<Error><Code>{code}</Code><Message>{message}</Message>{members}</Error>"


def stack_xml(name: str, status: str, outputs: Mapping[str, str], **parameters: str) -> str:
    """What DescribeStacks answers of one stack."""
    told = "".join(
        f"<member><OutputKey>{key}</OutputKey><OutputValue>{value}</OutputValue></member>"
        for key, value in outputs.items()
    )
    set_to = "".join(
        f"<member><ParameterKey>{key}</ParameterKey><ParameterValue>{value}</ParameterValue></member>"
        for key, value in parameters.items()
    )
    return (
        f"<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>{name}</StackName>"
        f"<StackStatus>{status}</StackStatus><CreationTime>2026-01-01T00:00:00Z</CreationTime>"
        f"<Outputs>{told}</Outputs><Parameters>{set_to}</Parameters>"
        f"</member></Stacks></DescribeStacksResult></DescribeStacksResponse>"
    )


@contextmanager
def answering(status: int, body: str, headers: Mapping[str, str] | None = None) -> Iterator[str]:
    """The address of such an endpoint, while it is there."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Type", "text/xml")
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    for method in ("GET", "POST", "PUT", "HEAD", "DELETE"):
        setattr(Handler, f"do_{method}", Handler.answer)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
