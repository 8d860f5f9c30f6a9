"""A history with repeats, reordering, conflicts, poison and expiry goes through both functions.

It leaves what `run` must leave: the checker is that of the fault schedules.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import cycle

import pytest

from processor.aws_lambda.audit import RESERVED_SECONDS
from processor.localaws.embedded_aws import EmbeddedAws
from processor.transitions.context import Clocks
from tests.aws_lambda.functions import Deployed
from tests.aws_lambda.mapping import QueueMapping, Record, send_stream, stream_record
from tests.faults.checker import DeadLetter, Delivered, Item, Observed, check
from tests.faults.expected import DeletedByHand, Sent
from tests.faults.fleet import logged_entries
from tests.faults.traffic import TTL_SECONDS, Message, Traffic, traffic
from tests.resources import drained_messages, items_of, stream_arn, stream_records

ENDS_AFTER_SECONDS = 30.0


class History:
    """Queue, table and audit stream, both functions, and a clock that the test sets.

    The table has no TTL, so nothing depends on how long the test takes: the test deletes what has expired.
    """

    def __init__(self, aws: EmbeddedAws, seed: int, *, fifo: bool) -> None:
        self.dice = random.Random(seed)
        self.at = at = Deployed(aws, fifo=fifo)
        self.begins = self.now = datetime.now(UTC)
        self.ends = self.begins + timedelta(seconds=ENDS_AFTER_SECONDS)
        self.mapping = QueueMapping(
            at.sqs,
            at.queue_url,
            at.transitions(Clocks(now=lambda: self.now)),
            cut=lambda: self.dice.randint(1, 10),
            repeats=lambda: self.dice.random() < 0.15,
        )
        self.sent: list[Sent] = []
        self.deletions: list[DeletedByHand] = []
        self.items: dict[tuple[str, int], Item] = {}

    def send(self, messages: Sequence[Message]) -> None:
        """Sends messages, and polls until what can be settled is settled. The queue stays short."""
        for start in range(0, len(messages), 60):
            for message in messages[start : start + 60]:
                body, event = message.body, message.event
                more = {}
                if self.at.fifo:
                    group = event["requestId"] if event else f"poison-{len(self.sent)}"
                    more = {"MessageGroupId": group, "MessageDeduplicationId": f"{len(self.sent)}"}
                answer = self.at.sqs.send_message(QueueUrl=self.at.queue_url, MessageBody=body, **more)
                self.sent.append(Sent(answer["MessageId"], self.now.timestamp(), body, event))
            self.mapping.drain()

    def delete(self, request_ids: Sequence[str], *, by_ttl: bool, life: int) -> None:
        """Deletes items, as an operator or as DynamoDB's TTL."""
        found = items_of(self.at.aws.client, self.at.table)
        for request_id in request_ids:
            self.items[request_id, life] = found[request_id]
            self.at.dynamodb.delete_item(TableName=self.at.table, Key={"requestId": {"S": request_id}})
            if not by_ttl:
                self.deletions.append(DeletedByHand(request_id, self.now.timestamp()))

    def expire(self) -> None:
        """DynamoDB's TTL deletes everything."""
        again = {request_id for request_id, _ in self.items}
        found = items_of(self.at.aws.client, self.at.table)
        for life in (0, 1):
            self.delete([each for each in found if (each in again) is bool(life)], by_ttl=True, life=life)

    def removals(self) -> list[Record]:
        """The records of the table's stream, as the mapping sends them without its filter."""
        arn = stream_arn(self.at.aws.client, self.at.table)
        operators = {deletion.request_id for deletion in self.deletions}
        made: list[Record] = []
        for record in stream_records(self.at.aws.client, self.at.table):
            request_id = record["dynamodb"]["Keys"]["requestId"]["S"]
            by_hand = record["eventName"] == "REMOVE" and request_id in operators
            operators -= {request_id} if by_hand else set()
            made.append(stream_record(record, arn, by_ttl=record["eventName"] == "REMOVE" and not by_hand))
        return made

    def observed(self, log: str) -> Observed:
        """What is left, the entries from the audit stream and from the log."""
        letters = [
            DeadLetter(
                letter["Body"],
                {name: value["StringValue"] for name, value in letter["MessageAttributes"].items()},
            )
            for letter in drained_messages(self.at.aws.client, self.at.dlq_url)
        ]
        lines = [json.loads(line) for line in log.splitlines() if '"event":"audit"' in line]
        return Observed(
            items=self.items,
            dead_letters=letters,
            audit=[self._named(each) for each in (*self.at.in_kinesis(), *logged_entries(lines))],
            sinks=("kinesis", "log"),
            left_in_queue=len(self.mapping.receive()),
            left_in_table=[*items_of(self.at.aws.client, self.at.table)],
        )

    def _named(self, delivered: Delivered) -> Delivered:
        """The mapping tells no function the shard; the checker wants one."""
        source = delivered.entry["source"]
        assert source["shardId"] is None
        return replace(delivered, entry={**delivered.entry, "source": {**source, "shardId": "unknown"}})


def with_created_at(planned: Traffic) -> Traffic:
    """The traffic as a FIFO queue wants it: every event carries createdAt, and none is in an envelope."""
    created: dict[str, str] = {}
    for message in (*planned.timely, *planned.retold.values(), *planned.late):
        if (event := message.event) and (event.get("createdAt") or event["status"] == "pending"):
            created.setdefault(event["requestId"], event.get("createdAt") or event["occurredAt"])

    def stated(message: Message) -> Message:
        if message.event is None:
            return message
        first = created.get(message.event["requestId"], message.event["occurredAt"])
        event = {**message.event, "createdAt": message.event.get("createdAt") or first}
        return Message(message.after_seconds, json.dumps(event), event)

    return Traffic(
        tuple(map(stated, planned.timely)),
        {key: stated(message) for key, message in planned.retold.items()},
        tuple(map(stated, planned.late)),
    )


@pytest.mark.parametrize(("seed", "fifo"), [(1, False), (3, True)])
def test_a_history_through_both_functions_leaves_what_run_leaves(
    embedded_aws: EmbeddedAws, capsys: pytest.CaptureFixture[str], seed: int, fifo: bool
) -> None:
    history = History(embedded_aws, seed, fifo=fifo)
    planned = traffic(
        seed=seed, exports=30, messages=140, seconds=10.0, begins=history.begins, ends=history.ends
    )
    if fifo:
        planned = with_created_at(planned)
    history.send(planned.timely)
    history.now += timedelta(seconds=1)
    history.delete([*planned.retold], by_ttl=False, life=0)
    history.now += timedelta(seconds=1)
    history.send([*planned.retold.values()])
    history.now = history.ends + timedelta(seconds=10)
    history.send(planned.late)
    history.expire()
    records = history.removals()
    unfinished = send_stream(
        history.at.audit,
        records,
        iter(lambda: history.dice.randint(1, 25), 0),
        # Every other invocation has no time left, and the removals at the end take more than one.
        cycle((RESERVED_SECONDS, RESERVED_SECONDS + 0.01, RESERVED_SECONDS, 120.0)).__next__,
    )
    assert unfinished > 0
    start = history.dice.randrange(len(records))
    assert send_stream(history.at.audit, records[start : start + 20], iter(lambda: 7, 0), lambda: 120.0) == 0
    seen = history.observed(capsys.readouterr().out)
    report = check(history.sent, history.deletions, seen, TTL_SECONDS)
    assert report.is_clean, report.details(20)
