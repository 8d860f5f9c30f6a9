"""The shorter way sends the requests that boto3 sends, and leaves to boto3 what it cannot do."""

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from tests.aws.both_ways import BothWays
from tests.aws.hostile_server import Certificates, HostileServer
from tests.aws.test_http_connections import MESSAGE, answer


@pytest.mark.parametrize(
    "call",
    [
        ("sqs", "receive_message", {"QueueUrl": "https://q.test/1/q", "MaxNumberOfMessages": 10}, MESSAGE),
        (
            "dynamodb",
            "batch_execute_statement",
            {"Statements": [{"Statement": "é ?", "Parameters": [{"S": '"\n'}, {"N": "1"}, {"B": b"x"}]}]},
            b'{"Responses":[{"TableName":"t","Item":{"a":{"B":"aGk="},"m":{"M":{"l":{"L":[{"N":"1"}]}}}}}]}',
        ),
        (
            "dynamodb",
            "update_item",
            {"TableName": "t", "Key": {"k": {"S": "é"}}},
            b'{"Attributes":{"a":{"SS":["x"]},"n":{"NULL":true}}}',
        ),
        (
            "dynamodb",
            "batch_get_item",
            {"RequestItems": {"t": {"Keys": [{"k": {"S": "1"}}]}}},
            b'{"Responses":{"t":[{"k":{"S":"1"}}]},"UnprocessedKeys":{}}',
        ),
        (
            "dynamodbstreams",
            "get_records",
            {"ShardIterator": "i"},
            b'{"Records":[{"eventName":"REMOVE","eventID":"e","dynamodb":{"SequenceNumber":"1","Keys":{}}}]}',
        ),
        (
            "kinesis",
            "put_records",
            {"StreamName": "s", "Records": [{"Data": b"\x00x", "PartitionKey": "1"}]},
            b'{"FailedRecordCount":1,"Records":[{"ErrorCode":"c","ErrorMessage":"m"},{"ShardId":"s"}]}',
        ),
        (
            "kinesis",
            "describe_stream_summary",
            {"StreamName": "s"},
            b'{"StreamDescriptionSummary":{"StreamName":"s","StreamCreationTimestamp":1.5}}',
        ),
    ],
)
def test_the_same_request_goes_out_signed_and_its_answer_reads_alike(
    call: tuple[str, str, dict[str, Any], bytes], server: HostileServer, certificates: Certificates
) -> None:
    service, method, arguments, body = call
    both = BothWays(service, f"https://127.0.0.1:{server.port}", str(certificates.bundle))
    server.script = (answer("200 OK", body),)
    server.requests.clear()
    assert both.call("short", method, arguments) == both.call("boto3", method, arguments)
    (short, short_body), (own, own_body) = (read_request(request) for request in server.requests)
    assert short_body == own_body
    assert scope(short) == scope(own)
    names = own.keys() - RETRY_HEADERS - {"authorization", "x-amz-date"}
    assert {name: short.get(name) for name in names} == {name: own[name] for name in names}
    assert short.keys() == own.keys() - RETRY_HEADERS


RETRY_HEADERS = {"amz-sdk-invocation-id", "amz-sdk-request"}
"""The bookkeeping of retries, which the shorter way does not have."""


def read_request(request: bytes) -> tuple[dict[str, str], Any]:
    """The headers but for the length, and the body."""
    head, _, body = request.partition(b"\r\n\r\n")
    pairs = (line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    headers = {name.lower(): value for name, value in pairs if name.lower() != "content-length"}
    return headers, json.loads(body)


def scope(headers: Mapping[str, str]) -> tuple[str, set[str]]:
    """Key, region and service of a signature, without its day, and the signed headers."""
    credential, signed, _ = headers["authorization"].split(", ")
    return re.sub(r"/\d{8}/", "/", credential), set(signed.partition("=")[2].split(";")) - RETRY_HEADERS
