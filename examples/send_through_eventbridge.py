"""Puts the events of one export on an EventBridge bus, from which a rule takes them to the event queue.

python -m examples.send_through_eventbridge BUS_NAME
"""

import argparse
import os

import boto3

from examples.export_events import ExportJob, run

SOURCE = "com.example.reports"
DETAIL_TYPE = "export status changed"


class NotPut(Exception):
    """EventBridge did not accept every event: PutEvents reports it in its answer, without raising."""


def main(bus_name: str) -> None:
    """Puts a whole life on the bus; prints the export's id."""
    events = boto3.client("events", region_name=os.environ.get("AWS_REGION"))
    job = ExportJob()
    answer = events.put_events(
        Entries=[
            {"EventBusName": bus_name, "Source": SOURCE, "DetailType": DETAIL_TYPE, "Detail": event}
            for event in run(job)
        ]
    )
    if answer["FailedEntryCount"]:
        raise NotPut(answer["FailedEntryCount"])  # keep the events, and put them again
    print(job.request_id)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m examples.send_through_eventbridge")
    parser.add_argument("bus_name", metavar="BUS_NAME")
    main(parser.parse_args().bus_name)
