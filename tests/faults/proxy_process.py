"""The fault proxy as a child process, and its commands."""

import http.client
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from processor.localaws.embedded_aws import isolated_environment
from tests.faults.fault_plan import FaultPlan

REPOSITORY = Path(__file__).parents[2]


class ProxyProcess:
    """A context manager around one proxy."""

    def __init__(self, configuration: Mapping[str, Any]) -> None:
        """Takes what `proxy` reads from its command line."""
        self._configuration = configuration
        self._process: subprocess.Popen[str] | None = None
        self.endpoint_url = ""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.proxy", json.dumps(self._configuration)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**isolated_environment(), "PYTHONPATH": str(REPOSITORY)},
            start_new_session=True,
            text=True,
        )
        assert self._process.stdout is not None
        self.endpoint_url = json.loads(self._process.stdout.readline())["endpoint_url"]
        return self

    def __exit__(self, *_: object) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def set_plan(self, plan: FaultPlan) -> None:
        """From now on calls go wrong as this plan has it; its clock starts."""
        self.control({"plan": plan.to_json()})

    def control(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Sends the proxy a command; returns what it has seen so far."""
        connection = http.client.HTTPConnection(urlsplit(self.endpoint_url).netloc, timeout=30)
        try:
            connection.request("POST", "/control", json.dumps(command))
            report: dict[str, Any] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return report
