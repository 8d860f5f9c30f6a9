"""Hostile answers over TLS, on boto3's own way and on the shorter one: answers and exceptions are alike.

`LISTED` holds the only differences, each with its reason.
"""

import json
import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import Any

import pytest

from tests.aws.both_ways import WAYS, BothWays
from tests.aws.hostile_server import (
    CLOSE,
    PAUSE,
    RESET,
    RESET_FIRST,
    STALL,
    Certificates,
    HostileServer,
    Step,
    hostile_server,
)
from tests.waiting import eventually

OK = b"HTTP/1.1 200 OK\r\n"
JSON = b"Content-Type: application/x-amz-json-1.0\r\nx-amzn-RequestId: r-1\r\n"
DELETED = b'{"Successful":[{"Id":"0"}],"Failed":[{"Id":"1","SenderFault":true,"Code":"c","Message":"m"}]}'
MESSAGE = (
    b'{"Messages":[{"MessageId":"m","Body":"b","ReceiptHandle":"h","Attributes":{"SentTimestamp":"1"},'
    b'"MessageAttributes":{"a":{"DataType":"Binary","BinaryValue":"aGk="},"s":{"DataType":"String",'
    b'"StringValue":"x"}}}]}'
)


def answer(status: str, body: bytes, *headers: str, length: int | str | None = None) -> bytes:
    """An HTTP answer; its Content-Length may be wrong."""
    size = len(body) if length is None else length
    lines = "".join(f"{header}\r\n" for header in (*headers, f"Content-Length: {size}"))
    return f"HTTP/1.1 {status}\r\n".encode() + JSON + lines.encode() + b"\r\n" + body


def refusal(status: str, code: str, *headers: str, **members: Any) -> bytes:
    """An error answer of AWS."""
    return answer(status, json.dumps({"__type": code, "message": "No.", **members}).encode(), *headers)


def chunked(*chunks: bytes, trailer: bytes = b"") -> bytes:
    """An answer in chunks."""
    parts = b"".join(b"%x;x=y\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return OK + JSON + b"Transfer-Encoding: chunked\r\n\r\n" + parts + b"0\r\n" + trailer + b"\r\n"


SCRIPTS: Mapping[str, tuple[Step, ...]] = MappingProxyType(
    {
        "an answer": (answer("200 OK", DELETED),),
        "an answer with members that are new": (
            answer("200 OK", b'{"New":1,"Failed":[{"Id":"1","New":2}]}'),
        ),
        "members that are null": (answer("200 OK", b'{"Successful":null,"Failed":[{"Id":null}]}'),),
        "members of other types": (answer("200 OK", b'{"Failed":[{"Id":1,"SenderFault":"no"}]}'),),
        "half a surrogate pair": (answer("200 OK", b'{"Failed":[{"Id":"\\ud800"}]}'),),
        "an answer in pieces": (*(answer("200 OK", DELETED)[n : n + 40] for n in range(0, 300, 40)), PAUSE),
        "a slow body": (answer("200 OK", DELETED)[:-20], PAUSE, answer("200 OK", DELETED)[-20:]),
        "chunks": (chunked(DELETED[:7], DELETED[7:]),),
        "chunks with a trailer": (chunked(DELETED, trailer=b"x: y\r\n"),),
        "a chunk without a size": (OK + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",),
        "half of the chunks": (chunked(DELETED)[:-30], CLOSE),
        "no length": (OK + JSON + b"\r\n" + DELETED, CLOSE),
        "connection: close": (answer("200 OK", DELETED, "Connection: close"), CLOSE),
        "HTTP/1.0": (answer("200 OK", DELETED).replace(b"1.1", b"1.0", 1), CLOSE),
        "100 Continue first": (b"HTTP/1.1 100 Continue\r\n\r\n" + answer("200 OK", DELETED),),
        "a header twice": (answer("200 OK", DELETED, "x-a: 1", "x-a: 2"),),
        "no reason": (answer("200", DELETED),),
        "a throttled call": (refusal("400 Bad Request", "com.amazonaws.sqs#ThrottlingException"),),
        "an error by its code": (refusal("400 Bad Request", "QueueDoesNotExist"),),
        "an error by the query-compatible header": (
            refusal(
                "400 Bad Request",
                "com.amazonaws.sqs#QueueDoesNotExist",
                "x-amzn-query-error: AWS.SimpleQueueService.NonExistentQueue;Sender",
            ),
        ),
        "a skewed clock": (refusal("403 Forbidden", "InvalidSignatureException"),),
        "a token that expired": (refusal("400 Bad Request", "ExpiredTokenException:http://x"),),
        "an error without a body": (answer("400 Bad Request", b""),),
        "an error that is no object": (answer("400 Bad Request", b"[1]"),),
        "an internal error": (refusal("500 Internal Server Error", "InternalFailure"),),
        "503 without a body": (answer("503 Service Unavailable", b""),),
        "502 in HTML": (answer("502 Bad Gateway", b"<html>Bad gateway</html>"),),
        "413 before the end": (answer("413 Too Large", b"{}", "Connection: close"), CLOSE),
        "HTML": (answer("200 OK", b"<html>Please log in</html>"),),
        "no body": (answer("200 OK", b""),),
        "204": (b"HTTP/1.1 204 No Content\r\n\r\n",),
        "JSON that is no object": (answer("200 OK", b"[]"),),
        "half of the JSON": (answer("200 OK", DELETED[:40]),),
        "a redirect": (answer("301 Moved Permanently", b"", "Location: https://127.0.0.2/"),),
        "a redirect that keeps the method": (answer("307 Temporary Redirect", b"", "Location: /x"),),
        "a length that is too short": (answer("200 OK", DELETED, length=len(DELETED) - 10),),
        "a length that is too long": (answer("200 OK", DELETED, length=999), CLOSE),
        "a length that is no number": (answer("200 OK", DELETED, length="x"), CLOSE),
        "a negative length": (answer("200 OK", DELETED, length=-1), CLOSE),
        "two lengths": (answer("200 OK", DELETED, "Content-Length: 7"), CLOSE),
        "half an answer": (answer("200 OK", DELETED)[:-30], CLOSE),
        "half a head": (answer("200 OK", DELETED)[:40], CLOSE),
        "two answers": (answer("200 OK", DELETED) + answer("200 OK", b'{"Failed":[{"Id":"9"}]}'),),
        "no HTTP": (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", CLOSE),
        "HTTP/2": (b"HTTP/2 200\r\n\r\n{}", CLOSE),
        "a status that is no number": (b"HTTP/1.1 OK\r\n\r\n", CLOSE),
        "a header without a colon": (OK + b"nonsense\r\nContent-Length: 2\r\n\r\n{}", CLOSE),
        "lines without a return": (b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}", CLOSE),
        "a head without an end": (OK + b"x: " + b"y" * 70_000, CLOSE),
        "closed without an answer": (CLOSE,),
        "a reset without an answer": (RESET,),
    }
)
NO_WHOLE_ANSWER = {"a length that is too long", "half an answer", "half a head"}
"""boto3 accepts the part of an answer that came before the connection ended."""
BROKEN_LENGTH = {"a length that is no number", "a negative length", "two lengths"}
BROKEN_LINES = {"a header without a colon", "lines without a return"}
"""In these two sets boto3 guesses what a broken head means: AWS sends none."""
LISTED = NO_WHOLE_ANSWER | BROKEN_LENGTH | BROKEN_LINES
"""Here the shorter way raises ConnectionClosedError, and boto3 something else or nothing."""

DELETE: dict[str, Any] = {
    "QueueUrl": "https://queue.test/1/q",
    "Entries": [{"Id": "0", "ReceiptHandle": "é"}, {"Id": "1", "ReceiptHandle": "b"}],
}


@pytest.fixture(scope="module")
def sqs(server: HostileServer, certificates: Certificates) -> BothWays:
    return BothWays("sqs", f"https://127.0.0.1:{server.port}", str(certificates.bundle))


@pytest.mark.parametrize("case", SCRIPTS)
def test_whatever_a_server_answers_both_ways_end_alike(
    case: str, server: HostileServer, sqs: BothWays
) -> None:
    ends = {}
    for way in WAYS:
        server.requests.clear()
        server.script = SCRIPTS[case]
        ends[way] = sqs.call(way, "delete_message_batch", DELETE)
        if SCRIPTS[case][-1] == CLOSE:  # else the next call may still use the connection
            assert server.closed[-1].wait(60)
        assert len(server.requests) == 1, f"{way}: once it may have been sent, nothing sends it again"
        server.script = SCRIPTS["an answer"]
        assert sqs.call(way, "delete_message_batch", DELETE)[0] == "answer", f"{way} goes on"
    if case in LISTED:
        assert ends["short"][0] == "ConnectionClosedError" != ends["boto3"][0]
    else:
        assert ends["short"] == ends["boto3"]


@pytest.mark.parametrize(
    ("script", "requests", "error"),
    [
        ((RESET_FIRST,), 0, "ConnectionClosedError"),
        ((STALL,), 1, "ReadTimeoutError"),
        ((answer("200 OK", DELETED)[:30], STALL), 1, "ReadTimeoutError"),
        ((answer("200 OK", DELETED)[:-30], STALL), 1, "ReadTimeoutError"),
    ],
    ids=["a reset while the request is sent", "no answer", "a head that stalls", "a body that stalls"],
)
def test_where_no_answer_comes_both_ways_raise_alike(
    script: tuple[Step, ...], requests: int, error: str, certificates: Certificates
) -> None:
    large = DELETE | {"Entries": [{"Id": "0", "ReceiptHandle": "x" * 8_000_000}]}
    # TLS has several errors for a reset, whichever comes first.
    scheme, certificate = ("https", certificates.server) if requests else ("http", None)
    with hostile_server(certificate) as server:
        server.script = script
        url = f"{scheme}://127.0.0.1:{server.port}"
        both = BothWays("sqs", url, str(certificates.bundle), read_seconds=0.3 if requests else 60)
        for way in WAYS:
            end = both.call(way, "delete_message_batch", DELETE if requests else large)
            assert end == (error, f"{url}/")
        eventually(lambda: len(server.requests) == requests * len(WAYS))


@pytest.mark.parametrize("case", ["wrong certificate", "unknown authority", "no TLS", "TLS that stalls"])
def test_a_server_that_cannot_be_trusted_gets_no_request(case: str, certificates: Certificates) -> None:
    served = {"wrong certificate": certificates.other, "unknown authority": certificates.server}
    bundle = None if case == "unknown authority" else str(certificates.bundle)
    silent = case == "TLS that stalls"
    with hostile_server(served.get(case)) as server, socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1] if silent else server.port
        both = BothWays("sqs", f"https://127.0.0.1:{port}", bundle, connect_seconds=0.3 if silent else 60)
        server.script = (CLOSE,)
        ends = [both.call(way, "delete_message_batch", DELETE)[0] for way in WAYS]
    assert ends == ["ReadTimeoutError" if silent else "SSLError"] * 2
    assert not server.requests


def test_a_server_that_is_not_there_both_ways_name_alike() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    both = BothWays("sqs", f"http://127.0.0.1:{port}")
    for way in WAYS:
        end = both.call(way, "delete_message_batch", DELETE)
        assert end == ("EndpointConnectionError", f"http://127.0.0.1:{port}/")
    with socket.socket() as full, socket.socket() as first:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        first.connect(full.getsockname())  # Linux admits one more than the backlog, then drops what comes
        both = BothWays("sqs", f"http://127.0.0.1:{full.getsockname()[1]}", connect_seconds=0.3)
        assert {both.call(way, "delete_message_batch", DELETE)[0] for way in WAYS} == {"ConnectTimeoutError"}


def test_a_connection_that_the_server_has_closed_is_not_used_again(
    server: HostileServer, sqs: BothWays
) -> None:
    server.script = (answer("200 OK", DELETED), CLOSE)
    for way in (*WAYS, *WAYS):
        assert sqs.call(way, "delete_message_batch", DELETE)[0] == "answer"
        assert server.closed[-1].wait(60)


def test_threads_share_a_client_and_get_their_own_answers(server: HostileServer, sqs: BothWays) -> None:
    server.script = (PAUSE, answer("200 OK", MESSAGE))
    poll = {"QueueUrl": DELETE["QueueUrl"]}
    with ThreadPoolExecutor(8) as pool:
        ends = list(pool.map(lambda _: sqs.call("short", "receive_message", poll), range(8)))
    assert ends == [sqs.call("boto3", "receive_message", poll)] * 8
    assert ends[0][0] == "answer"
