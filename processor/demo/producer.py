"""Sends each message of the scenario at its time."""

import time
from collections.abc import Callable, Sequence
from itertools import groupby
from threading import Event
from typing import Any

from processor.aws.sqs import batch_call
from processor.demo.scenario import Sending

BATCHES_PER_SECOND = 10


def send_all(
    sqs: Any,
    queue_url: str,
    sendings: Sequence[Sending],
    *,
    stop: Event,
    on_sent: Callable[[Sequence[Sending]], object],
) -> None:
    """Sends every message at its time; returns when all are sent or `stop` is set.

    Args:
        sqs: a boto3 client.
        queue_url: the event queue.
        sendings: in the order of their times.
        stop: ends it early.
        on_sent: called with each batch that the queue has accepted.

    Raises:
        RuntimeError: if the queue does not accept a message.
    """
    for _, neighbours in groupby(sendings, lambda each: int(each.at.timestamp() * BATCHES_PER_SECOND)):
        batch = list(neighbours)
        # The last message of a batch sets its time, so no event is sent before it occurs.
        if stop.wait(max(0.0, batch[-1].at.timestamp() - time.time())):
            return
        entries = [{"MessageBody": each.body} for each in batch]
        if batch_call(sqs.send_message_batch, queue_url, entries, stop=stop).not_taken:
            raise RuntimeError("the queue does not accept a message")
        on_sent(batch)
