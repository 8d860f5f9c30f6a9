"""Sends each message of the scenario at its time."""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from threading import Event
from typing import Any

from processor.aws.calls import call
from processor.demo.expectations import Sent
from processor.demo.scenario import Sending

SQS_MAX_BATCH = 10  # SendMessageBatch


def send_all(
    sqs: Any,
    queue_url: str,
    sendings: Sequence[Sending],
    *,
    start: datetime,
    stop: Event,
    on_sent: Callable[[Sequence[Sent]], None],
) -> None:
    """Sends every message at its time; returns when all are sent or `stop` is set.

    Args:
        sqs: a boto3 client.
        queue_url: the event queue.
        sendings: in the order of their times.
        start: the zero of their times.
        stop: ends it early.
        on_sent: called with each batch that the queue has accepted.

    Raises:
        RuntimeError: if the queue refuses a message.
        AwsError: if it refuses a whole batch.
    """
    for batch in _batches(sendings):
        # The last message of a batch sets its time, so no event is sent before it occurs.
        due = start.timestamp() + batch[-1].after_seconds
        if stop.wait(max(0.0, due - time.time())):
            return
        entries = [{"Id": str(number), "MessageBody": each.body} for number, each in enumerate(batch)]
        answer = call(sqs.send_message_batch, QueueUrl=queue_url, Entries=entries)
        if answer.get("Failed"):
            raise RuntimeError(f"the queue refused a message: {answer['Failed'][0]['Code']}")
        now = datetime.now(UTC)
        on_sent([Sent(each, now) for each in batch])


def _batches(sendings: Sequence[Sending]) -> Iterator[Sequence[Sending]]:
    """Neighbours at most a tenth of a second apart, up to ten."""
    batch: list[Sending] = []
    for sending in sendings:
        if batch and (len(batch) == SQS_MAX_BATCH or sending.after_seconds - batch[0].after_seconds > 0.1):
            yield batch
            batch = []
        batch.append(sending)
    if batch:
        yield batch
