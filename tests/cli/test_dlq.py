"""The commands `dlq list` and `dlq redrive`, on queues of their own."""

import json
import signal
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from handlers.timestamps import format_timestamp
from processor.cli import dlq_walk
from processor.embedded.embedded_aws import EmbeddedAws
from tests.cli.conftest import Command, Ran
from tests.cli.processes import start
from tests.cli.refusing_proxy import refusing_proxy
from tests.resources import ClientFactory, drained_messages, fresh_name, queue_pair

SECRET = "X-Amz-Signature=c0ffee"


class Queues:
    """An event queue with its dead-letter queue, and the settings that name them."""

    def __init__(self, clients: ClientFactory, settings: Mapping[str, str], *, fifo: bool = False) -> None:
        self.sqs = clients("sqs")
        self.clients = clients
        self.url, self.dlq_url = queue_pair(clients, fifo=fifo)
        self.fifo = fifo
        self.environment = {
            **settings,
            "SQS_EXPORT_EVENTS_QUEUE_URL": self.url,
            "SQS_EXPORT_EVENTS_DLQ_URL": self.dlq_url,
        }

    def reject(
        self,
        body: str,
        outcome: str | None = "invalid",
        reason: str = "status must be pending, processing, completed or failed",
        *,
        source: str | None = None,
        group: str = "g",
        ago: timedelta = timedelta(minutes=5),
    ) -> str:
        """Puts a letter into the dead-letter queue as the service does; its message id."""
        attributes = {}
        if outcome is not None:
            values = {
                "rejectionOutcome": outcome,
                "rejectionReason": reason,
                "sourceMessageId": source or fresh_name("message"),
                "rejectedAt": format_timestamp(datetime.now(UTC) - ago),
            }
            attributes = {
                name: {"DataType": "String", "StringValue": value} for name, value in values.items()
            } | {"receiveCount": {"DataType": "Number", "StringValue": "3"}}
        fifo = {"MessageGroupId": group, "MessageDeduplicationId": fresh_name("d")} if self.fifo else {}
        answer = self.sqs.send_message(
            QueueUrl=self.dlq_url, MessageBody=body, MessageAttributes=attributes, **fifo
        )
        return str(answer["MessageId"])

    def waiting(self, url: str) -> tuple[int, int]:
        """How many messages are visible and how many are in somebody's hands."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return int(found[names[0]]), int(found[names[1]])

    def sent_back(self) -> list[dict[str, Any]]:
        """Takes what is in the event queue."""
        return list(drained_messages(self.clients, self.url))

    def left(self) -> list[str]:
        """Takes what is in the dead-letter queue; the bodies."""
        return [message["Body"] for message in drained_messages(self.clients, self.dlq_url)]


@pytest.fixture
def queues(embedded_aws: EmbeddedAws) -> Queues:
    return Queues(embedded_aws.client, embedded_aws.environment())


@pytest.fixture
def fifo_queues(embedded_aws: EmbeddedAws) -> Queues:
    return Queues(embedded_aws.client, embedded_aws.environment(), fifo=True)


def event(request_id: str = "req-1", *, age: timedelta = timedelta(seconds=5), **more: str) -> str:
    """A pending event that occurred so long ago."""
    occurred = format_timestamp(datetime.now(UTC) - age)
    return json.dumps({"requestId": request_id, "status": "pending", "occurredAt": occurred, **more})


def records(ran: Ran) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ran.lines]


EXPIRED = timedelta(hours=1)


class TestList:
    def test_it_says_why_when_and_what_without_the_secrets_of_urls(
        self, queues: Queues, command: Command
    ) -> None:
        body = event(signedUrl=f"https://bucket.s3.amazonaws.com/report.csv?{SECRET}")
        queues.reject(body, reason=f"see https://example.org/?{SECRET}")
        ran = command("dlq", "list", environment=queues.environment)
        assert (ran.status, ran.err) == (0, "")
        head, shown = ran.lines
        assert head == "  5m  invalid    see https://example.org/"
        assert "https://bucket.s3.amazonaws.com/report.csv" in shown
        assert SECRET not in ran.out

    def test_json_has_every_field(self, queues: Queues, command: Command) -> None:
        message_id = queues.reject("{}", "conflict", "the reason", source="source-1")
        ran = command("dlq", "list", "--json", environment=queues.environment)
        (record,) = records(ran)
        assert 300 <= record.pop("ageSeconds") < 360
        assert record.pop("rejectedAt").endswith("Z")
        assert record == {
            "messageId": message_id,
            "sourceMessageId": "source-1",
            "outcome": "conflict",
            "reason": "the reason",
            "receiveCount": 3,
            "body": "{}",
        }

    def test_it_leaves_the_messages_as_they_were(self, queues: Queues, command: Command) -> None:
        for number in range(25):
            queues.reject(f"body {number}")
        ran = command("dlq", "list", "--json", environment=queues.environment)
        assert {record["body"] for record in records(ran)} == {f"body {number}" for number in range(25)}
        assert queues.waiting(queues.dlq_url) == (25, 0)
        assert queues.waiting(queues.url) == (0, 0)

    def test_what_sqs_moved_by_itself_is_unmarked(self, queues: Queues, command: Command) -> None:
        queues.reject("whatever", None)
        (record,) = records(command("dlq", "list", "--json", environment=queues.environment))
        assert record["outcome"] == "unmarked"
        assert record["sourceMessageId"] == record["messageId"]
        assert record["receiveCount"] is None
        assert record["ageSeconds"] >= 0

    def test_the_limit_holds_and_the_rest_is_mentioned(self, queues: Queues, command: Command) -> None:
        for number in range(14):
            queues.reject(f"body {number}")
        ran = command("dlq", "list", "--json", "--limit", "12", environment=queues.environment)
        assert len(ran.lines) == 12
        assert ran.err == "12 of about 14 messages: --limit shows more\n"
        counts = [
            message["Attributes"]["ApproximateReceiveCount"]
            for message in drained_messages(queues.clients, queues.dlq_url)
        ]
        assert sorted(counts) == ["1"] * 2 + ["2"] * 12

    def test_an_empty_queue_is_no_failure(self, queues: Queues, command: Command) -> None:
        ran = command("dlq", "list", environment=queues.environment)
        assert (ran.status, ran.out, ran.err) == (0, "", "the dead-letter queue is empty\n")

    def test_a_queue_whose_letters_are_in_somebody_s_hands_is_not_called_empty(
        self, queues: Queues, command: Command
    ) -> None:
        queues.reject(event("a"), "early")
        queues.reject(event("b"), "early")
        queues.sqs.receive_message(QueueUrl=queues.dlq_url, MaxNumberOfMessages=10, VisibilityTimeout=600)
        told = (
            "about 2 messages in somebody's hands, such as another `dlq list`'s;"
            " they come back: try again in a moment\n"
        )
        ran = command("dlq", "list", environment=queues.environment)
        assert (ran.status, ran.out, ran.err) == (0, "", told)
        ran = command("dlq", "redrive", environment=queues.environment)
        assert (ran.status, ran.out, ran.err) == (0, "sent back 0 messages\n", told)

    def test_messages_that_come_again_are_shown_once_and_end_it(
        self, queues: Queues, command: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dlq_walk, "MIN_HIDDEN_SECONDS", 0)  # visible again at once
        for number in range(3):
            queues.reject(f"body {number}")
        ran = command("dlq", "list", "--json", environment=queues.environment)
        assert sorted(record["body"] for record in records(ran)) == ["body 0", "body 1", "body 2"]

    def test_no_body_can_play_with_the_terminal(self, queues: Queues, command: Command) -> None:
        queues.reject("\u009b31mred\u202egnp.exe", "\u009b1m", "a\u0085b")
        ran = command("dlq", "list", environment=queues.environment)
        assert all(line.isprintable() for line in ran.lines)
        ran = command("dlq", "list", "--json", environment=queues.environment)
        assert ran.out.isascii()

    def test_a_long_body_is_shortened_for_people_only(self, queues: Queues, command: Command) -> None:
        queues.reject("x" * 1_234)
        ran = command("dlq", "list", environment=queues.environment)
        assert ran.lines[1] == "      " + "x" * 1_000 + "… (234 characters more)"
        (record,) = records(command("dlq", "list", "--json", environment=queues.environment))
        assert record["body"] == "x" * 1_234

    def test_broken_attributes_count_as_missing(self, queues: Queues, command: Command) -> None:
        strange = {
            "receiveCount": {"DataType": "String", "StringValue": "many"},
            "rejectedAt": {"DataType": "String", "StringValue": "yesterday"},
            "rejectionReason": {"DataType": "Binary", "BinaryValue": b"\xff"},
        }
        queues.sqs.send_message(QueueUrl=queues.dlq_url, MessageBody="x", MessageAttributes=strange)
        (record,) = records(command("dlq", "list", "--json", environment=queues.environment))
        assert (record["outcome"], record["receiveCount"], record["rejectedAt"]) == ("unmarked", None, None)

    def test_the_redrive_policy_leads_to_the_queue(self, queues: Queues, command: Command) -> None:
        queues.reject("here")
        del queues.environment["SQS_EXPORT_EVENTS_DLQ_URL"]
        ran = command("dlq", "list", environment=queues.environment)
        assert ran.lines[1].strip() == "here"

    def test_the_setting_alone_is_enough(self, queues: Queues, command: Command) -> None:
        del queues.environment["SQS_EXPORT_EVENTS_QUEUE_URL"]
        assert command("dlq", "list", environment=queues.environment).status == 0

    def test_of_a_fifo_queue_it_says_that_there_is_more(self, fifo_queues: Queues, command: Command) -> None:
        for number in range(12):
            fifo_queues.reject(f"body {number}")
        ran = command("dlq", "list", "--json", environment=fifo_queues.environment)
        assert [record["body"] for record in records(ran)] == [f"body {number}" for number in range(10)]
        assert ran.err.startswith("10 of about 12 messages: the others are")
        assert fifo_queues.waiting(fifo_queues.dlq_url) == (12, 0)

    @pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_interrupted_it_gives_everything_back(
        self, queues: Queues, tmp_path: Path, ending: signal.Signals
    ) -> None:
        for _ in range(12):
            queues.reject("x" * 20_000)  # more than a pipe holds: it blocks in the middle
        with start("dlq", "list", "--json", environment=queues.environment, cwd=tmp_path) as process:
            assert process.stdout is not None
            process.stdout.read(1)
            assert queues.waiting(queues.dlq_url)[1] > 0
            process.send_signal(ending)
            _, err = process.communicate(timeout=30)
        assert (process.returncode, err) == (130, b"")
        assert queues.waiting(queues.dlq_url) == (12, 0)

    def test_a_reader_that_leaves_ends_it_and_everything_is_given_back(
        self, queues: Queues, tmp_path: Path
    ) -> None:
        for _ in range(12):
            queues.reject("x" * 20_000)  # more than a pipe holds: it blocks in the middle
        with start("dlq", "list", "--json", environment=queues.environment, cwd=tmp_path) as process:
            assert process.stdout is not None
            process.stdout.read(1)
            process.stdout.close()
            assert process.stderr is not None
            assert process.stderr.read() == b""
        assert process.returncode == 1
        assert queues.waiting(queues.dlq_url) == (12, 0)


class TestRedrive:
    def test_only_the_body_goes_back(self, queues: Queues, command: Command) -> None:
        body = event()
        queues.reject(body)
        ran = command("dlq", "redrive", environment=queues.environment)
        assert (ran.status, ran.out, ran.err) == (0, "sent back 1 message\n", "")
        (message,) = queues.sent_back()
        assert message["Body"] == body
        assert "MessageAttributes" not in message
        assert queues.left() == []

    def test_many_pages_go_back(self, queues: Queues, command: Command) -> None:
        for number in range(33):
            queues.reject(event(f"req-{number}"))
        ran = command("dlq", "redrive", environment=queues.environment)
        assert ran.out == "sent back 33 messages\n"
        assert len(queues.sent_back()) == 33
        assert queues.waiting(queues.dlq_url) == (0, 0)

    def test_copies_of_one_message_go_once(self, queues: Queues, command: Command) -> None:
        body, other = event("a"), event("b")
        for _ in range(12):  # on more than one page
            queues.reject(body, source="one")
        queues.reject(other, source="one")  # the same source, another message
        ran = command("dlq", "redrive", environment=queues.environment)
        assert ran.lines == ["sent back 2 messages", "  11 more were copies of these, and are removed"]
        assert sorted(message["Body"] for message in queues.sent_back()) == sorted([body, other])
        assert queues.waiting(queues.dlq_url) == (0, 0)

    def test_an_expired_event_stays_and_the_exit_status_says_so(
        self, queues: Queues, command: Command
    ) -> None:
        expired, alive = event("old", age=EXPIRED), event("new")
        queues.reject(expired, "conflict")
        queues.reject(alive, "conflict")
        ran = command("dlq", "redrive", environment=queues.environment)
        assert ran.status == 1
        assert ran.lines == [
            "sent back 1 message",
            "  1 stay, expired: --include-expired sends them too",
        ]
        assert queues.waiting(queues.dlq_url) == (1, 0)
        assert [message["Body"] for message in queues.sent_back()] == [alive]
        ran = command("dlq", "redrive", "--include-expired", environment=queues.environment)
        assert ran.status == 0
        assert [message["Body"] for message in queues.sent_back()] == [expired]

    def test_an_event_without_created_at_expires_by_when_it_occurred(
        self, queues: Queues, command: Command
    ) -> None:
        queues.reject(event(age=EXPIRED, status="processing"), "early")
        assert command("dlq", "redrive", environment=queues.environment).status == 1

    def test_the_ttl_setting_decides_what_is_expired(self, queues: Queues, command: Command) -> None:
        queues.reject(event(age=EXPIRED))
        settings = {"EXPORT_STATUS_TTL_SECONDS": "7200"}
        assert command("dlq", "redrive", environment=queues.environment | settings).status == 0

    def test_refused_audit_entries_stay_and_are_counted(self, queues: Queues, command: Command) -> None:
        queues.reject('{"auditId": "1"}', "audit_quarantined")
        ran = command("dlq", "redrive", environment=queues.environment)
        assert ran.status == 1
        assert ran.lines[1] == "  1 stay, refused audit entries: they are no events"
        assert queues.sent_back() == []
        assert queues.waiting(queues.dlq_url) == (1, 0)

    def test_only_the_outcomes_asked_for_go_back(self, queues: Queues, command: Command) -> None:
        for outcome in ("invalid", "conflict", "early", None, "audit_quarantined"):
            queues.reject(event(str(outcome)), outcome)
        arguments = ("dlq", "redrive", "--outcome", "early", "--outcome", "unmarked")
        ran = command(*arguments, environment=queues.environment)
        assert ran.status == 0
        assert ran.lines == ["sent back 2 messages", "  3 stay, of other outcomes"]
        sent = {json.loads(message["Body"])["requestId"] for message in queues.sent_back()}
        assert sent == {"early", "None"}
        assert queues.waiting(queues.dlq_url) == (3, 0)

    def test_a_dry_run_changes_nothing(self, queues: Queues, command: Command) -> None:
        queues.reject(event("a"), source="one")
        queues.reject(event("a", age=EXPIRED))
        ran = command("dlq", "redrive", "--dry-run", environment=queues.environment)
        assert ran.status == 1
        assert ran.lines[0] == "would send back 1 message"
        assert queues.waiting(queues.dlq_url) == (2, 0)
        assert queues.waiting(queues.url) == (0, 0)

    def test_json_gives_the_counts(self, queues: Queues, command: Command) -> None:
        queues.reject("no event at all")
        queues.reject(event(age=EXPIRED))
        ran = command("dlq", "redrive", "--json", environment=queues.environment)
        (counts,) = records(ran)
        assert {name: count for name, count in counts.items() if count} == {"sent": 1, "expired": 1}
        assert counts["dryRun"] is False

    def test_on_fifo_the_group_stays_and_the_deduplication_id_is_fresh(
        self, fifo_queues: Queues, command: Command
    ) -> None:
        body = event()
        first = {"MessageGroupId": "exports", "MessageDeduplicationId": "d1"}
        source = fifo_queues.sqs.send_message(QueueUrl=fifo_queues.url, MessageBody=body, **first)
        fifo_queues.sent_back()
        fifo_queues.reject(body, "conflict", source=source["MessageId"], group="exports")
        ran = command("dlq", "redrive", environment=fifo_queues.environment)
        assert ran.status == 0
        (message,) = fifo_queues.sent_back()
        assert message["Attributes"]["MessageGroupId"] == "exports"
        assert message["Attributes"]["MessageDeduplicationId"] != "d1"

    def test_on_fifo_more_than_a_page_of_one_group_goes_back_in_order(
        self, fifo_queues: Queues, command: Command
    ) -> None:
        bodies = [event(f"req-{number}") for number in range(23)]
        for body in bodies:
            fifo_queues.reject(body)
        assert command("dlq", "redrive", environment=fifo_queues.environment).status == 0
        assert [message["Body"] for message in fifo_queues.sent_back()] == bodies

    def test_what_cannot_be_deleted_is_still_there_and_said(self, queues: Queues, command: Command) -> None:
        queues.reject(event())
        with refusing_proxy(
            queues.environment["AWS_ENDPOINT_URL"], "AmazonSQS.DeleteMessageBatch"
        ) as endpoint_url:
            settings = queues.environment | {"AWS_ENDPOINT_URL": endpoint_url}
            ran = command("dlq", "redrive", environment=settings)
        assert ran.status == 1
        assert ran.lines == [
            "sent back 0 messages",
            "  1 were sent, but are still here: sending them once more is harmless",
        ]
        assert queues.waiting(queues.dlq_url) == (1, 0)
        assert len(queues.sent_back()) == 1

    def test_on_fifo_a_letter_that_was_sent_but_not_deleted_does_not_go_twice(
        self, fifo_queues: Queues, command: Command
    ) -> None:
        fifo_queues.reject(event())
        with refusing_proxy(
            fifo_queues.environment["AWS_ENDPOINT_URL"], "AmazonSQS.DeleteMessageBatch"
        ) as endpoint_url:
            settings = fifo_queues.environment | {"AWS_ENDPOINT_URL": endpoint_url}
            assert command("dlq", "redrive", environment=settings).status == 1
        assert command("dlq", "redrive", environment=fifo_queues.environment).status == 0
        assert len(fifo_queues.sent_back()) == 1

    def test_nothing_is_lost_when_the_event_queue_takes_nothing(
        self, queues: Queues, command: Command
    ) -> None:
        queues.reject(event())
        with refusing_proxy(
            queues.environment["AWS_ENDPOINT_URL"], "AmazonSQS.SendMessageBatch"
        ) as endpoint_url:
            settings = queues.environment | {"AWS_ENDPOINT_URL": endpoint_url}
            ran = command("dlq", "redrive", environment=settings)
        assert ran.status == 1
        assert ran.err == (
            "export-status: the event queue: AWS refuses, check credentials and permissions"
            " (SendMessageBatch: AccessDeniedException)\n"
        )
        assert queues.waiting(queues.dlq_url) == (1, 0)

    @pytest.mark.parametrize("step", ["send", "delete"])
    def test_nothing_is_lost_when_it_is_interrupted(
        self, queues: Queues, command: Command, monkeypatch: pytest.MonkeyPatch, step: str
    ) -> None:
        def interrupt(*_: object) -> None:
            raise KeyboardInterrupt

        target = (
            "processor.cli.dlq_redrive.send_batch" if step == "send" else "processor.cli.dlq_walk.Walk.delete"
        )
        monkeypatch.setattr(target, interrupt)
        queues.reject(event())
        ran = command("dlq", "redrive", environment=queues.environment)
        assert (ran.status, ran.out) == (130, "sent back 0 messages\n")
        assert queues.waiting(queues.dlq_url) == (1, 0)

    def test_what_the_event_queue_refuses_for_its_size_stays(self, queues: Queues, command: Command) -> None:
        queues.sqs.set_queue_attributes(QueueUrl=queues.url, Attributes={"MaximumMessageSize": "1024"})
        queues.reject(event("big", fileName="x" * 1_000))
        queues.reject(event("small"))
        ran = command("dlq", "redrive", environment=queues.environment)
        assert ran.status == 1
        assert ran.lines == [
            "sent back 1 message",
            "  1 stay, the event queue refuses them: see its maximum message size",
        ]
        assert [json.loads(body)["requestId"] for body in queues.left()] == ["big"]

    def test_what_comes_back_is_not_sent_again_and_again(self, queues: Queues, command: Command) -> None:
        queues.reject(event())
        both = queues.environment | {"SQS_EXPORT_EVENTS_QUEUE_URL": queues.dlq_url}
        ran = command("dlq", "redrive", "--json", environment=both)  # a queue that rejects at once
        (counts,) = records(ran)
        assert (counts["sent"], counts["cameBack"]) == (1, 1)
        assert queues.waiting(queues.dlq_url) == (1, 0)


class TestMistakes:
    @pytest.mark.parametrize("arguments", [("dlq", "list"), ("dlq", "redrive")])
    def test_no_dead_letter_queue_at_all_is_exit_2(
        self, queues: Queues, command: Command, arguments: Sequence[str]
    ) -> None:
        queues.sqs.set_queue_attributes(QueueUrl=queues.url, Attributes={"RedrivePolicy": ""})
        del queues.environment["SQS_EXPORT_EVENTS_DLQ_URL"]
        ran = command(*arguments, environment=queues.environment)
        assert ran.status == 2
        assert ran.err.startswith("export-status: SQS_EXPORT_EVENTS_DLQ_URL must be set")

    @pytest.mark.parametrize("arguments", [("dlq", "list"), ("dlq", "redrive")])
    def test_a_queue_that_the_policy_names_in_vain_is_one_line(
        self, queues: Queues, command: Command, arguments: Sequence[str]
    ) -> None:
        queues.sqs.delete_queue(QueueUrl=queues.dlq_url)
        del queues.environment["SQS_EXPORT_EVENTS_DLQ_URL"]
        ran = command(*arguments, environment=queues.environment)
        assert ran.status == 1
        (line,) = ran.err.splitlines()
        assert line.startswith(
            "export-status: the dead-letter queue does not exist in this region and account (GetQueueUrl:"
        )

    def test_a_queue_that_is_not_there_is_one_line(self, queues: Queues, command: Command) -> None:
        settings = queues.environment | {"SQS_EXPORT_EVENTS_DLQ_URL": queues.dlq_url + "x"}
        ran = command("dlq", "list", environment=settings)
        assert ran.status == 1
        assert ran.err.startswith("export-status: the dead-letter queue does not exist")

    def test_an_outcome_that_there_is_not_is_exit_2(self, queues: Queues, command: Command) -> None:
        ran = command("dlq", "redrive", "--outcome", "audit_quarantined", environment=queues.environment)
        assert ran.status == 2
        assert ran.err == (
            "export-status: --outcome must be one of invalid, conflict, early, retry, unmarked\n"
        )

    def test_redrive_needs_the_event_queue(self, queues: Queues, command: Command) -> None:
        del queues.environment["SQS_EXPORT_EVENTS_QUEUE_URL"]
        ran = command("dlq", "redrive", environment=queues.environment)
        assert ran.status == 2
        assert ran.err.startswith("export-status: SQS_EXPORT_EVENTS_QUEUE_URL must be set")
