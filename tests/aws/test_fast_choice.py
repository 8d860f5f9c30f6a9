"""EXPORT_FAST_CALLS: the shorter way is proved before it is trusted; else boto3's own is used."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from processor.aws.clients import Aws
from processor.aws.fast_choice import FastChoice, proofs
from processor.backoff import BackOff
from processor.observability.health import Health, check
from processor.observability.metrics import Metrics
from processor.settings import AwsSettings, Settings
from tests.aws.hostile_server import CLOSE, HostileServer, hostile_server
from tests.aws.test_http_connections import answer, refusal

NOTHING = (answer("200 OK", b"{}"),)
FOUND = (answer("200 OK", b'{"Item":{"requestId":{"S":"r"}}}'),)
THROTTLED = (refusal("400 Bad Request", "ThrottlingException"),)
DENIED = (refusal("400 Bad Request", "AccessDeniedException"),)
BUSY = (answer("503 Service Unavailable", b""),)
SENT_BY_BOTO3 = b"amz-sdk-invocation-id"  # the shorter way has no such header


@pytest.fixture
def server() -> Iterator[HostileServer]:
    with hostile_server() as server:
        server.script = NOTHING
        yield server


class Choosing:
    """A choice with its clients, and what it shows."""

    def __init__(self, server: HostileServer, folder: Path, mode: str = "auto") -> None:
        self._health_file = folder / "health"
        self.metrics, self.health = Metrics(), Health(self._health_file, warn=print)
        settings = Settings(DYNAMODB_EXPORT_STATUS_TABLE="t")
        back_off = BackOff(1.0, jitter=lambda seconds: seconds)
        self.choice = FastChoice(mode, proofs(settings), self.metrics, self.health, back_off)
        url = f"http://127.0.0.1:{server.port}"
        aws_settings = AwsSettings(
            region="us-east-1", endpoint_url=url, access_key_id="a", secret_access_key="b"
        )
        aws = Aws(aws_settings, fast_calls=self.choice)
        self.clients: list[Any] = [aws.dynamodb(), aws.leases()]
        self._server = server

    def ways(self) -> list[str]:
        """The way that a call of each client takes now."""
        ways = []
        for client in self.clients:
            self._server.requests.clear()
            client.get_item(TableName="t", Key={"requestId": {"S": "r"}})
            ways.append("boto3" if SENT_BY_BOTO3 in self._server.requests[0] else "short")
        return ways

    def shown(self) -> tuple[int, tuple[str, ...]]:
        """The metric, and what healthcheck shows as degraded."""
        self.health.write()
        self.metrics.flush(datetime.now(UTC))
        line = json.loads(self.metrics.flush(datetime.now(UTC)))
        return line["FastCalls"], check(self._health_file).degraded


@pytest.fixture
def choosing(server: HostileServer, tmp_path: Path) -> Choosing:
    return Choosing(server, tmp_path)


def test_each_client_takes_the_shorter_way_once_both_answer_alike(choosing: Choosing) -> None:
    assert choosing.ways() == ["boto3", "boto3"]
    assert choosing.choice.step() is not None, "clients may still come"
    assert choosing.ways() == ["short", "short"]
    assert choosing.shown() == (2, ())


def test_refused_both_ways_is_alike(choosing: Choosing, server: HostileServer) -> None:
    server.script = DENIED
    choosing.choice.step()
    server.script = NOTHING
    assert choosing.ways() == ["short", "short"]


@pytest.mark.parametrize("second", [FOUND, DENIED])
def test_after_one_difference_every_client_takes_boto3_s_own_way(
    second: tuple[bytes], choosing: Choosing, server: HostileServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.first = [NOTHING, NOTHING, NOTHING, second]  # the first client is alike, the second is not
    assert choosing.choice.step() is None, "it is not asked again"
    assert choosing.ways() == ["boto3", "boto3"]
    problem = "leases: both ways answer get_item differently"
    assert choosing.shown() == (0, (f"fast calls: off: {problem}",))
    assert problem in capsys.readouterr().out


@pytest.mark.parametrize("silence", [THROTTLED, BUSY, (CLOSE,)])
@pytest.mark.parametrize("way", [0, 1], ids=["boto3", "short"])
def test_a_proof_without_an_answer_is_repeated_later(
    way: int, silence: tuple[Any, ...], choosing: Choosing, server: HostileServer
) -> None:
    for pause in (1.0, 2.0):
        server.first = [*[NOTHING] * way, silence]
        assert choosing.choice.step() == pause
        assert choosing.ways() == ["boto3", "short"], "the second client is answered"
    assert choosing.shown() == (1, ("fast calls: off: AWS does not answer the proof",))
    choosing.choice.step()
    assert choosing.ways() == ["short", "short"]
    assert choosing.shown() == (2, ())


@pytest.mark.parametrize(
    "asked",
    [
        ("HTTP_PROXY", "http://127.0.0.1:9", "a proxy is configured"),
        ("AWS_CA_BUNDLE", "/no/such/file", "the CA bundle cannot be read"),
        ("AWS_AUTH_SCHEME_PREFERENCE", "sigv4a", "another signature than SigV4 is configured"),
    ],
)
@pytest.mark.parametrize("mode", ["auto", "on"])
def test_what_the_environment_asks_for_and_the_shorter_way_lacks_is_boto3_s(
    mode: str,
    asked: tuple[str, str, str],
    server: HostileServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    variable, value, problem = asked
    monkeypatch.setenv(variable, value)
    choosing = Choosing(server, tmp_path, mode)
    assert choosing.choice.step() is None
    assert choosing.shown() == (0, (f"fast calls: off: {problem}",))
    assert not server.requests


@pytest.mark.parametrize(("mode", "way"), [("on", "short"), ("off", "boto3")])
def test_on_and_off_prove_nothing(mode: str, way: str, server: HostileServer, tmp_path: Path) -> None:
    choosing = Choosing(server, tmp_path, mode)
    assert choosing.ways() == [way, way]
    assert choosing.choice.step() is None
