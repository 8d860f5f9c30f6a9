"""Emulators as processes of their own, on 127.0.0.1 and a free port, gone when the test is."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.infra.tool_venvs import commands_of
from tests.waiting import eventually

ROOT_KEY = "test"  # ministack: this key is the account's root, any secret will do
CERTIFICATE_SECONDS = 30


@contextmanager
def moto() -> Iterator[str]:
    """An empty moto server; its endpoint URL."""
    port = _free_port()
    with _process([Path(sys.executable).with_name("moto_server"), "-H", "127.0.0.1", "-p", str(port)], port):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def ministack(*, auth: bool) -> Iterator[tuple[str, Path | None]]:
    """An empty ministack; its endpoint URL, and with `auth` the certificate that clients must trust.

    With `auth` it evaluates IAM and queue policies. It then speaks HTTPS, since our queues refuse plain HTTP.
    """
    port = _free_port()
    settings = {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "AUTH": str(auth).lower(),
    }
    with tempfile.TemporaryDirectory() as folder:
        certificate = Path(folder, "certificate.pem") if auth else None
        if certificate is not None:
            key = _self_signed(certificate)
            settings |= {
                "USE_SSL": "1",
                "MINISTACK_SSL_CERT": str(certificate),
                "MINISTACK_SSL_KEY": str(key),
            }
        with _process([commands_of("ministack") / "ministack"], port, settings, folder):
            yield f"{'https' if auth else 'http'}://localhost:{port}", certificate


@contextmanager
def _process(
    command: list[Path | str], port: int, settings: Mapping[str, str] | None = None, folder: str | None = None
) -> Iterator[None]:
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command,
            env={**os.environ, **(settings or {})},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            eventually(lambda: process.poll() is not None or _listens(port), 60)
            if process.poll() is not None:
                output.seek(0)
                raise RuntimeError(f"{command[0]} ended: {output.read().decode(errors='replace')[-2000:]}")
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _self_signed(certificate: Path) -> Path:
    key = certificate.with_name("key.pem")
    files = ["-keyout", str(key), "-out", str(certificate)]
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *files, *subject],
        check=True,
        capture_output=True,
        timeout=CERTIFICATE_SECONDS,
    )
    return key
