"""A producer's message stays the same through rejections, our redrive and SQS's own."""

import json
from pathlib import Path
from typing import Any

from processor.localaws.embedded_aws import EmbeddedAws
from tests.cli.dlq.dead_letters import Queues
from tests.support.proxy import Answer, Request, Upstream, proxy
from tests.support.service import ServiceProcess
from tests.transitions.test_messages import EIGHT
from tests.waiting import eventually

REDRIVE = ("dlq", "redrive", "--outcome", "invalid")
HEADER = "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"
BODY = '{"requestId": "req-1", "status": "lost", "occurredAt": "2026-11-22T10:00:00Z"}'


def entry_by_entry(request: Request, upstream: Upstream) -> Answer:
    """Sends a batch's entries one by one: of a batch moto drops the system attributes, and SQS keeps them."""
    if request.target != "AmazonSQS.SendMessageBatch":
        return upstream.ask(request)
    asked = json.loads(request.body)
    headers = request.headers | {"x-amz-target": "AmazonSQS.SendMessage"}
    successful = []
    for entry in asked["Entries"]:
        single = {name: value for name, value in entry.items() if name != "Id"}
        body = json.dumps(single | {"QueueUrl": asked["QueueUrl"]}).encode()
        answer = upstream.ask(Request(request.line, headers, body))
        assert answer.status == 200, answer.body
        successful.append(json.loads(answer.body) | {"Id": entry["Id"]})
    answered = json.dumps({"Successful": successful, "Failed": []}).encode()
    return Answer(200, answered, {"Content-Type": "application/x-amz-json-1.0"})


def test_body_attributes_group_and_trace_header_come_back_each_time(
    embedded_aws: EmbeddedAws, queues: Queues, tmp_path: Path
) -> None:
    # The command sends to another queue than the service reads, where the test can look at what comes back.
    seen = Queues(embedded_aws.client, queues.environment, queues.command)
    system = {"MessageGroupId": "tenant-7", "AWSTraceHeader": HEADER}
    assert len(EIGHT) == 8

    def send(message: dict[str, Any]) -> None:
        header = {"DataType": "String", "StringValue": message["Attributes"]["AWSTraceHeader"]}
        queues.sqs.send_message(
            QueueUrl=queues.url,
            MessageBody=message["Body"],
            MessageAttributes=message["MessageAttributes"],
            MessageGroupId=message["Attributes"]["MessageGroupId"],
            MessageSystemAttributes={"AWSTraceHeader": header},
        )

    def is_rejected() -> bool:
        return queues.waiting(queues.dlq_url) == (1, 0) and queues.waiting(queues.url) == (0, 0)

    message: dict[str, Any] = {"Body": BODY, "MessageAttributes": EIGHT, "Attributes": system}
    with proxy(embedded_aws.endpoint_url, entry_by_entry) as front:
        environment = queues.environment | {"AWS_ENDPOINT_URL_SQS": front}
        to_seen = environment | {"SQS_EXPORT_EVENTS_QUEUE_URL": seen.url}
        with ServiceProcess(environment, tmp_path / "service", "--only", "transitions") as service:
            service.wait_for("service_started")
            for way in ("ours", "SQS's own, then ours"):
                send(message)
                eventually(is_rejected)
                if way != "ours":  # SQS moves a letter as it is
                    [letter] = queues.letters()
                    send(letter)
                    eventually(is_rejected)
                redriven = seen.command(*REDRIVE, environment=to_seen)
                assert redriven.status == 0, redriven.err
                [message] = seen.sent_back()
                assert (message["Body"], message["MessageAttributes"]) == (BODY, EIGHT)
                assert {name: message["Attributes"][name] for name in system} == system
            service.stop()
