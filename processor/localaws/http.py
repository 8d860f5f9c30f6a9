"""Serves a WSGI application over HTTP/1.1 with connections that stay open.

werkzeug's handler closes each connection, so that every AWS call would need a new one and a new thread.
"""

import io
import socket
import sys
from collections.abc import Callable, Iterable
from typing import Any

from werkzeug.exceptions import InternalServerError
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

LOOPBACK = "127.0.0.1"
BACKLOG = 128

Application = Callable[..., Iterable[bytes]]
Environ = dict[str, Any]


class KeepAliveHandler(WSGIRequestHandler):
    """One connection: reads a request whole, and writes its answer in one piece."""

    disable_nagle_algorithm = True
    wbufsize = 64 * 1024  # headers and body leave together; http.server flushes after each request

    def run_wsgi(self) -> None:
        """Answers one request; closes the connection without a message when the client has gone."""
        environ = self.make_environ()
        environ["wsgi.input"] = io.BytesIO(self._read_body(environ))
        try:
            status, headers, body = _call(self.server.app, environ)
        except ConnectionError:
            self.close_connection = True
            return
        except Exception as failure:  # noqa: BLE001 - one failed request must not end the server
            operation = environ.get("HTTP_X_AMZ_TARGET") or environ["PATH_INFO"]
            sys.stderr.write(f"embedded AWS: {operation} failed: {type(failure).__name__}\n")
            status, headers, body = _call(InternalServerError(), environ)
        code, _, reason = status.partition(" ")
        self.send_response(int(code), reason)
        for name, value in headers:
            if name.lower() != "content-length":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Writes no access log."""

    def _read_body(self, environ: Environ) -> bytes:
        if environ.get("wsgi.input_terminated"):  # chunked: werkzeug's reader finds the end
            return bytes(environ["wsgi.input"].read())
        return bytes(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))


def http_server(application: Application, port: int) -> BaseWSGIServer:
    """A server for the application on loopback, bound but not yet serving. Port 0 selects a free one.

    Raises:
        OSError: if the port is in use.
    """
    # Bound here, because werkzeug prints its own lines and exits if the port is in use.
    with socket.create_server((LOOPBACK, port), backlog=BACKLOG) as bound:
        return make_server(
            LOOPBACK, port, application, threaded=True, request_handler=KeepAliveHandler, fd=bound.fileno()
        )


def _call(application: Application, environ: Environ) -> tuple[str, list[tuple[str, str]], bytes]:
    started: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], _exc_info: object = None) -> None:
        started[:] = [status, headers]

    chunks = application(environ, start_response)
    try:
        body = b"".join(chunks)
    finally:
        close: Callable[[], None] | None = getattr(chunks, "close", None)
        if close is not None:
            close()
    return started[0], started[1], body
