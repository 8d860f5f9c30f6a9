"""The few places where moto is made to behave like AWS.

- A long poll releases its turn while it waits, and a client that hangs up gets no message. moto would send
  the next message to the closed connection, where it stays invisible for the whole visibility timeout. For
  FIFO queues the locked groups are looked up again after each wait; moto looks them up once.
- A receive looks at each message in constant time. moto counts the whole queue several times for each.
- Old shard iterators are forgotten and answer ExpiredIteratorException; moto keeps every iterator and answers
  an unknown one with status 500.
- `ApproximateCreationDateTime` is in whole seconds; moto's has milliseconds.
- An UpdateItem that creates its item writes one stream record; moto writes a first one with the key alone.
"""

import select
import socket
import time
from typing import Any

import flask
from moto.core.exceptions import ServiceException
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.dynamo_type import Item
from moto.dynamodb.models.table import StreamShard
from moto.dynamodbstreams.models import DynamoDBStreamsBackend
from moto.sqs.models import Message, SQSBackend

from processor.localaws.turns import Turns

MAX_STAND_ASIDE_SECONDS = 0.25  # at most this late is a message received that becomes visible again
MAX_SHARD_ITERATORS = 10_000  # AWS forgets them after 15 minutes; about 1.5 KB each


class ExpiredIterator(ServiceException):
    """DynamoDB Streams' answer to an iterator that it has forgotten."""

    code = "ExpiredIteratorException"
    message = "Iterator expired"


def apply_moto_patches(turns: Turns) -> None:
    """Patches moto's classes, for the whole process."""
    _wait_aside(turns)
    _look_at_messages_fast()
    _forget_iterators()
    _stamp_whole_seconds()
    _insert_once()


def _wait_aside(turns: Turns) -> None:
    poll_once = SQSBackend.receive_message

    def receive_message(
        backend: SQSBackend, queue_name: str, count: int, wait_seconds: int, *rest: Any
    ) -> list[Message]:
        deadline = time.monotonic() + wait_seconds
        while True:
            _check_client()
            messages = poll_once(backend, queue_name, count, 0, *rest)
            left = deadline - time.monotonic()
            if messages or left <= 0:
                return messages
            turns.stand_aside(min(left, MAX_STAND_ASIDE_SECONDS))

    backends: Any = SQSBackend
    backends.receive_message = receive_message


def _check_client() -> None:
    """Raises ConnectionAbortedError if the client of the present request has hung up."""
    connection: socket.socket = flask.request.environ["werkzeug.socket"]
    readable, _, _ = select.select([connection], [], [], 0)
    if readable and connection.recv(1, socket.MSG_PEEK) == b"":
        raise ConnectionAbortedError


def _look_at_messages_fast() -> None:
    def is_retained(backend: SQSBackend, queue_name: str, message: Message) -> bool:
        queue: Any = backend.get_queue(queue_name)  # Any: it sets its attributes by name
        kept_until: float = int(message.sent_timestamp or 0) / 1_000 + queue.message_retention_period
        return kept_until > time.time()

    backends: Any = SQSBackend
    backends.is_message_valid_based_on_retention_period = is_retained
    messages: Any = Message
    messages.visible = property(lambda message: time.time() * 1_000 > message.visible_at)
    messages.delayed = property(lambda message: time.time() * 1_000 < message.delayed_until)


def _forget_iterators() -> None:
    read_page = DynamoDBStreamsBackend.get_records

    def get_records(backend: DynamoDBStreamsBackend, iterator_arn: str, limit: int) -> dict[str, Any]:
        if iterator_arn not in backend.shard_iterators:
            raise ExpiredIterator
        while len(backend.shard_iterators) > MAX_SHARD_ITERATORS:
            backend.shard_iterators.pop(next(iter(backend.shard_iterators)))
        return read_page(backend, iterator_arn, limit)

    backends: Any = DynamoDBStreamsBackend
    backends.get_records = get_records


def _stamp_whole_seconds() -> None:
    append = StreamShard.add

    def add(shard: StreamShard, old: Any, new: Any) -> None:
        append(shard, old, new)
        change = shard.items[-1].record["dynamodb"]
        change["ApproximateCreationDateTime"] = change["ApproximateCreationDateTime"].replace(microsecond=0)

    shards: Any = StreamShard
    shards.add = add


def _insert_once() -> None:
    update = DynamoDBBackend.update_item

    def update_item(backend: DynamoDBBackend, table_name: str, *positional: Any, **named: Any) -> Item:
        shard = backend.get_table(table_name).stream_shard
        before = len(shard.items) if shard else 0
        item = update(backend, table_name, *positional, **named)
        if shard and len(shard.items) == before + 2:
            bare = shard.items.pop(before)
            shard.items[before].record["dynamodb"]["SequenceNumber"] = bare.record["dynamodb"][
                "SequenceNumber"
            ]
        return item

    backends: Any = DynamoDBBackend
    backends.update_item = update_item
