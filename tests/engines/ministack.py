"""Starts ministack: SQS that stays fast with long queues, CloudFormation, and IAM that refuses."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.engines.process import HOST, Engine

HOME = Path(__file__).parents[2] / ".cache" / "ministack"
PYTHON = HOME / "bin" / "python"
LAUNCHER = Path(__file__).with_name("run_ministack.py")
ROOT_KEY = "test"
"""As access key id it may do everything, also with `auth=True`; any secret goes with it otherwise."""


class Ministack(Engine):
    """ministack on 127.0.0.1, with its servers for other protocols off.

    With `auth=True` it checks signatures and policies. With a certificate it speaks HTTPS; clients then
    need `AWS_CA_BUNDLE` (or `verify=`) to name it.
    """

    def __init__(
        self, *, auth: bool = False, certificate: Path | None = None, key: Path | None = None
    ) -> None:
        super().__init__()
        self._auth = auth
        self._certificate = certificate
        self._key = key
        self.scheme = "https" if certificate is not None else "http"

    def command(self, port: int) -> Sequence[str]:
        """Its own virtual environment's interpreter, since it pins botocore."""
        return [str(PYTHON), "-P", str(LAUNCHER)]  # -P: this folder has a module `ministack` too

    def environment(self, port: int, directory: Path) -> Mapping[str, str]:
        """All of ministack's settings are variables."""
        settings = {
            "PATH": os.defpath,
            "HOME": str(directory),
            "TMPDIR": str(directory),
            "BIND_HOST": HOST,
            "GATEWAY_PORT": str(port),
            "MINISTACK_HOST": HOST,
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "LOG_LEVEL": "WARNING",
            "AUTH": "true" if self._auth else "false",
        }
        if self._certificate is not None:
            settings |= {
                "USE_SSL": "1",
                "MINISTACK_SSL_CERT": str(self._certificate),
                "MINISTACK_SSL_KEY": str(self._key),
            }
        return settings

    def missing(self) -> str | None:
        """ministack's virtual environment."""
        if PYTHON.exists() and any(HOME.glob("lib/python*/site-packages/ministack")):
            return None
        return "ministack is not installed: run `make ministack`"
