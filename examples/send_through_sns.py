"""Publishes the events of one export to an SNS topic that the event queue subscribes to.

    python -m examples.send_through_sns TOPIC_ARN

Raw message delivery may be on or off: the envelope is recognised.
"""

import argparse
import os

import boto3

from examples.export_events import ExportJob, run


def main(topic_arn: str) -> None:
    """Publishes a whole life; prints the export's id."""
    sns = boto3.client("sns", region_name=os.environ.get("AWS_REGION"))
    job = ExportJob()
    for event in run(job):
        sns.publish(TopicArn=topic_arn, Message=event)
    print(job.request_id)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m examples.send_through_sns")
    parser.add_argument("topic_arn", metavar="TOPIC_ARN")
    main(parser.parse_args().topic_arn)
