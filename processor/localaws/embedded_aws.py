"""Starts and stops the embedded AWS as a separate process, which shares no interpreter with its users."""

import json
import os
import select
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Self

from handlers.export import DEFAULT_TTL_SECONDS
from processor.localaws.clients import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, emulator_client

START_LIMIT_SECONDS = 180.0

CALLERS_VARIABLES = (
    "AWS_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_ENDPOINT_URL_SQS",
    "AWS_ENDPOINT_URL_DYNAMODB",
    "AWS_ENDPOINT_URL_DYNAMODB_STREAMS",
    "AWS_ENDPOINT_URL_KINESIS",
)
"""Variables of the caller that would lead a client away from the embedded AWS."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """Names and addresses of the deployed resources."""

    table: str
    leases_table: str
    queue_url: str
    dlq_url: str
    audit_stream: str


class EmbeddedAwsError(Exception):
    """The embedded AWS did not start; the message is one line with the reason."""


class EmbeddedAws:
    """moto's server on 127.0.0.1 with `infra/data.yaml` deployed and a TTL that deletes within seconds.

    A context manager; `start` and `stop` do the same by hand. Any number of processes may use it.

    Args:
        port: the port on 127.0.0.1; 0 selects a free one.
        ttl_seconds: the TTL in `environment`.
        reap_seconds: the pause between two rounds of TTL.
    """

    def __init__(
        self, *, port: int = 0, ttl_seconds: int = DEFAULT_TTL_SECONDS, reap_seconds: float = 0.5
    ) -> None:
        self._port = port
        self._ttl_seconds = ttl_seconds
        self._reap_seconds = reap_seconds
        self._process: subprocess.Popen[str] | None = None
        self.endpoint_url: str
        """Where it listens, for example `http://127.0.0.1:40123`; from `start` on, as is `deployment`."""
        self.deployment: Deployment
        self._clients: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Starts the server; returns when every resource exists.

        Raises:
            EmbeddedAwsError: if the extra `demo` is missing, the port is in use, or the start fails.
        """
        if find_spec("moto") is None or find_spec("flask") is None:
            raise EmbeddedAwsError(
                "the embedded AWS needs the extra `demo`: pip install 'export-status[demo]'"
            )
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", "processor.localaws.server", str(self._port), str(self._reap_seconds)],
            stdin=subprocess.PIPE,  # the server stops at its end, also when this process is killed
            stdout=subprocess.PIPE,
            env=isolated_environment(),
            start_new_session=True,  # Ctrl-C reaches only this process, which stops the server last
            text=True,
        )
        try:
            answer = self._read_answer(self._process)
        except BaseException:
            self.stop()
            raise
        self.endpoint_url = answer.pop("endpoint_url")
        self._clients.clear()
        self.deployment = Deployment(**answer)

    def stop(self) -> None:
        """Ends the server. May be called twice, and before `start`."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()  # it has no state to save
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()

    def wait(self) -> None:
        """Blocks until the server ends by itself, which is an error.

        Raises:
            EmbeddedAwsError: when it has ended.
        """
        if self._process is not None:
            self._process.wait()
        raise EmbeddedAwsError("the embedded AWS has ended unexpectedly")

    def end_together(self, pid: int) -> None:
        """Makes the server end another process too, if this process is killed before it can."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(f"{pid}\n")
            self._process.stdin.flush()

    def client(self, service: str) -> Any:
        """The boto3 client of one service of this AWS, for example of `sqs`."""
        if service not in self._clients:
            self._clients[service] = emulator_client(service, self.endpoint_url)
        return self._clients[service]

    def environment(self) -> dict[str, str]:
        """The settings that lead a service, or any AWS SDK, to this AWS (docs/contract.md, section 5)."""
        deployment = self.deployment
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
            "DYNAMODB_EXPORT_STATUS_TABLE": deployment.table,
            "DYNAMODB_EXPORT_LEASES_TABLE": deployment.leases_table,
            "SQS_EXPORT_EVENTS_QUEUE_URL": deployment.queue_url,
            "SQS_EXPORT_EVENTS_DLQ_URL": deployment.dlq_url,
            "KINESIS_EXPORT_AUDIT_STREAM": deployment.audit_stream,
            "EXPORT_STATUS_TTL_SECONDS": str(self._ttl_seconds),
            "EXPORT_WRITE_MODE": "single",  # moto's PartiQL ignores conditions
        }

    def service_environment(self) -> dict[str, str]:
        """The whole environment for a child process: this AWS, and none of the caller's AWS settings."""
        return isolated_environment() | self.environment()

    def _read_answer(self, process: "subprocess.Popen[str]") -> dict[str, str]:
        assert process.stdout is not None  # noqa: S101 - stdout is a pipe
        came, _, _ = select.select([process.stdout], [], [], START_LIMIT_SECONDS)
        line = process.stdout.readline() if came else ""
        if not line:
            raise EmbeddedAwsError("the embedded AWS ended before it was ready; see the lines above")
        answer: dict[str, str] = json.loads(line)
        if "error" in answer:
            raise EmbeddedAwsError(answer["error"])
        return answer


def isolated_environment() -> dict[str, str]:
    """An environment without the caller's AWS settings: no profile, no configuration file, no metadata."""
    return {
        "PATH": os.defpath,
        "PYTHONUTF8": "1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
