"""AWS's errors by consequence, and clients that neither hang nor believe an answer that is not AWS's."""

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from processor.aws.calls import call
from processor.aws.clients import SETTLE_CALL_SECONDS, Aws
from processor.aws.errors import AwsError, Misconfigured, Transient
from processor.aws.fast_choice import FastChoice
from processor.observability.health import Health
from processor.observability.metrics import Metrics
from processor.settings import AwsSettings
from processor.startup_checks import Unreachable, read_queue
from tests.aws.hostile_server import CLOSE, STALL, HostileServer, hostile_server
from tests.aws.test_http_connections import answer
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
    names = ("receiving", "settling", "sqs", "dynamodb", "leases", "streams", "kinesis")
    configs: dict[str, Any] = {name: getattr(aws, name)().meta.config for name in names}
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
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: aws.dynamodb(), range(8)))
    assert len({id(client) for client in found}) == 1


@pytest.fixture
def server() -> Iterator[HostileServer]:
    with hostile_server() as server:
        yield server


def url_of(server: HostileServer) -> str:
    return f"http://127.0.0.1:{server.port}"


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
def test_an_answer_that_is_not_aws_s_is_an_error_and_no_success(
    status: int, body: bytes, server: HostileServer
) -> None:
    """A write must not count as done because a proxy answered 200, and no answer may end a thread."""
    server.script = (answer(f"{status} X", body),)
    aws, queue = aws_at(url_of(server)), {"QueueUrl": f"{url_of(server)}/q"}
    started: Any
    for started, arguments in (
        (aws.dynamodb().update_item, {"TableName": "t", "Key": {"requestId": {"S": "r"}}}),
        (aws.dynamodb().batch_execute_statement, {"Statements": [{"Statement": "x"}]}),
        (aws.receiving().receive_message, queue),
        (aws.settling().delete_message_batch, queue | {"Entries": []}),
        (aws.streams().get_records, {"ShardIterator": "x"}),
    ):
        with pytest.raises(AwsError) as refused:
            call(started, **arguments)
        assert isinstance(refused.value, Transient if status in {200, 500, 503} else Misconfigured)


@pytest.mark.parametrize("body", [b'{"Messages":5}', b'{"Messages":[5]}'])
def test_an_answer_of_another_shape_is_transient(body: bytes, server: HostileServer) -> None:
    server.script = (answer("200 OK", body),)
    client = aws_at(url_of(server)).receiving()
    with pytest.raises(Transient, match=r"^ReceiveMessage: \w+Error$"):
        call(client.receive_message, QueueUrl=f"{url_of(server)}/q")


def test_an_answer_without_members_is_fine_where_the_api_has_none(server: HostileServer) -> None:
    server.script = (answer("200 OK", b""),)
    call(aws_at(url_of(server)).sqs().delete_message, QueueUrl=f"{url_of(server)}/q", ReceiptHandle="x")


@pytest.mark.slow
def test_a_server_that_never_answers_costs_a_write_its_read_timeout(server: HostileServer) -> None:
    server.script = (STALL,)
    client = aws_at(url_of(server)).dynamodb()
    with pytest.raises(Transient, match=r"^UpdateItem: ReadTimeoutError$"):
        call(client.update_item, TableName="t", Key={"requestId": {"S": "r"}})
    assert len(server.requests) == 1, "its tries are the writer's"


def handed_out(key_id: str, seconds: float) -> tuple[bytes]:
    """What a container's credentials endpoint answers."""
    until = datetime.now(UTC) + timedelta(seconds=seconds)
    keys = {"AccessKeyId": key_id, "SecretAccessKey": SECRET, "Token": "t"}
    keys |= {"Expiration": until.strftime("%Y-%m-%dT%H:%M:%SZ")}
    return (answer("200 OK", json.dumps(keys).encode()),)


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> Iterator[HostileServer]:
    """A container's credentials endpoint, which hands out the only credentials that there are."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setattr("botocore.utils.ContainerMetadataFetcher.SLEEP_TIME", 0)
    with hostile_server() as keys:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{url_of(keys)}/keys")
        yield keys


@pytest.fixture(params=["off", "on"])
def fast_calls(request: pytest.FixtureRequest, tmp_path: Path) -> FastChoice:
    """EXPORT_FAST_CALLS: boto3's own way, and the shorter one."""
    return FastChoice(request.param, {}, Metrics(), Health(tmp_path / "health", warn=print))


def test_credentials_that_change_are_used_by_the_next_call_and_stale_ones_end_nothing(
    keys: HostileServer, server: HostileServer, fast_calls: FastChoice
) -> None:
    """The session's own chain is left alone, so a role's keys are renewed without a restart."""
    server.script = (CLOSE,)
    keys.script = handed_out("first", 300)  # botocore asks for new ones in the last ten minutes
    client: Any = Aws(AwsSettings(region="us-east-1", endpoint_url=url_of(server)), fast_calls=fast_calls)
    for key_id, seconds, code in (
        ("first", 300, "ConnectionClosedError"),
        ("second", 300, "ConnectionClosedError"),
        ("stale", -60, "RuntimeError"),
        ("third", 300, "ConnectionClosedError"),
    ):
        keys.script = handed_out(key_id, seconds)
        with pytest.raises(Transient) as failed:
            call(client.dynamodb().update_item, TableName="t", Key={"requestId": {"S": "r"}})
        assert failed.value.code == code
    ids = [each.partition(b"Credential=")[2].partition(b"/")[0] for each in server.requests]
    assert ids == [b"first", b"second", b"third"]


def test_credentials_that_are_not_handed_out_yet_are_asked_for_again_by_each_call(
    keys: HostileServer, fast_calls: FastChoice
) -> None:
    keys.script = (CLOSE,)
    aws = Aws(AwsSettings(region="us-east-1", endpoint_url=URL), fast_calls=fast_calls)
    client: Any = aws.dynamodb()
    for _ in range(2):
        with pytest.raises(Transient, match=r"^GetItem: CredentialRetrievalError$"):
            call(client.get_item, TableName="t", Key={})
    keys.script = handed_out("first", 300)
    with pytest.raises(Transient, match=r"^GetItem: EndpointConnectionError$"):
        call(client.get_item, TableName="t", Key={})
    assert aws.dynamodb() is aws.dynamodb() is not client


def test_a_start_without_an_answer_of_the_credentials_endpoint_is_repeated(keys: HostileServer) -> None:
    keys.script = (CLOSE,)
    client = Aws(AwsSettings(region="us-east-1", endpoint_url=URL)).settling()
    problem = r"^the event queue cannot be reached \(GetQueueAttributes: CredentialRetrievalError\)$"
    with pytest.raises(Unreachable, match=problem):
        read_queue(client, f"{URL}/q", names_dead_letters=False)
