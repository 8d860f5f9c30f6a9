"""Each alarm looks at the metric that it is about, and the dashboard shows what operators need."""

import json
import re
from typing import Any

import pytest

from handlers.export import DEFAULT_TTL_SECONDS
from handlers.transitions import Outcome
from processor.audit.reconciliation import TOLERATED_ENTRIES, TOLERATED_SHARE
from processor.cli.probe import PROBE_METRICS
from processor.observability.metrics import NAMESPACE, Metric
from tests.infra.cloudformation import alarms, of_type, resources
from tests.infra.terraform import Module

METRICS_SECONDS = 60  # EXPORT_METRICS_SECONDS of the task definition
OWN_METRICS = {metric.value for metric in Metric} | PROBE_METRICS
OWN = {"Service": "<ServiceName>"}
TASKS = {"ClusterName": "<ServiceName>", "ServiceName": "<ServiceName>"}
WHERE: dict[str, tuple[dict[str, str], ...]] = {
    NAMESPACE: (OWN,),
    "ECS/ContainerInsights": (TASKS,),
    "AWS/SQS": ({"QueueName": "<EventsQueueName>"}, {"QueueName": "<DeadLetterQueueName>"}),
    "AWS/DynamoDB": ({"TableName": "<TableName>"}, {"TableName": "<LeasesTableName>"}),
    "AWS/Kinesis": ({"StreamName": "<AuditStreamName>"},),
    "AWS/Logs": ({"LogGroupName": "/ecs/<ServiceName>"},),
    "AWS/Events": tuple(
        {"RuleName": rule["Name"]} for rule in of_type("service.yaml", "AWS::Events::Rule").values()
    ),
}
FUNCTIONS = {"SUM", "IF", "FILL", "AND"}
SILENCE_IS_TROUBLE = {"RunningTasks", "StreamLag", "Probe"}


def alarm(name: str) -> dict[str, Any]:
    return alarms()[f"{name}Alarm"]


def metrics_of(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The metrics that an alarm looks at, each with its statistic and period."""
    if "Metrics" not in found:
        return [found]
    stats = [part["MetricStat"] for part in found["Metrics"] if "MetricStat" in part]
    return [{**stat["Metric"], "Statistic": stat["Stat"], "Period": stat["Period"]} for stat in stats]


class TestAlarms:
    """Their numbers stand in both templates, and test_terraform_agrees.py compares them."""

    @pytest.mark.parametrize("name", alarms())
    def test_an_alarm_looks_at_figures_that_there_are(self, name: str) -> None:
        for metric in metrics_of(alarms()[name]):
            where = {each["Name"]: each["Value"] for each in metric["Dimensions"]}
            assert where in WHERE[metric["Namespace"]]
            assert metric["Namespace"] != NAMESPACE or metric["MetricName"] in OWN_METRICS
            assert metric["Period"] >= METRICS_SECONDS

    @pytest.mark.parametrize("name", [name for name, each in alarms().items() if "Metrics" in each])
    def test_an_expression_uses_each_of_its_figures_and_no_other(self, name: str) -> None:
        result, *parts = alarms()[name]["Metrics"]
        assert (result["ReturnData"], {part["ReturnData"] for part in parts}) == (True, {False})
        named = set(re.findall(r"[A-Za-z]\w*", result["Expression"])) - FUNCTIONS
        assert named == {part["Id"] for part in parts}
        assert len({part["MetricStat"]["Period"] for part in parts}) == 1

    @pytest.mark.parametrize("name", sorted(alarms().keys() - {"LagScalingAlarm"}))
    def test_an_alarm_names_its_topic_and_the_runbook(self, name: str) -> None:
        topic = {"if": "HasAlarmTopic", "then": ["<AlarmTopicArn>"], "else": "<NoValue>"}
        assert alarms()[name]["AlarmActions"] == alarms()[name]["OKActions"] == topic
        assert alarms()[name]["AlarmDescription"].endswith("Runbook in docs/runbook.md.")

    def test_an_alarm_that_breaches_without_figures_is_made_after_the_service(self) -> None:
        breaching = {name for name, each in alarms().items() if each["TreatMissingData"] == "breaching"}
        assert breaching == {f"{name}Alarm" for name in SILENCE_IS_TROUBLE}
        assert breaching <= resources("watch.yaml").keys(), "a stack that is deployed after the service"
        for at in ('this["running-tasks"]', 'this["stream-lag"]', 'math["probe"]'):
            after = Module("service").resources[f"aws_cloudwatch_metric_alarm.{at}"]["depends_on"]
            assert after == ["<aws_ecs_service.this>"]

    def test_a_letter_that_stays_does_not_silence_the_next_one(self) -> None:
        for name in ("DeadLettered", "Quarantined"):  # a sum falls back to 0, the depth of the queue stays
            assert (alarm(name)["Statistic"], alarm(name)["TreatMissingData"]) == ("Sum", "notBreaching")

    def test_a_failed_probe_pages_at_its_second_failure_and_a_missing_result_is_one(self) -> None:
        probe = alarm("Probe")
        assert (probe["DatapointsToAlarm"], probe["EvaluationPeriods"]) == (2, 3)
        assert probe["Metrics"][0]["Expression"] == "IF(FILL(minutes, 0) >= 5, FILL(failed, 1), 0)"

    def test_a_producer_s_bad_events_alone_roll_no_deployment_back(self) -> None:
        result, *_ = alarm("Rejections")["Metrics"]
        assert result["Expression"] == "IF(FILL(failed, 0) > 0 AND FILL(letters, 0) > 0, 1, 0)"

    @pytest.mark.parametrize(("name", "least"), [("ProbeObjective", 6), ("LatencyObjective", 100)])
    def test_an_objective_has_a_least_count(self, name: str, least: int) -> None:
        result, count, _ = alarm(name)["Metrics"]
        assert count["MetricStat"]["Stat"] == "SampleCount"
        assert result["Expression"].startswith(f"IF(FILL({count['Id']}, 0) >= {least}, ")

    def test_the_alarm_of_missing_entries_tolerates_what_audit_status_tolerates(self) -> None:
        missing = "FILL(deleted, 0) - FILL(expired, 0) - FILL(quarantined, 0)"
        assert alarm("MissingEntries")["Metrics"][0]["Expression"] == (
            f"IF(FILL(lag, 0) < 3600 AND {missing} > {TOLERATED_ENTRIES:g}"
            f" AND {missing} > {TOLERATED_SHARE:g} * FILL(deleted, 0), 1, 0)"
        )

    def test_a_late_audit_starts_another_task_and_pages_later_and_well_before_the_trim(self) -> None:
        assert alarm("LagScaling")["AlarmActions"] == ["<LagScaling>"]
        assert alarm("LagScaling")["Threshold"] < alarm("StreamLag")["Threshold"]
        assert alarm("StreamLag")["Threshold"] * 6 < 24 * 3600
        policy = of_type("service.yaml", "AWS::ApplicationAutoScaling::ScalingPolicy")["LagScaling"]
        (step,) = policy["StepScalingPolicyConfiguration"]["StepAdjustments"]
        assert step == {"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}, "outwards only"

    def test_waiting_events_raise_the_alarm_well_before_they_expire(self) -> None:
        assert alarm("OldestMessage")["Threshold"] * 2 < DEFAULT_TTL_SECONDS


def test_the_dashboard_shows_what_operators_need_and_only_metrics_that_there_are() -> None:
    (board,) = of_type("watch.yaml", "AWS::CloudWatch::Dashboard").values()
    rows = [
        row for each in json.loads(board["DashboardBody"])["widgets"] for row in each["properties"]["metrics"]
    ]
    # Namespace, metric and dimensions of each row, without those that are computed.
    shown = {tuple(part for part in row if isinstance(part, str)) for row in rows if isinstance(row[0], str)}
    assert {row[1] for row in shown if row[0] == NAMESPACE} <= OWN_METRICS
    own = {"SentToApplied", "StreamLag", "AuditExpired", "UnfinishedExpiries"}
    own |= {Metric[outcome.name].value for outcome in Outcome}
    events, table = ("QueueName", "<EventsQueueName>"), ("TableName", "<TableName>")
    assert shown >= {
        *((NAMESPACE, name, "Service", "<ServiceName>") for name in own),
        ("AWS/SQS", "NumberOfMessagesReceived", *events),
        ("AWS/SQS", "ApproximateNumberOfMessagesVisible", *events),
        ("AWS/DynamoDB", "TimeToLiveDeletedItemCount", *table),
        ("AWS/DynamoDB", "SystemErrors", *table, "Operation", "UpdateItem"),
        ("AWS/DynamoDB", "SystemErrors", *table, "Operation", "BatchExecuteStatement"),
    }
