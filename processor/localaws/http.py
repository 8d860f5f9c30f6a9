"""Serves a WSGI application over HTTP/1.1 with connections that stay open.

werkzeug's handler closes each connection, so that every AWS call would need a new one and a new thread.
"""

import io
import socket
import sys
from collections.abc import Callable
from typing import Any

from werkzeug.exceptions import InternalServerError
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.test import run_wsgi_app

LOOPBACK = "127.0.0.1"
BACKLOG = 128

Application = Callable[..., Any]
"""PEP 3333. Its answer can be closed."""

Environ = dict[str, Any]


class KeepAliveHandler(WSGIRequestHandler):
    """One connection: reads a request whole, and writes its answer in one piece."""

    disable_nagle_algorithm = True
    wbufsize = 64 * 1024  # headers and body leave together; http.server flushes after each request

    def run_wsgi(self) -> None:
        """Answers one request; closes the connection without a message when the client has gone."""
        environ = self.make_environ()
        # A chunked body has no length; werkzeug's reader finds its end.
        size = -1 if environ.get("wsgi.input_terminated") else int(environ.get("CONTENT_LENGTH") or 0)
        environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(size))
        try:
            chunks, status, headers = run_wsgi_app(self.server.app, environ, buffered=True)
        except ConnectionError:
            self.close_connection = True
            return
        except Exception as failure:  # noqa: BLE001 - one failed request must not end the server
            operation = environ.get("HTTP_X_AMZ_TARGET") or environ["PATH_INFO"]
            sys.stderr.write(f"embedded AWS: {operation} failed: {type(failure).__name__}\n")
            chunks, status, headers = run_wsgi_app(InternalServerError(), environ, buffered=True)
        body = b"".join(chunks)
        headers["Content-Length"] = str(len(body))
        code, _, reason = status.partition(" ")
        self.send_response(int(code), reason)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Writes no access log."""


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
