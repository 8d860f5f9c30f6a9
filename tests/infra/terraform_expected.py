"""What Terraform must say for each CloudFormation resource, in the words of hashicorp/aws 6.

Every property becomes an argument, respelled; the comparison of all arguments cannot overlook one.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

from tests.infra.cloudformation import alarms, resources

Properties = dict[str, Any]
Resources = dict[str, Properties]

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


def expected(logical_id: str, kind: str, properties: Properties) -> Iterator[tuple[str, Properties]]:
    """The Terraform resources, as address and arguments, that one CloudFormation resource stands for."""
    yield from _CONVERSIONS.get(kind, _plain)(address(logical_id), properties)


# Names that are not CloudFormation's in snake case.
NAMES = {
    **dict.fromkeys(
        ("TableName", "QueueName", "ClusterName", "LogGroupName", "ServiceName", "PolicyName"), "name"
    ),
    "AssumeRolePolicyDocument": "assume_role_policy",
    "CidrIp": "cidr_ipv4",
    "ClusterSettings": "setting",
    "EnableECSManagedTags": "enable_ecs_managed_tags",
    "GroupDescription": "description",
    "KeyId": "kms_key_id",
    "MaximumMessageSize": "max_message_size",
    "MaximumPercent": "deployment_maximum_percent",
    "MessageRetentionPeriod": "message_retention_seconds",
    "MinimumHealthyPercent": "deployment_minimum_healthy_percent",
    "OKActions": "ok_actions",
    "PointInTimeRecoveryEnabled": "enabled",
    "PointInTimeRecoverySpecification": "point_in_time_recovery",
    "PolicyDocument": "policy",
    "ReceiveMessageWaitTimeSeconds": "receive_wait_time_seconds",
    "RetentionPeriodHours": "retention_period",
    "SourceSecurityGroupId": "referenced_security_group_id",
    "StepAdjustments": "step_adjustment",
    "TimeToLiveSpecification": "ttl",
    "VisibilityTimeout": "visibility_timeout_seconds",
    "Volumes": "volume",
}
# JSON in Terraform too, in the spelling of the API.
DOCUMENTS = {
    *("AssumeRolePolicyDocument", "EventPattern", "PolicyDocument", "RedriveAllowPolicy", "RedrivePolicy"),
}


def _converted(value: Any) -> Any:
    """Properties as arguments: names respelled, and a mapping as a block."""
    if isinstance(value, list):
        return [_converted(item) for item in value]
    if not isinstance(value, dict) or "if" in value:
        return value
    return {
        NAMES.get(key) or snake(key): inner
        if key in DOCUMENTS
        else [_converted(inner)]
        if isinstance(inner, dict) and "if" not in inner
        else _converted(inner)
        for key, inner in value.items()
    }


def _camel(value: Any) -> Any:
    """A container definition in the API's spelling; names of log options and such stay as they are."""
    if isinstance(value, list):
        return [_camel(item) for item in value]
    if isinstance(value, dict):
        return {key[0].lower() + key[1:]: _camel(item) for key, item in value.items()}
    return value


def _plain(at: str, p: Properties) -> Iterator[tuple[str, Properties]]:
    yield at, _converted(p)


def _table(at: str, p: Properties) -> Iterator[tuple[str, Properties]]:
    (key,) = p.pop("KeySchema")
    assert key["KeyType"] == "HASH"
    attributes = p.pop("AttributeDefinitions")
    arguments: Properties = {
        "hash_key": key["AttributeName"],
        "attribute": [{"name": a["AttributeName"], "type": a["AttributeType"]} for a in attributes],
        "server_side_encryption": [
            {"enabled": p.pop("SSESpecification") == {"SSEEnabled": True, "SSEType": "KMS"}}
        ],
    }
    if "StreamSpecification" in p:
        arguments |= {"stream_enabled": True, **_converted(p.pop("StreamSpecification"))}
    yield at, arguments | _converted(p)


def _queue(at: str, p: Properties) -> Iterator[tuple[str, Properties]]:
    if "RedriveAllowPolicy" in p:
        yield (
            at.replace("aws_sqs_queue", "aws_sqs_queue_redrive_allow_policy"),
            {"queue_url": f"<{at}>", "redrive_allow_policy": p.pop("RedriveAllowPolicy")},
        )
    yield at, _converted(p)


def _queue_policy(at: str, p: Properties) -> Iterator[tuple[str, Properties]]:
    (queue,) = p.pop("Queues")
    yield at, {"queue_url": queue, **_converted(p)}


def _stream(at: str, p: Properties) -> Iterator[tuple[str, Properties]]:
    yield at, {**_converted(p.pop("StreamEncryption")), **_converted(p)}


def _log_group(at: str, p: Properties) -> Iterator[tuple[str, Properties]]:
    yield at, {"skip_destroy": True, **_converted(p)}


def _role(at: str, p: Properties) -> Iterator[tuple[str, Properties]]:
    (policy,) = p.pop("Policies")
    yield at.replace("aws_iam_role", "aws_iam_role_policy"), {"role": f"<{at}>", **_converted(policy)}
    yield at, _converted(p)


def _security_group(at: str, p: Properties) -> Iterator[tuple[str, Properties]]:
    _, name = at.split(".")
    for direction in ("ingress", "egress"):
        for rule in p.pop(f"SecurityGroup{direction.capitalize()}", []):
            if rule.get("CidrIp") == "127.0.0.1/32":
                continue  # CloudFormation's way to say "no rule"; Terraform makes none by itself
            yield (
                f"aws_vpc_security_group_{direction}_rule.{name}_https",
                {"security_group_id": f"<{at}>", **_converted(rule)},
            )
    yield at, _converted(p)


def _endpoint(at: str, p: Properties) -> Iterator[tuple[str, Properties]]:
    yield at, {"service_name": p.pop("ServiceName"), **_converted(p)}


def _task_definition(at: str, p: Properties) -> Iterator[tuple[str, Properties]]:
    yield at, {"container_definitions": _camel(p.pop("ContainerDefinitions")), **_converted(p)}


def _service(at: str, p: Properties) -> Iterator[tuple[str, Properties]]:
    deployment = p.pop("DeploymentConfiguration")
    network = p.pop("NetworkConfiguration")["AwsvpcConfiguration"]
    watched = deployment["Alarms"]
    watched["AlarmNames"] = [f"<{address(each.strip('<>'))}.alarm_name>" for each in watched["AlarmNames"]]
    yield at, {**_converted(deployment), "network_configuration": [_converted(network)], **_converted(p)}


def _scaling_policy(at: str, p: Properties) -> Iterator[tuple[str, Properties]]:
    target = ADDRESSES[p.pop("ScalingTargetId").strip("<>")]
    identity = ("service_namespace", "scalable_dimension", "resource_id")
    yield at, {**{name: f"<{target}.{name}>" for name in identity}, **_converted(p)}


def _alarm(at: str, p: Properties) -> Iterator[tuple[str, Properties]]:
    arguments: Properties = {}
    if "Dimensions" in p:
        arguments["dimensions"] = _dimensions(p.pop("Dimensions"))
    if "Metrics" in p:
        arguments["metric_query"] = [_alarm_metric(metric) for metric in p.pop("Metrics")]
    yield at, arguments | _converted(p)


def _alarm_metric(metric: Properties) -> Properties:
    arguments: Properties = {}
    if "MetricStat" in metric:
        stat = metric.pop("MetricStat")
        inner = stat.pop("Metric")
        dimensions = _dimensions(inner.pop("Dimensions"))
        arguments["metric"] = [{"dimensions": dimensions, **_converted(inner), **_converted(stat)}]
    arguments |= _converted(metric)
    return arguments


def _dimensions(listed: list[dict[str, str]]) -> dict[str, str]:
    return {dimension["Name"]: dimension["Value"] for dimension in listed}


def _rule(at: str, p: Properties) -> Iterator[tuple[str, Properties]]:
    targets = p.pop("Targets")
    (target,) = targets["then"] if "if" in targets else targets
    arguments: Properties = {"rule": f"<{at}.name>", "target_id": target.pop("Id")}
    if "EcsParameters" in target:
        ecs = target.pop("EcsParameters")
        network = ecs.pop("NetworkConfiguration")["AwsVpcConfiguration"]
        arguments["ecs_target"] = [{"network_configuration": [_converted(network)], **_converted(ecs)}]
    yield (
        at.replace("aws_cloudwatch_event_rule", "aws_cloudwatch_event_target"),
        arguments | _converted(target),
    )
    yield at, _converted(p)


def _topic_policy(at: str, p: Properties) -> Iterator[tuple[str, Properties]]:
    (topic,) = p.pop("Topics")
    yield at, {"arn": topic, **_converted(p)}


_CONVERSIONS: dict[str, Callable[[str, Properties], Iterator[tuple[str, Properties]]]] = {
    "AWS::DynamoDB::Table": _table,
    "AWS::SQS::Queue": _queue,
    "AWS::SQS::QueuePolicy": _queue_policy,
    "AWS::Kinesis::Stream": _stream,
    "AWS::Logs::LogGroup": _log_group,
    "AWS::IAM::Role": _role,
    "AWS::EC2::SecurityGroup": _security_group,
    "AWS::EC2::VPCEndpoint": _endpoint,
    "AWS::ECS::TaskDefinition": _task_definition,
    "AWS::ECS::Service": _service,
    "AWS::ApplicationAutoScaling::ScalingPolicy": _scaling_policy,
    "AWS::CloudWatch::Alarm": _alarm,
    "AWS::Events::Rule": _rule,
    "AWS::SNS::TopicPolicy": _topic_policy,
}
