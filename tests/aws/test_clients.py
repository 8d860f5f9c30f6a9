"""AWS's errors by consequence, and clients that neither hang nor believe an answer that is not AWS's."""

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from processor.aws.calls import call
from processor.aws.clients import SETTLE_CALL_SECONDS, Aws
from processor.aws.errors import (
    AwsError,
    Misconfigured,
    Transient,
)
from processor.aws.fast_choice import FastChoice
from processor.observability.health import Health
from processor.observability.metrics import Metrics
from processor.settings import AwsSettings
from processor.startup_checks import Unreachable, read_queue
from tests.aws.hostile_server import CLOSE, hostile_server
from tests.handlers.making import SECRET

URL = "http://127.0.0.1:1"


def aws_at(endpoint_url: str, poll_seconds: int = 20) -> Aws:
    settings = AwsSettings(
        region="us-east-1", endpoint_url=endpoint_url, access_key_id="a", secret_access_key="b"
    )
    return Aws(settings, threads=3, poll_seconds=poll_seconds)


def test_clients_are_made_once_with_their_timeouts_and_enough_connections() -> None:
    aws = aws_at(URL)
    assert aws.sqs() is aws.sqs()
    assert aws.sqs() is not aws.receiving()
    configs: dict[str, Any] = {
        "receiving": aws.receiving().meta.config,
        "settling": aws.settling().meta.config,
        "sqs": aws.sqs().meta.config,
        "dynamodb": aws.dynamodb().meta.config,
        "leases": aws.leases().meta.config,
        "streams": aws.streams().meta.config,
        "kinesis": aws.kinesis().meta.config,
    }
    assert 20 < configs["receiving"].read_timeout <= 30, "outlives a long poll, but not by much"
    settling = configs["settling"]
    assert settling.connect_timeout + settling.read_timeout == SETTLE_CALL_SECONDS <= 5
    assert settling.retries["total_max_attempts"] == 1, "who calls repeats it, and knows for how long"
    write = configs["dynamodb"]
    assert write.connect_timeout + write.read_timeout <= 5, "one attempt of a write that may create"
    assert write.retries["total_max_attempts"] == 1, "the clock is read between attempts"
    for name in ("leases", "streams", "kinesis"):
        assert configs[name].retries["total_max_attempts"] == 1, "who calls repeats it"
        assert configs[name].connect_timeout + configs[name].read_timeout <= 25 / 3, "a drain has room for it"
        assert configs[name].max_pool_connections > 3, "renewals come on top of the reading threads"
    hold = configs["leases"].connect_timeout + configs["leases"].read_timeout
    assert hold < 10 * 2 / 3 - 0.1 * 10, "a renewal is tried twice before trust in its lease ends"
    for config in configs.values():
        assert config.tcp_keepalive
        assert config.max_pool_connections >= 3
        assert config.connect_timeout <= 3
        assert config.retries["mode"] == "standard"


def test_clients_may_be_asked_for_by_many_threads() -> None:
    aws = aws_at(URL)
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(aws.dynamodb())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(client) for client in found}) == 1


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """A server that gives every request the same answer."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
            """Says nothing."""

    with serving(Handler) as url:
        yield url


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """A server's URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html>Please log in</html>"),
        (200, b""),
        (200, b"\xff\xfe"),
        (200, b"[]"),
        (200, b"null"),
        (500, b"\xff\xfe"),
        (503, b"<html>"),
        (403, b"[]"),
        (400, b'"x"'),
        (407, b""),
        (302, b""),
    ],
)
def test_an_answer_that_is_not_aws_s_is_an_error_and_no_success(status: int, body: bytes) -> None:
    """A write must not count as done because a proxy answered 200, and no answer may end a thread."""
    key = {"requestId": {"S": "r"}}
    with answering(status, body) as url:
        aws = aws_at(url)
        for method, arguments in (
            (aws.dynamodb().update_item, {"TableName": "t", "Key": key}),
            (aws.dynamodb().batch_execute_statement, {"Statements": [{"Statement": "x"}]}),
            (aws.receiving().receive_message, {"QueueUrl": f"{url}/q"}),
            (aws.sqs().delete_message_batch, {"QueueUrl": f"{url}/q", "Entries": []}),
            (aws.streams().get_records, {"ShardIterator": "x"}),
        ):
            started: Any = method
            with pytest.raises(AwsError) as refused:
                call(started, **arguments)
            assert isinstance(refused.value, Transient if status in {200, 500, 503} else Misconfigured)


@pytest.mark.parametrize("body", [b'{"Messages":5}', b'{"Messages":[5]}'])
def test_an_answer_of_another_shape_is_transient(body: bytes) -> None:
    with answering(200, body) as url:
        client = aws_at(url).receiving()
        with pytest.raises(Transient, match=r"^ReceiveMessage: \w+Error$"):
            call(client.receive_message, QueueUrl=f"{url}/q")


def test_an_answer_without_members_is_fine_where_the_api_has_none() -> None:
    with answering(200, b"") as url:
        call(aws_at(url).sqs().delete_message, QueueUrl=f"{url}/q", ReceiptHandle="x")


@pytest.mark.slow
def test_a_server_that_never_answers_costs_a_write_its_read_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        aws = aws_at(f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(Transient, match=r"^UpdateItem: ReadTimeoutError$"):
            call(aws.dynamodb().update_item, TableName="t", Key={"requestId": {"S": "r"}})
        assert time.monotonic() - began < 5


def test_records_of_a_stream_are_dynamodb_s_own_json() -> None:
    change = b'{"ApproximateCreationDateTime":1.795342500E9,"Keys":{"requestId":{"S":"r"}}}'
    record = b'{"eventID":"e","dynamodb":' + change + b"}"
    with answering(200, b'{"Records":[' + record + b'],"NextShardIterator":"n"}') as url:
        answer: Any = call(aws_at(url).streams().get_records, ShardIterator="x")
    assert answer["NextShardIterator"] == "n"
    [found] = answer["Records"]
    assert found["dynamodb"]["ApproximateCreationDateTime"] == 1_795_342_500
    assert found["dynamodb"]["Keys"] == {"requestId": {"S": "r"}}


class Keys:
    """What a container's credential endpoint hands out at the moment."""

    def __init__(self) -> None:
        self.id = "first"
        self.seconds = 300  # botocore asks for new ones in the last ten minutes

    def json(self) -> bytes:
        until = datetime.now(UTC) + timedelta(seconds=self.seconds)
        keys = {"AccessKeyId": self.id, "SecretAccessKey": SECRET, "Token": "t"}
        return json.dumps({**keys, "Expiration": until.strftime("%Y-%m-%dT%H:%M:%SZ")}).encode()


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> Iterator[Keys]:
    """The only credentials that there are."""
    keys = Keys()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(keys.json())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
            """Says nothing."""

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    with serving(Handler) as url:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{url}/keys")
        yield keys


@pytest.fixture(params=["off", "on"])
def fast_calls(request: pytest.FixtureRequest, tmp_path: Path) -> FastChoice:
    """EXPORT_FAST_CALLS: boto3's own way, and the shorter one."""
    return FastChoice(request.param, {}, Metrics(), Health(tmp_path / "health", warn=print))


def test_credentials_that_change_are_used_by_the_next_call_and_stale_ones_end_nothing(
    keys: Keys, fast_calls: FastChoice
) -> None:
    """The session's own chain is left alone, so a role's keys are renewed without a restart."""
    with hostile_server() as server:
        server.script = (CLOSE,)
        settings = AwsSettings(region="us-east-1", endpoint_url=f"http://127.0.0.1:{server.port}")
        client: Any = Aws(settings, fast_calls=fast_calls).dynamodb()
        for keys.id, keys.seconds, code in (
            ("first", 300, "ConnectionClosedError"),
            ("second", 300, "ConnectionClosedError"),
            ("stale", -60, "RuntimeError"),
            ("third", 300, "ConnectionClosedError"),
        ):
            with pytest.raises(Transient) as failed:
                call(client.update_item, TableName="t", Key={"requestId": {"S": "r"}})
            assert failed.value.code == code
    ids = [each.partition(b"Credential=")[2].partition(b"/")[0] for each in server.requests]
    assert ids == [b"first", b"second", b"third"]


@pytest.fixture
def hand_out(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """At first no server listens at the credentials endpoint; after the first call one does."""
    monkeypatch.setattr("botocore.utils.ContainerMetadataFetcher.SLEEP_TIME", 0)
    living = os.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://127.0.0.1:{port}/keys")
    return lambda: monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", living)


def test_credentials_that_are_not_handed_out_yet_are_asked_for_again_by_each_call(
    hand_out: Callable[[], None], fast_calls: FastChoice
) -> None:
    aws = Aws(AwsSettings(region="us-east-1", endpoint_url=URL), fast_calls=fast_calls)
    client: Any = aws.dynamodb()
    for _ in range(2):
        with pytest.raises(Transient, match=r"^GetItem: CredentialRetrievalError$"):
            call(client.get_item, TableName="t", Key={})
    hand_out()
    with pytest.raises(Transient, match=r"^GetItem: EndpointConnectionError$"):
        call(client.get_item, TableName="t", Key={})
    assert aws.dynamodb() is aws.dynamodb() is not client


@pytest.mark.usefixtures("hand_out")
def test_a_start_without_an_answer_of_the_credentials_endpoint_is_repeated() -> None:
    client = Aws(AwsSettings(region="us-east-1", endpoint_url=URL)).settling()
    with pytest.raises(
        Unreachable,
        match=r"^the event queue cannot be reached \(GetQueueAttributes: CredentialRetrievalError\)$",
    ):
        read_queue(client, f"{URL}/q")
