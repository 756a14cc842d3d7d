"""An object store on this machine, over a real connection: moto's S3 behind a server that can also refuse and lag."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

REFUSED = (b"403 Forbidden", b"AccessDenied", b"Access Denied")
BUSY = (b"503 Slow Down", b"SlowDown", b"Please reduce your request rate.")


class Server:
    """S3 at `url`. faults: for each of the next requests that `hits`, status, code and message; delay: seconds."""

    def __init__(self) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.app = DomainDispatcherApplication(create_backend_app)
        self.server = make_server("127.0.0.1", 0, self, threaded=True)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.heal()
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def heal(self) -> None:
        """Serve as one should."""
        self.fault: tuple[bytes, bytes, bytes] | None = None
        self.left = 0
        self.hits: Callable[[str, str], bool] = lambda method, path: True
        self.delay = 0.0
        self.seen: list[tuple[str, str]] = []

    def fail(
        self, fault: tuple[bytes, bytes, bytes], times: int, hits: Callable[[str, str], bool] | None = None
    ) -> None:
        """Answer the next requests, of this method and path, like that."""
        self.fault, self.left = fault, times
        self.hits = hits or self.hits

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        self.seen.append((method, path))
        time.sleep(self.delay)
        if self.fault is not None and self.left > 0 and self.hits(method, path):
            self.left -= 1
            status, code, message = self.fault
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            body = b"<Error><Code>" + code + b"</Code><Message>" + message + b"</Message></Error>"
            start_response(status.decode(), [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
            return [] if method == "HEAD" else [body]
        answer: Iterable[bytes] = self.app(environ, start_response)
        return answer

    def environment(self) -> dict[str, str]:
        """What a process needs to find the server."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def bucket(self, name: str) -> Any:
        """A new bucket, as boto3 shows it."""
        keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
        made = boto3.resource("s3", endpoint_url=self.url, **keys).Bucket(name)
        made.create()
        return made


@contextmanager
def serving() -> Iterator[Server]:
    """A server for as long as the context lasts."""
    server = Server()
    try:
        yield server
    finally:
        server.server.shutdown()
