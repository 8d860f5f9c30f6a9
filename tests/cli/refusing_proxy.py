"""An AWS that refuses some operations: passes all others on to the embedded AWS."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@contextmanager
def refusing_proxy(
    endpoint_url: str,
    *operations: str,
    code: str = "AccessDeniedException",
    status: int = 400,
    queries: tuple[str, ...] = (),
    times: int = 1_000_000,
    xml: str | None = None,
) -> Iterator[str]:
    """The endpoint URL of a server that answers these operations with an error.

    Args:
        endpoint_url: where all else goes.
        operations: as X-Amz-Target has them, such as `DynamoDB_20120810.UpdateItem`.
        code: AWS's error code.
        status: HTTP's.
        queries: actions of the query protocol, such as `GetCallerIdentity`.
        times: how many calls it refuses; it passes on those that come after.
        xml: what the query protocol's actions get in place of an error with that code.
    """
    upstream = urlsplit(endpoint_url)
    assert upstream.hostname is not None
    refusals = threading.Semaphore(times)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.headers.get("X-Amz-Target") in operations and refusals.acquire(blocking=False):
                self._answer(status, json.dumps({"__type": code}).encode(), "application/x-amz-json-1.0")
                return
            if any(f"Action={action}".encode() in body for action in queries):
                error = f"<ErrorResponse><Error><Code>{code}</Code></Error></ErrorResponse>"
                self._answer(status, (error if xml is None else xml).encode(), "text/xml")
                return
            connection = HTTPConnection(upstream.hostname or "", upstream.port, timeout=30)
            try:
                headers = {name: value for name, value in self.headers.items() if name != "Host"}
                connection.request("POST", self.path, body, headers)
                answer = connection.getresponse()
                self._answer(answer.status, answer.read(), answer.getheader("Content-Type", "text/plain"))
            finally:
                connection.close()

        def _answer(self, status: int, body: bytes, content_type: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
