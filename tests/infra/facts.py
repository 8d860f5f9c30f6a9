"""What a resource consists of, in words that both forms share: pairs of an argument's name and its value.

CloudFormation and Terraform (hashicorp/aws 6) nest arguments differently. `terraform validate` and cfn-lint
show that each stands in its place; so the facts of nested blocks are those of the resource, and the items of
a list stay together.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from tests.infra.cloudformation import alarms, resources

Fact = tuple[str, str]

ADDRESSES = {
    "StatusTable": "aws_dynamodb_table.status",
    "LeasesTable": "aws_dynamodb_table.leases",
    "EventsQueue": "aws_sqs_queue.events",
    "DeadLetterQueue": "aws_sqs_queue.dead_letter",
    "EventsQueuePolicy": "aws_sqs_queue_policy.events",
    "DeadLetterQueuePolicy": "aws_sqs_queue_policy.dead_letter",
    "AuditStream": "aws_kinesis_stream.audit",
    "Cluster": "aws_ecs_cluster.this",
    "LogGroup": "aws_cloudwatch_log_group.this",
    "TaskRole": "aws_iam_role.task",
    "ExecutionRole": "aws_iam_role.execution",
    "TaskSecurityGroup": "aws_security_group.tasks",
    "StreamsEndpointSecurityGroup": "aws_security_group.streams_endpoint",
    "DynamoDBStreamsEndpoint": "aws_vpc_endpoint.streams",
    "TaskDefinition": "aws_ecs_task_definition.this",
    "ProbeRole": "aws_iam_role.probe",
    "ProbeTaskDefinition": "aws_ecs_task_definition.probe",
    "ProbeScheduleRole": "aws_iam_role.probe_schedule",
    "ProbeRule": "aws_cloudwatch_event_rule.probe",
    **{
        f"Operator{each.capitalize()}Policy": f'aws_iam_policy.operator["{each}"]'
        for each in ("look", "redrive", "replay")
    },
    "LagScalingAlarm": "aws_cloudwatch_metric_alarm.lag_scaling",
    "Service": "aws_ecs_service.this",
    "ScalableTarget": "aws_appautoscaling_target.this",
    "BacklogScaling": "aws_appautoscaling_policy.backlog",
    "LagScaling": "aws_appautoscaling_policy.lag",
    "Dashboard": "aws_cloudwatch_dashboard.this",
    "AlarmTopicAccess": "aws_sns_topic_policy.alarms",
}


def address(logical_id: str) -> str:
    """The Terraform address that stands for a CloudFormation resource."""
    if logical_id in ADDRESSES:
        return ADDRESSES[logical_id]
    if logical_id.endswith("Alarm"):
        group = "deployment" if logical_id in resources("service.yaml") else "this"
        if "Metrics" in alarms()[logical_id]:
            group = "deployment_math" if group == "deployment" else "math"
        return f'aws_cloudwatch_metric_alarm.{group}["{kebab(logical_id.removesuffix("Alarm"))}"]'
    assert logical_id.endswith("Rule")
    return f'aws_cloudwatch_event_rule.reports["{kebab(logical_id.removesuffix("Rule"))}"]'


def kebab(name: str) -> str:
    """`TableName` as names of alarms and rules spell it: `table-name`."""
    return snake(name).replace("_", "-")


def snake(name: str) -> str:
    """`TableName` as Terraform spells it: `table_name`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


# Where the forms have other names than each other, both are respelled to the right-hand side.
NAMES = {
    "assume_role_policy_document": "assume_role_policy",
    "attribute_type": "type",
    "cidr_ip": "cidr_ipv4",
    "enable_ecsmanaged_tags": "enable_ecs_managed_tags",
    "group_description": "description",
    "hash_key": "name",
    "key_id": "kms_key_id",
    "maximum_message_size": "max_message_size",
    "maximum_percent": "deployment_maximum_percent",
    "message_retention_period": "message_retention_seconds",
    "minimum_healthy_percent": "deployment_minimum_healthy_percent",
    "okactions": "ok_actions",
    "point_in_time_recovery_enabled": "enabled",
    "policy_document": "policy",
    "queues": "queue_url",
    "receive_message_wait_time_seconds": "receive_wait_time_seconds",
    "retention_period_hours": "retention_period",
    "scaling_target_id": "resource_id",
    "source_security_group_id": "referenced_security_group_id",
    "sseenabled": "enabled",
    "target_id": "id",
    "topics": "arn",
    "visibility_timeout": "visibility_timeout_seconds",
}
DOCUMENTS = {
    *("assume_role_policy", "container_definitions", "dashboard_body", "event_pattern", "policy"),
    *("redrive_allow_policy", "redrive_policy"),
}
"""Arguments that are JSON in AWS's spelling, and are compared as they are."""


def facts(arguments: dict[str, Any]) -> Iterator[Fact]:
    """The facts of arguments whose references are spelled in one way."""
    for key, value in arguments.items():
        name = re.sub(r"^\w+_name$", "name", NAMES.get(snake(key), snake(key)))
        # A block; or a conditional one, as it is where it is there.
        block = value.get("sometimes", value) if isinstance(value, dict) and "one" not in value else None
        if name in DOCUMENTS:
            document = json.loads(value) if isinstance(value, str) else value
            spelled = _camel(document) if name == "container_definitions" else document
            yield name, json.dumps(spelled, sort_keys=True)
        elif isinstance(block, dict):
            yield from facts(block)
        elif isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
            yield from _of_blocks(value)
        else:
            yield name, str(value[0] if isinstance(value, list) and len(value) == 1 else value)


def _of_blocks(blocks: list[dict[str, Any]]) -> Iterator[Fact]:
    if {*map(snake, blocks[0])} == {"name", "value"}:  # a mapping, written as a list
        pairs = [{snake(key): value for key, value in each.items()} for each in blocks]
        yield from facts({each["name"]: each["value"] for each in pairs})
    elif len(blocks) == 1:
        yield from facts(blocks[0])
    else:
        yield from (("item", str(sorted(facts(each)))) for each in blocks)


def _camel(value: Any) -> Any:
    """A container definition in the API's spelling; names of log options and such stay as they are."""
    if isinstance(value, list):
        return [_camel(item) for item in value]
    if isinstance(value, dict):
        return {key[0].lower() + key[1:]: _camel(item) for key, item in value.items()}
    return value
