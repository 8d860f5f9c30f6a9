"""An AWS that falls silent: connections stay, and nothing comes through them any more."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from urllib.parse import urlsplit


@contextmanager
def freezing_proxy(endpoint_url: str) -> Iterator[tuple[str, threading.Event, threading.Event]]:
    """The endpoint URL of a server that passes all on to this endpoint until the first event is set; the
    second one is set when something was held back."""
    upstream = urlsplit(endpoint_url)
    frozen, held, over = threading.Event(), threading.Event(), threading.Event()

    def pass_on(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):  # either side may go at any time
            while data := source.recv(65_536):
                if frozen.is_set():
                    held.set()
                    over.wait()
                    return
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def accept(server: socket.socket, sockets: ExitStack) -> None:
        with suppress(OSError):  # the server is closed in the end
            while True:
                client, _ = server.accept()
                both = client, socket.create_connection((upstream.hostname, upstream.port), timeout=30)
                for source, target in (both, both[::-1]):
                    sockets.enter_context(closing(source))
                    threading.Thread(target=pass_on, args=(source, target), daemon=True).start()

    with ExitStack() as sockets, socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        threading.Thread(target=accept, args=(server, sockets), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}", frozen, held
        finally:
            over.set()
            server.shutdown(socket.SHUT_RDWR)
