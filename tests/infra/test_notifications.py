"""What ECS reports about the service's tasks and deployments reaches the alarm topic."""

from typing import Any

import pytest

from tests.infra.cloudformation import load, of_type

CLUSTER, SERVICE = "<Cluster.Arn>", "service:<ServiceName>"
SERVICE_ARN = "arn:<Partition>:ecs:<Region>:<AccountId>:service/<ServiceName>/<ServiceName>"


def rules() -> dict[str, dict[str, Any]]:
    found = of_type("service.yaml", "AWS::Events::Rule")
    return {name: rule for name, rule in found.items() if "EventPattern" in rule}


def matches(pattern: Any, event: Any) -> bool:
    """Amazon EventBridge event patterns, the part that the rules use; an array matches by any element."""
    if isinstance(event, list):
        return any(matches(pattern, each) for each in event)
    if isinstance(pattern, dict):
        return isinstance(event, dict) and all(
            name in event and matches(inner, event[name]) for name, inner in pattern.items()
        )
    return any(
        event not in choice["anything-but"] if isinstance(choice, dict) else event == choice
        for choice in pattern
    )


def stopped(code: str, *exit_codes: int, group: str = SERVICE, status: str = "STOPPED") -> dict[str, Any]:
    """What ECS sends when a task stops."""
    return {
        "source": "aws.ecs",
        "detail-type": "ECS Task State Change",
        "detail": {
            "clusterArn": CLUSTER,
            "group": group,
            "lastStatus": status,
            "stopCode": code,
            "containers": [{"name": "export-status", "exitCode": each} for each in exit_codes] or [{}],
        },
    }


def deployment(name: str, service: str = SERVICE_ARN) -> dict[str, Any]:
    """What ECS sends about a deployment."""
    return {
        "source": "aws.ecs",
        "detail-type": "ECS Deployment State Change",
        "resources": [service],
        "detail": {"eventName": name, "deploymentId": "ecs-svc/1"},
    }


@pytest.mark.parametrize(
    ("event", "reported_by"),
    [
        (stopped("TaskFailedToStart"), {"TaskFailedToStartRule"}),
        (stopped("EssentialContainerExited", 1), {"TaskExitedRule"}),
        (stopped("EssentialContainerExited", 137), {"TaskExitedRule"}),
        (stopped("EssentialContainerExited", 0), set()),
        (stopped("EssentialContainerExited", 1, status="DEPROVISIONING"), set()),
        (stopped("EssentialContainerExited", 1, group="service:another"), set()),
        (stopped("ServiceSchedulerInitiated", 143), set()),
        (deployment("SERVICE_DEPLOYMENT_FAILED"), {"DeploymentFailedRule"}),
        (deployment("SERVICE_DEPLOYMENT_COMPLETED"), set()),
        (deployment("SERVICE_DEPLOYMENT_FAILED", "arn:another"), set()),
    ],
)
def test_trouble_of_this_service_is_reported_and_nothing_else(
    event: dict[str, Any], reported_by: set[str]
) -> None:
    assert {name for name, rule in rules().items() if matches(rule["EventPattern"], event)} == reported_by


def test_every_rule_publishes_to_the_alarm_topic_when_there_is_one() -> None:
    for rule in rules().values():
        assert rule["Targets"]["if"] == "HasAlarmTopic"
        assert rule["Targets"]["then"] == [{"Id": "alarms", "Arn": "<AlarmTopicArn>"}]


def test_the_topic_s_policy_lets_alarms_and_rules_of_this_account_publish() -> None:
    (access,) = of_type("service.yaml", "AWS::SNS::TopicPolicy").values()
    allowed = {
        each["Principal"]["Service"]: (each["Action"], each["Condition"])
        for each in access["PolicyDocument"]["Statement"]
        if "Service" in each["Principal"]
    }
    rule = "arn:<Partition>:events:<Region>:<AccountId>:rule/*"
    account = {"StringEquals": {"aws:SourceAccount": "<AccountId>"}}
    assert allowed == {
        "events.amazonaws.com": ("sns:Publish", {"ArnLike": {"aws:SourceArn": rule}}),
        "cloudwatch.amazonaws.com": ("sns:Publish", account),
    }


def test_a_topic_s_own_policy_is_replaced_only_where_that_is_asked_for() -> None:
    template = load("service.yaml")
    assert template["Parameters"]["AlarmTopicPolicy"]["Default"] == "false"
    assert template["Resources"]["AlarmTopicAccess"]["Condition"] == "HasAlarmTopicPolicy"
