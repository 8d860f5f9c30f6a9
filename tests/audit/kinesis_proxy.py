"""A proxy on loopback before an emulator: it fails PutRecords on demand, before or after the put."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

HOST = "127.0.0.1"
BODY = b'{"__type": "InternalFailureException", "message": "no"}'
DROPPED = {"content-length", "connection", "transfer-encoding", "date", "server"}


class KinesisProxy:
    """What the proxy does with PutRecords now, and how often it failed one."""

    def __init__(self, upstream: str) -> None:
        self.endpoint = ""
        self.fails_before_the_put = False
        self.fails_after_the_put = False
        self.failed = 0
        self._upstream = upstream
        self._lock = threading.Lock()

    def heal(self) -> None:
        """Lets every call through from now on."""
        self.fails_before_the_put = self.fails_after_the_put = False

    def answer(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the answer to one call."""
        is_put = headers.get("X-Amz-Target", "").endswith(".PutRecords")
        if is_put and self.fails_before_the_put:
            return self._fail()
        connection = HTTPConnection(self._upstream, timeout=60)
        try:
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if is_put and self.fails_after_the_put:
            return self._fail()
        kept = {name: value for name, value in answer.getheaders() if name.lower() not in DROPPED}
        return answer.status, kept, content

    def _fail(self) -> tuple[int, dict[str, str], bytes]:
        with self._lock:
            self.failed += 1
        return 500, {"Content-Type": "application/x-amz-json-1.1"}, BODY


@contextmanager
def kinesis_proxy(endpoint_url: str) -> Iterator[KinesisProxy]:
    """A proxy that hands every call on to the endpoint until it is told to fail."""
    proxy = KinesisProxy(urlsplit(endpoint_url).netloc)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, headers, content = proxy.answer(self.path, dict(self.headers), body)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *_: object) -> None:  # noqa: A002  the parent's name for it
            """Says nothing."""

    server = ThreadingHTTPServer((HOST, 0), Handler)
    server.daemon_threads = True
    proxy.endpoint = f"http://{HOST}:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, name="kinesis proxy")
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
