"""The function behind the stream: the mapping's position moves only behind what every sink has."""

from processor.aws_lambda.audit import RESERVED_SECONDS
from processor.localaws.embedded_aws import EmbeddedAws
from tests.aws_lambda.functions import Deployed
from tests.aws_lambda.mapping import TTL_IDENTITY, Context, Record, failed
from tests.handlers.test_expiry import record as stream_change

ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/export-status/stream/2026-11-22T00:00:00.000"
CALM = Context(RESERVED_SECONDS + 60)


def record(number: int, name: str = "REMOVE") -> Record:
    key = {"requestId": {"S": f"req-{number}"}}
    made = stream_change(event=name, identity=TTL_IDENTITY, Keys=key, SequenceNumber=f"{1_000 + number}")
    return made | {"eventID": f"id-{number}", "eventSource": "aws:dynamodb", "eventSourceARN": ARN}


def test_a_sink_that_is_down_holds_the_position_and_gets_each_entry_afterwards(
    embedded_aws: EmbeddedAws,
) -> None:
    at = Deployed(embedded_aws, settings={"EXPORT_AUDIT_SINKS": "kinesis"})
    records = [record(0, "MODIFY"), record(1), record(2)]
    function = at.audit
    at.kinesis.delete_stream(StreamName=at.stream)
    assert failed(function({"Records": records}, Context(RESERVED_SECONDS + 0.5))) == ["1001"]
    at.kinesis.create_stream(StreamName=at.stream, ShardCount=1)
    at.kinesis.get_waiter("stream_exists").wait(StreamName=at.stream, WaiterConfig={"Delay": 1})
    assert failed(function({"Records": records[1:]}, CALM)) == []
    assert [each.entry["auditId"] for each in at.in_kinesis()] == ["id-1", "id-2"]
