"""Starts an empty moto server, for tests that deploy into it themselves."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.engines.process import HOST, Engine


class MotoServer(Engine):
    """moto on 127.0.0.1, with nothing in it."""

    def command(self, port: int) -> Sequence[str]:
        """moto's own command."""
        return [str(Path(sys.executable).with_name("moto_server")), "-H", HOST, "-p", str(port)]

    def environment(self, port: int, directory: Path) -> Mapping[str, str]:
        """Nothing of the caller's."""
        return {"PATH": os.defpath, "HOME": str(directory)}

    def missing(self) -> None:
        """Nothing: moto is among the packages of the tests."""
