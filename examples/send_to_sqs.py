"""Sends the events of one export straight to the event queue.

python -m examples.send_to_sqs QUEUE_URL
"""

import argparse
import hashlib
import os
from typing import Any

import boto3

from examples.export_events import ExportJob, run


def send(sqs: Any, queue_url: str, job: ExportJob, event: str) -> None:
    """Sends one event. boto3 tries again by itself; a repeat does no harm.

    On a FIFO queue the events of one export form a group, and the same text is accepted once.
    """
    fifo = {}
    if queue_url.endswith(".fifo"):
        text_id = hashlib.sha256(event.encode()).hexdigest()
        fifo = {"MessageGroupId": job.request_id, "MessageDeduplicationId": text_id}
    sqs.send_message(QueueUrl=queue_url, MessageBody=event, **fifo)


def main(queue_url: str) -> None:
    """Sends a whole life; prints the export's id."""
    sqs = boto3.client("sqs", region_name=os.environ.get("AWS_REGION"))  # boto3 reads AWS_DEFAULT_REGION only
    job = ExportJob()
    for event in run(job):
        send(sqs, queue_url, job, event)
    print(job.request_id)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m examples.send_to_sqs")
    parser.add_argument("queue_url", metavar="QUEUE_URL")
    main(parser.parse_args().queue_url)
