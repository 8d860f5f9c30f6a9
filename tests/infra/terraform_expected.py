"""What Terraform must say for each CloudFormation resource, in the words of hashicorp/aws 6.

Every property is either renamed here or refused: a property that this module does not know raises, so the
comparison cannot overlook one.
"""

import re
from collections.abc import Callable, Iterator, Mapping
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
    yield from _CONVERSIONS[kind](address(logical_id), properties)


def _renamed(properties: Properties, names: Mapping[str, str]) -> Properties:
    return {names[key]: value for key, value in properties.items()}


def _snaked(properties: Properties) -> Properties:
    return {snake(key): value for key, value in properties.items()}


def _camel(value: Any) -> Any:
    """A container definition in the API's spelling; names of log options and such stay as they are."""
    if isinstance(value, list):
        return [_camel(item) for item in value]
    if isinstance(value, dict):
        return {key[0].lower() + key[1:]: _camel(item) for key, item in value.items()}
    return value


def _table(at: str, p: Properties) -> Iterator[tuple[str, Properties]]:
    (key,) = p.pop("KeySchema")
    arguments: Properties = {
        "name": p.pop("TableName"),
        "billing_mode": p.pop("BillingMode"),
        "hash_key": key["AttributeName"] if key["KeyType"] == "HASH" else None,
        "attribute": [
            {"name": a["AttributeName"], "type": a["AttributeType"]} for a in p.pop("AttributeDefinitions")
        ],
        "point_in_time_recovery": [
            _renamed(
                p.pop("PointInTimeRecoverySpecification"),
                {"PointInTimeRecoveryEnabled": "enabled", "RecoveryPeriodInDays": "recovery_period_in_days"},
            )
        ],
        "server_side_encryption": [
            {"enabled": p.pop("SSESpecification") == {"SSEEnabled": True, "SSEType": "KMS"}}
        ],
        "deletion_protection_enabled": p.pop("DeletionProtectionEnabled"),
    }
    if "TimeToLiveSpecification" in p:
        arguments["ttl"] = [_snaked(p.pop("TimeToLiveSpecification"))]
    if "StreamSpecification" in p:
        arguments |= {"stream_enabled": True, **_snaked(p.pop("StreamSpecification"))}
    yield at, arguments | _renamed(p, {})


def _queue(at: str, p: Properties) -> Iterator[tuple[str, Properties]]:
    if "RedriveAllowPolicy" in p:
        yield (
            at.replace("aws_sqs_queue", "aws_sqs_queue_redrive_allow_policy"),
            {"queue_url": f"<{at}>", "redrive_allow_policy": p.pop("RedriveAllowPolicy")},
        )
    yield (
        at,
        _renamed(
            p,
            {
                "QueueName": "name",
                "FifoQueue": "fifo_queue",
                "ContentBasedDeduplication": "content_based_deduplication",
                "DeduplicationScope": "deduplication_scope",
                "FifoThroughputLimit": "fifo_throughput_limit",
                "MaximumMessageSize": "max_message_size",
                "VisibilityTimeout": "visibility_timeout_seconds",
                "ReceiveMessageWaitTimeSeconds": "receive_wait_time_seconds",
                "MessageRetentionPeriod": "message_retention_seconds",
                "SqsManagedSseEnabled": "sqs_managed_sse_enabled",
                "RedrivePolicy": "redrive_policy",
            },
        ),
    )


def _queue_policy(at: str, p: Properties) -> Iterator[tuple[str, Properties]]:
    (queue,) = p.pop("Queues")
    yield at, {"queue_url": queue, **_renamed(p, {"PolicyDocument": "policy"})}


def _stream(at: str, p: Properties) -> Iterator[tuple[str, Properties]]:
    encryption = _renamed(
        p.pop("StreamEncryption"), {"EncryptionType": "encryption_type", "KeyId": "kms_key_id"}
    )
    mode = _snaked(p.pop("StreamModeDetails"))
    names = {"Name": "name", "RetentionPeriodHours": "retention_period"}
    yield at, {**encryption, "stream_mode_details": [mode], **_renamed(p, names)}


def _cluster(at: str, p: Properties) -> Iterator[tuple[str, Properties]]:
    settings = [_snaked(setting) for setting in p.pop("ClusterSettings")]
    yield at, {"setting": settings, **_renamed(p, {"ClusterName": "name"})}


def _log_group(at: str, p: Properties) -> Iterator[tuple[str, Properties]]:
    names = {"LogGroupName": "name", "RetentionInDays": "retention_in_days"}
    yield at, {"skip_destroy": True, **_renamed(p, names)}


def _role(at: str, p: Properties) -> Iterator[tuple[str, Properties]]:
    (policy,) = p.pop("Policies")
    yield (
        at.replace("aws_iam_role", "aws_iam_role_policy"),
        {"name": policy["PolicyName"], "role": f"<{at}>", "policy": policy["PolicyDocument"]},
    )
    yield (
        at,
        _renamed(p, {"Description": "description", "AssumeRolePolicyDocument": "assume_role_policy"}),
    )


def _security_group(at: str, p: Properties) -> Iterator[tuple[str, Properties]]:
    _, name = at.split(".")
    for direction, rules in (("ingress", "SecurityGroupIngress"), ("egress", "SecurityGroupEgress")):
        for rule in p.pop(rules, []):
            if rule["CidrIp" if direction == "egress" else "IpProtocol"] == "127.0.0.1/32":
                continue  # CloudFormation's way to say "no rule"; Terraform makes none by itself
            names = {
                "Description": "description",
                "IpProtocol": "ip_protocol",
                "FromPort": "from_port",
                "ToPort": "to_port",
                "CidrIp": "cidr_ipv4",
                "SourceSecurityGroupId": "referenced_security_group_id",
            }
            yield (
                f"aws_vpc_security_group_{direction}_rule.{name}_https",
                {"security_group_id": f"<{at}>", **_renamed(rule, names)},
            )
    yield at, _renamed(p, {"GroupDescription": "description", "VpcId": "vpc_id"})


def _endpoint(at: str, p: Properties) -> Iterator[tuple[str, Properties]]:
    yield at, _snaked(p)


def _task_definition(at: str, p: Properties) -> Iterator[tuple[str, Properties]]:
    containers = _camel(p.pop("ContainerDefinitions"))
    platform = _snaked(p.pop("RuntimePlatform"))
    volumes = [_snaked(volume) for volume in p.pop("Volumes")]
    yield (
        at,
        {
            "container_definitions": containers,
            "runtime_platform": [platform],
            "volume": volumes,
            **_snaked(p),
        },
    )


def _service(at: str, p: Properties) -> Iterator[tuple[str, Properties]]:
    deployment = p.pop("DeploymentConfiguration")
    network = p.pop("NetworkConfiguration")["AwsvpcConfiguration"]
    yield (
        at,
        {
            "name": p.pop("ServiceName"),
            "deployment_minimum_healthy_percent": deployment.pop("MinimumHealthyPercent"),
            "deployment_maximum_percent": deployment.pop("MaximumPercent"),
            "deployment_circuit_breaker": [_snaked(deployment.pop("DeploymentCircuitBreaker"))],
            "alarms": [_deployment_alarms(deployment.pop("Alarms"))],
            **_renamed(deployment, {}),
            "network_configuration": [_snaked(network)],
            "enable_ecs_managed_tags": p.pop("EnableECSManagedTags"),
            **_snaked(p),
        },
    )


def _deployment_alarms(alarms: Properties) -> Properties:
    names = [f"<{address(each.strip('<>'))}.alarm_name>" for each in alarms.pop("AlarmNames")]
    return {"alarm_names": names, **_snaked(alarms)}


def _scaling_policy(at: str, p: Properties) -> Iterator[tuple[str, Properties]]:
    target = p.pop("ScalingTargetId").strip("<>")
    identity = ("service_namespace", "scalable_dimension", "resource_id")
    if "StepScalingPolicyConfiguration" in p:
        step = p.pop("StepScalingPolicyConfiguration")
        adjustments = [_snaked(adjustment) for adjustment in step.pop("StepAdjustments")]
        configuration = {
            "step_scaling_policy_configuration": [{"step_adjustment": adjustments, **_snaked(step)}]
        }
    else:
        tracking = p.pop("TargetTrackingScalingPolicyConfiguration")
        metrics = [
            _scaling_metric(metric) for metric in tracking.pop("CustomizedMetricSpecification").pop("Metrics")
        ]
        configuration = {
            "target_tracking_scaling_policy_configuration": [
                {"customized_metric_specification": [{"metrics": metrics}], **_snaked(tracking)}
            ]
        }
    yield (
        at,
        {
            "name": p.pop("PolicyName"),
            **{name: f"<{ADDRESSES[target]}.{name}>" for name in identity},
            **configuration,
            **_snaked(p),
        },
    )


def _scaling_metric(metric: Properties) -> Properties:
    if "MetricStat" not in metric:
        return _snaked(metric)
    stat = metric.pop("MetricStat")
    inner = stat.pop("Metric")
    dimensions = [_snaked(dimension) for dimension in inner.pop("Dimensions")]
    return {
        "metric_stat": [{"metric": [{"dimensions": dimensions, **_snaked(inner)}], **_snaked(stat)}],
        **_snaked(metric),
    }


def _alarm(at: str, p: Properties) -> Iterator[tuple[str, Properties]]:
    arguments: Properties = {"ok_actions": p.pop("OKActions")} if "OKActions" in p else {}
    if "Dimensions" in p:
        arguments["dimensions"] = _dimensions(p.pop("Dimensions"))
    if "Metrics" in p:
        arguments["metric_query"] = [_alarm_metric(metric) for metric in p.pop("Metrics")]
    yield at, arguments | _snaked(p)


def _alarm_metric(metric: Properties) -> Properties:
    if "MetricStat" not in metric:
        return _snaked(metric)
    stat = metric.pop("MetricStat")
    inner = stat.pop("Metric")
    return {
        "metric": [{"dimensions": _dimensions(inner.pop("Dimensions")), **_snaked(inner), **_snaked(stat)}],
        **_snaked(metric),
    }


def _dimensions(listed: list[dict[str, str]]) -> dict[str, str]:
    return {dimension["Name"]: dimension["Value"] for dimension in listed}


def _dashboard(at: str, p: Properties) -> Iterator[tuple[str, Properties]]:
    yield at, _snaked(p)


def _rule(at: str, p: Properties) -> Iterator[tuple[str, Properties]]:
    targets = p.pop("Targets")
    (target,) = targets["then"] if "if" in targets else targets
    arguments: Properties = {"rule": f"<{at}.name>", "target_id": target.pop("Id"), "arn": target.pop("Arn")}
    if "EcsParameters" in target:
        ecs = target.pop("EcsParameters")
        network = ecs.pop("NetworkConfiguration")["AwsVpcConfiguration"]
        arguments["ecs_target"] = [{"network_configuration": [_snaked(network)], **_snaked(ecs)}]
    yield (
        at.replace("aws_cloudwatch_event_rule", "aws_cloudwatch_event_target"),
        arguments | _snaked(target),
    )
    yield at, _snaked(p)


def _managed_policy(at: str, p: Properties) -> Iterator[tuple[str, Properties]]:
    yield at, _renamed(p, {"Description": "description", "PolicyDocument": "policy"})


def _topic_policy(at: str, p: Properties) -> Iterator[tuple[str, Properties]]:
    (topic,) = p.pop("Topics")
    yield at, {"arn": topic, **_renamed(p, {"PolicyDocument": "policy"})}


_CONVERSIONS: dict[str, Callable[[str, Properties], Iterator[tuple[str, Properties]]]] = {
    "AWS::DynamoDB::Table": _table,
    "AWS::SQS::Queue": _queue,
    "AWS::SQS::QueuePolicy": _queue_policy,
    "AWS::Kinesis::Stream": _stream,
    "AWS::ECS::Cluster": _cluster,
    "AWS::Logs::LogGroup": _log_group,
    "AWS::IAM::Role": _role,
    "AWS::IAM::ManagedPolicy": _managed_policy,
    "AWS::EC2::SecurityGroup": _security_group,
    "AWS::EC2::VPCEndpoint": _endpoint,
    "AWS::ECS::TaskDefinition": _task_definition,
    "AWS::ECS::Service": _service,
    "AWS::ApplicationAutoScaling::ScalableTarget": _endpoint,
    "AWS::ApplicationAutoScaling::ScalingPolicy": _scaling_policy,
    "AWS::CloudWatch::Alarm": _alarm,
    "AWS::CloudWatch::Dashboard": _dashboard,
    "AWS::Events::Rule": _rule,
    "AWS::SNS::TopicPolicy": _topic_policy,
}
