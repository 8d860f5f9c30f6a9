"""Sends the events of one export to the event queue as CloudEvents 1.0, in structured mode.

python -m examples.send_cloud_events QUEUE_URL
"""

import argparse
import json
import os
import uuid

import boto3

from examples.export_events import ExportJob, run
from examples.send_to_sqs import send

SOURCE = "/reports"


def cloud_event(event: str) -> str:
    """The event in its envelope; `id` is the same whenever this text is sent."""
    data = json.loads(event)
    return json.dumps(
        {
            "specversion": "1.0",
            "id": data.get("eventId") or str(uuid.uuid4()),
            "source": SOURCE,
            "type": f"com.example.export.{data['status']}",
            "time": data["occurredAt"],
            "datacontenttype": "application/json",
            "data": data,
        }
    )


def main(queue_url: str) -> None:
    """Sends a whole life; prints the export's id."""
    sqs = boto3.client("sqs", region_name=os.environ.get("AWS_REGION"))  # boto3 reads AWS_DEFAULT_REGION only
    job = ExportJob()
    for event in run(job):
        send(sqs, queue_url, job, cloud_event(event))
    print(job.request_id)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m examples.send_cloud_events")
    parser.add_argument("queue_url", metavar="QUEUE_URL")
    main(parser.parse_args().queue_url)
