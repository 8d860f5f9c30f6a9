"""A separate, empty moto server for tests that deploy into it."""

import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.waiting import eventually

HOST = "127.0.0.1"


@contextmanager
def moto_server() -> Iterator[str]:
    """Its endpoint URL. It listens on loopback only and is gone when the context ends."""
    port = _free_port()
    command = [str(Path(sys.executable).with_name("moto_server")), "-H", HOST, "-p", str(port)]
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        try:
            eventually(lambda: process.poll() is not None or _listens(port), 60)
            assert process.poll() is None, "moto_server ended before it listened"
            yield f"http://{HOST}:{port}"
        finally:
            process.kill()  # it has nothing to save
            process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
