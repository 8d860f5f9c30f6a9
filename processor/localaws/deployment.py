"""Deploys `infra/data.yaml` into an emulator and sets what its CloudFormation leaves out.

The values come from the same template, so the two cannot drift.
"""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import yaml

from processor.localaws.clients import emulator_client

STACK = "export-status-data"


def deploy(endpoint_url: str) -> dict[str, str]:
    """Creates the data plane's stack and waits until it is complete.

    Returns:
        Names and addresses of the resources, as in `embedded_aws.Deployment`.

    Raises:
        botocore.exceptions.ClientError: if the emulator refuses the template.
        botocore.exceptions.WaiterError: if a resource could not be created.
    """
    template = (files("infra") / "data.yaml").read_text(encoding="utf-8")
    cloudformation = emulator_client("cloudformation", endpoint_url)
    cloudformation.create_stack(StackName=STACK, TemplateBody=template)
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName=STACK, WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
    _complete(yaml.safe_load(template), endpoint_url)
    [stack] = cloudformation.describe_stacks(StackName=STACK)["Stacks"]
    outputs = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
    sqs = emulator_client("sqs", endpoint_url)
    return {
        "table": outputs["TableName"],
        "leases_table": outputs["LeasesTableName"],
        # The outputs hold AWS's addresses, so the queues are looked up by name at the emulator.
        "queue_url": sqs.get_queue_url(QueueName=outputs["EventsQueueUrl"].rpartition("/")[2])["QueueUrl"],
        "dlq_url": sqs.get_queue_url(QueueName=outputs["DeadLetterQueueUrl"].rpartition("/")[2])["QueueUrl"],
        "audit_stream": outputs["AuditStreamName"],
    }


def _complete(template: Mapping[str, Any], endpoint_url: str) -> None:
    def name(reference: Mapping[str, str]) -> str:
        return str(template["Parameters"][reference["Ref"]]["Default"])

    for resource in template["Resources"].values():
        properties = resource["Properties"]
        if resource["Type"] == "AWS::DynamoDB::Table":
            _complete_table(name(properties["TableName"]), properties, endpoint_url)
        elif resource["Type"] == "AWS::Kinesis::Stream":
            _complete_stream(name(properties["Name"]), properties, endpoint_url)


def _complete_table(name: str, properties: Mapping[str, Any], endpoint_url: str) -> None:
    dynamodb = emulator_client("dynamodb", endpoint_url)
    ttl = properties.get("TimeToLiveSpecification")
    if ttl is not None:
        dynamodb.update_time_to_live(TableName=name, TimeToLiveSpecification=ttl)
    recovery = properties.get("PointInTimeRecoverySpecification")
    if recovery is not None:
        dynamodb.update_continuous_backups(TableName=name, PointInTimeRecoverySpecification=recovery)


def _complete_stream(name: str, properties: Mapping[str, Any], endpoint_url: str) -> None:
    kinesis = emulator_client("kinesis", endpoint_url)
    arn = kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["StreamARN"]
    kinesis.update_stream_mode(StreamARN=arn, StreamModeDetails=properties["StreamModeDetails"])
    kinesis.start_stream_encryption(StreamName=name, **properties["StreamEncryption"])
