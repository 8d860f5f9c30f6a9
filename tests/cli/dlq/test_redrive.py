"""`dlq redrive` sends back what can still be of use; nothing is lost and nothing goes twice."""

import json

import pytest

from tests.cli.conftest import refusing
from tests.cli.dlq.dead_letters import EXPIRED, Queues, event


def test_the_body_goes_back_without_the_service_s_attributes(queues: Queues) -> None:
    body = event()
    queues.reject(body)
    ran = queues.run("redrive")
    assert (ran.status, ran.out, ran.err) == (0, "sent back 1 message\n", "")
    (message,) = queues.sent_back()
    assert message["Body"] == body
    assert "MessageAttributes" not in message
    assert queues.left() == []


def test_copies_of_one_message_go_once(queues: Queues) -> None:
    body, other = event("a"), event("b")
    for _ in range(12):  # on more than one page
        queues.reject(body, source="one")
    queues.reject(other, source="one")  # the same source, another message
    ran = queues.run("redrive")
    assert ran.lines == ["sent back 2 messages", "  11 more were copies of these, and were removed"]
    assert sorted(message["Body"] for message in queues.sent_back()) == sorted([body, other])
    assert queues.waiting(queues.dlq_url) == (0, 0)


def test_an_expired_event_stays_and_the_exit_status_is_1(queues: Queues) -> None:
    expired, alive = event("old", age=EXPIRED), event("new")
    queues.reject(expired)
    queues.reject(alive)
    ran = queues.run("redrive")
    assert ran.status == 1
    assert ran.lines == [
        "sent back 1 message",
        "  1 stay, expired: --include-expired sends them too",
    ]
    assert queues.waiting(queues.dlq_url) == (1, 0)
    assert [message["Body"] for message in queues.sent_back()] == [alive]
    ran = queues.run("redrive", "--include-expired")
    assert ran.status == 0
    assert [message["Body"] for message in queues.sent_back()] == [expired]


def test_the_ttl_setting_decides_what_is_expired(queues: Queues) -> None:
    queues.reject(event(age=EXPIRED))
    settings = {"EXPORT_STATUS_TTL_SECONDS": "7200"}
    assert queues.run("redrive", **settings).status == 0


def test_what_would_be_rejected_again_stays_unless_it_is_asked_for(queues: Queues) -> None:
    queues.reject('{"auditId": "1"}', "audit_quarantined")
    for outcome in ("invalid", "conflict", "early", "retry", None):
        queues.reject(event(str(outcome)), outcome)
    ran = queues.run("redrive")
    assert ran.status == 1
    assert ran.lines == [
        "sent back 3 messages",
        "  1 stay, quarantined audit entries: they are not events",
        "  2 stay, the same event would be rejected again: see --outcome and dlq drop",
    ]
    sent = {json.loads(message["Body"])["requestId"] for message in queues.sent_back()}
    assert sent == {"early", "retry", "None"}
    asked = ("--outcome", "invalid", "--outcome", "conflict")
    ran = queues.run("redrive", *asked)
    assert (ran.status, ran.lines) == (0, ["sent back 2 messages", "  1 stay, of other outcomes"])


def test_a_dry_run_changes_nothing(queues: Queues) -> None:
    queues.reject(event("a"), source="one")
    queues.reject(event("a", age=EXPIRED))
    ran = queues.run("redrive", "--dry-run")
    assert ran.status == 1
    assert ran.lines[0] == "would send back 1 message"
    assert queues.waiting(queues.dlq_url) == (2, 0)
    assert queues.waiting(queues.url) == (0, 0)


def test_on_fifo_more_than_a_page_of_one_group_goes_back_in_order_with_fresh_deduplication_ids(
    fifo_queues: Queues,
) -> None:
    bodies = [event(f"req-{number}") for number in range(23)]
    first = {"MessageGroupId": "exports", "MessageDeduplicationId": "d1"}
    source = fifo_queues.sqs.send_message(QueueUrl=fifo_queues.url, MessageBody=bodies[0], **first)
    fifo_queues.sent_back()
    fifo_queues.reject(bodies[0], source=source["MessageId"], group="exports")
    for body in bodies[1:]:
        fifo_queues.reject(body, group="exports")
    assert fifo_queues.run("redrive").status == 0
    back = fifo_queues.sent_back()
    assert [message["Body"] for message in back] == bodies
    assert {message["Attributes"]["MessageGroupId"] for message in back} == {"exports"}
    assert back[0]["Attributes"]["MessageDeduplicationId"] != "d1"


def test_what_cannot_be_deleted_is_counted_and_on_fifo_does_not_go_twice(fifo_queues: Queues) -> None:
    fifo_queues.reject(event())
    with refusing(fifo_queues.environment, "AmazonSQS.DeleteMessageBatch") as settings:
        ran = fifo_queues.run("redrive", **settings)
    assert ran.status == 1
    assert ran.lines == [
        "sent back 0 messages",
        "  1 were sent, but are still here: sending them again is harmless",
    ]
    assert fifo_queues.waiting(fifo_queues.dlq_url) == (1, 0)
    assert fifo_queues.run("redrive").status == 0
    assert len(fifo_queues.sent_back()) == 1


def test_nothing_is_lost_when_the_event_queue_takes_nothing(queues: Queues) -> None:
    queues.reject(event())
    with refusing(queues.environment, "AmazonSQS.SendMessageBatch") as settings:
        ran = queues.run("redrive", **settings)
    assert ran.status == 1
    assert ran.err == (
        "export-status: the event queue: AWS refuses, check credentials and permissions"
        " (SendMessageBatch: AccessDeniedException)\n"
    )
    assert queues.waiting(queues.dlq_url) == (1, 0)


@pytest.mark.parametrize("step", ["send", "delete"])
def test_nothing_is_lost_when_it_is_interrupted(
    queues: Queues, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    wing = "processor.cli.dlq"
    target = f"{wing}.redrive.send" if step == "send" else f"{wing}.browser.Browser.delete"
    monkeypatch.setattr(target, interrupt)
    queues.reject(event())
    ran = queues.run("redrive")
    assert (ran.status, ran.out) == (130, "sent back 0 messages\n")
    assert queues.waiting(queues.dlq_url) == (1, 0)


def test_what_the_event_queue_refuses_for_its_size_stays(queues: Queues) -> None:
    queues.sqs.set_queue_attributes(QueueUrl=queues.url, Attributes={"MaximumMessageSize": "1024"})
    queues.reject(event("big", fileName="x" * 1_000))
    queues.reject(event("small"))
    ran = queues.run("redrive")
    assert ran.status == 1
    assert ran.lines == [
        "sent back 1 message",
        "  1 stay, the event queue refuses them: see its maximum message size",
    ]
    assert [json.loads(body)["requestId"] for body in queues.left()] == ["big"]


def test_what_comes_back_is_not_sent_again_and_again(queues: Queues) -> None:
    queues.reject(event())
    same = queues.dlq_url.replace("127.0.0.1", "localhost")  # a queue that rejects at once
    ran = queues.run("redrive", "--json", SQS_EXPORT_EVENTS_QUEUE_URL=same)
    (counts,) = ran.records
    assert (counts["sent"], counts["cameBack"]) == (1, 1)
    assert queues.waiting(queues.dlq_url) == (1, 0)
