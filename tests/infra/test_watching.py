"""Each alarm looks at the metric that it is about, and the dashboard shows what operators need."""

import json
from typing import Any

import pytest

from handlers.export import DEFAULT_TTL_SECONDS
from handlers.transitions import Outcome
from processor.audit.reconciliation import TOLERATED_ENTRIES, TOLERATED_SHARE
from processor.cli.probe import PROBE_METRICS
from processor.observability.metrics import NAMESPACE, Metric
from tests.infra.cloudformation import alarms, of_type, resources
from tests.infra.terraform import Module

OWN_METRICS = {metric.value for metric in Metric} | PROBE_METRICS
OWN = f"{NAMESPACE} Service=<ServiceName>"
TASKS = "ECS/ContainerInsights ClusterName=<ServiceName> ServiceName=<ServiceName>"
DYNAMODB = "AWS/DynamoDB TableName=<{}>"
RULE = "AWS/Events RuleName=<ServiceName>-{}"

# Where each alarm looks, the metric with its statistic, and when it is on.
ALARMS: dict[str, tuple[str, str, str]] = {
    "OldestMessage": (
        "AWS/SQS QueueName=<EventsQueueName>",
        "Maximum ApproximateAgeOfOldestMessage >= 300",
        "3 of 5 x 60",
    ),
    "DeadLetters": (
        "AWS/SQS QueueName=<DeadLetterQueueName>",
        "Maximum ApproximateNumberOfMessagesVisible >= 1",
        "1 of 1 x 60",
    ),
    "RunningTasks": (TASKS, "Minimum RunningTaskCount < <MinTasks>", "5 of 5 x 60"),
    "StreamLag": (OWN, "Maximum StreamLag >= 3600", "3 of 3 x 300"),
    "LifeLeft": (OWN, "Minimum LifeLeft <= 60", "3 of 5 x 60"),
    "NearTrim": (OWN, "Minimum HoursToTrim <= 12", "1 of 1 x 300"),
    "UnheldShards": (OWN, "Maximum UnheldShards >= 1", "3 of 3 x 300"),
    "DiscoveryAge": (OWN, "Maximum DiscoveryAge >= 900", "1 of 1 x 300"),
    "AuditGaps": (OWN, "Sum AuditGaps >= 1", "1 of 1 x 300"),
    "UnfinishedExpiries": (OWN, "Sum UnfinishedExpiries >= <UnfinishedExpiriesThreshold>", "1 of 1 x 300"),
    "ExpiredEvents": (OWN, "Sum Expired >= 1", "1 of 1 x 300"),
    "StorePaused": (OWN, "Maximum StorePaused >= 1", "5 of 5 x 60"),
    "SinksDown": (OWN, "Maximum SinksDown >= 1", "5 of 5 x 60"),
    "PartWaiting": (OWN, "Maximum PartWaiting >= 1", "3 of 5 x 60"),
    "DeadLettered": (OWN, "Sum DeadLettered >= 1", "1 of 1 x 300"),
    "Quarantined": (OWN, "Sum Quarantined >= 1", "1 of 1 x 300"),
    "ReceiveErrors": (OWN, "Sum ReceiveErrors >= 1", "3 of 5 x 60"),
    "LogVolume": (
        "AWS/Logs LogGroupName=/ecs/<ServiceName>",
        "Sum IncomingBytes >= <LogBytesThreshold>",
        "1 of 1 x 3600",
    ),
    "AuditStreamThrottled": (
        "AWS/Kinesis StreamName=<AuditStreamName>",
        "Sum WriteProvisionedThroughputExceeded >= 1",
        "3 of 5 x 60",
    ),
    "LagScaling": (OWN, "Maximum StreamLag >= 600", "5 of 5 x 60"),
}
MISSING = "FILL(deleted, 0) - FILL(expired, 0) - FILL(quarantined, 0)"
# The expression of each alarm with metric math, when it is on, and each of its metrics with its period.
MATH: dict[str, tuple[str, str, dict[str, tuple[str, str]]]] = {
    "MissingEntries": (
        (
            f"IF(FILL(lag, 0) < 3600 AND {MISSING} > {TOLERATED_ENTRIES:g}"
            f" AND {MISSING} > {TOLERATED_SHARE:g} * FILL(deleted, 0), 1, 0) >= 1"
        ),
        "1 of 1",
        {
            "deleted": (DYNAMODB.format("TableName"), "Sum TimeToLiveDeletedItemCount x 86400"),
            "expired": (OWN, "Sum AuditExpired x 86400"),
            "quarantined": (OWN, "Sum Quarantined x 86400"),
            "lag": (OWN, "Maximum StreamLag x 86400"),
        },
    ),
    "TablesThrottled": (
        "SUM([FILL(status, 0), FILL(leaseReads, 0), FILL(leaseWrites, 0)]) >= 1",
        "3 of 5",
        {
            "status": (DYNAMODB.format("TableName"), "Sum WriteThrottleEvents x 60"),
            "leaseReads": (DYNAMODB.format("LeasesTableName"), "Sum ReadThrottleEvents x 60"),
            "leaseWrites": (DYNAMODB.format("LeasesTableName"), "Sum WriteThrottleEvents x 60"),
        },
    ),
    "NotificationsFailed": (
        "SUM([FILL(taskFailedToStart, 0), FILL(taskExited, 0), FILL(deploymentFailed, 0)]) >= 1",
        "1 of 1",
        {
            "taskFailedToStart": (RULE.format("task-failed-to-start"), "Sum FailedInvocations x 300"),
            "taskExited": (RULE.format("task-exited"), "Sum FailedInvocations x 300"),
            "deploymentFailed": (RULE.format("deployment-failed"), "Sum FailedInvocations x 300"),
        },
    ),
    "FailedTasks": (
        "SUM([FILL(failedToStart, 0), FILL(exited, 0)]) >= 2",
        "1 of 1",
        {
            "failedToStart": (RULE.format("task-failed-to-start"), "Sum TriggeredRules x 300"),
            "exited": (RULE.format("task-exited"), "Sum TriggeredRules x 300"),
        },
    ),
    "Rejections": (
        "IF(FILL(failed, 0) > 0 AND FILL(letters, 0) > 0, 1, 0) >= 1",
        "1 of 2",
        {
            "failed": (OWN, "Maximum ProbeFailed x 300"),
            "letters": (OWN, "Sum DeadLettered x 300"),
        },
    ),
    "Probe": (
        "IF(FILL(minutes, 0) >= 5, FILL(failed, 1), 0) >= 1",
        "2 of 3",
        {
            "failed": (OWN, "Maximum ProbeFailed x 300"),
            "minutes": (TASKS, "SampleCount RunningTaskCount x 300"),
        },
    ),
    "ProbeObjective": (
        "IF(FILL(probes, 0) >= 6, 100 * failed / probes, 0) >= 25",
        "1 of 1",
        {
            "probes": (OWN, "SampleCount ProbeFailed x 3600"),
            "failed": (OWN, "Sum ProbeFailed x 3600"),
        },
    ),
}
COMPARISONS = {
    "GreaterThanOrEqualToThreshold": ">=",
    "LessThanThreshold": "<",
    "LessThanOrEqualToThreshold": "<=",
}
SILENCE_IS_TROUBLE = {"RunningTasks", "StreamLag", "Probe"}


def alarm(name: str) -> dict[str, Any]:
    return alarms()[f"{name}Alarm"]


def place(metric: dict[str, Any]) -> str:
    return " ".join(
        [metric["Namespace"], *(f"{each['Name']}={each['Value']}" for each in metric["Dimensions"])]
    )


def limit(of: dict[str, Any]) -> str:
    return f"{COMPARISONS[of['ComparisonOperator']]} {of['Threshold']}"


def times(of: dict[str, Any]) -> str:
    return f"{of['DatapointsToAlarm']} of {of['EvaluationPeriods']}"


class TestAlarms:
    def test_there_are_these_and_no_others(self) -> None:
        assert {name.removesuffix("Alarm") for name in alarms()} == {*ALARMS, *MATH}

    @pytest.mark.parametrize("name", ALARMS)
    def test_an_alarm_looks_at_what_it_is_about(self, name: str) -> None:
        found = alarm(name)
        metric = f"{found['Statistic']} {found['MetricName']} {limit(found)}"
        assert (place(found), metric, f"{times(found)} x {found['Period']}") == ALARMS[name]

    @pytest.mark.parametrize("name", MATH)
    def test_an_expression_is_about_these_figures(self, name: str) -> None:
        result, *parts = alarm(name)["Metrics"]
        assert (result["ReturnData"], *(part["ReturnData"] for part in parts)) == (
            True,
            *[False] * len(parts),
        )
        figures = {
            part["Id"]: (
                place(part["MetricStat"]["Metric"]),
                (
                    f"{part['MetricStat']['Stat']} {part['MetricStat']['Metric']['MetricName']}"
                    f" x {part['MetricStat']['Period']}"
                ),
            )
            for part in parts
        }
        assert (f"{result['Expression']} {limit(alarm(name))}", times(alarm(name)), figures) == MATH[name]

    @pytest.mark.parametrize("name", sorted({*ALARMS, *MATH} - {"LagScaling"}))
    def test_an_alarm_names_its_topic_and_the_runbook(self, name: str) -> None:
        topic = {"if": "HasAlarmTopic", "then": ["<AlarmTopicArn>"], "else": "<NoValue>"}
        assert (alarm(name)["AlarmActions"], alarm(name)["OKActions"]) == (topic, topic)
        assert alarm(name)["AlarmDescription"].endswith("Runbook in docs/runbook.md.")

    def test_an_alarm_that_breaches_without_figures_is_made_after_the_service(self) -> None:
        breaching = {name for name, each in alarms().items() if each["TreatMissingData"] == "breaching"}
        assert breaching == {f"{name}Alarm" for name in SILENCE_IS_TROUBLE}
        assert breaching <= resources("watch.yaml").keys(), "a stack that is deployed after the service"
        for at in ('this["running-tasks"]', 'this["stream-lag"]', 'math["probe"]'):
            after = Module("service").resources[f"aws_cloudwatch_metric_alarm.{at}"]["depends_on"]
            assert after == ["<aws_ecs_service.this>"]

    def test_a_late_audit_starts_another_task_and_pages_later(self) -> None:
        assert alarm("LagScaling")["AlarmActions"] == ["<LagScaling>"]
        assert alarm("LagScaling")["Threshold"] < alarm("StreamLag")["Threshold"]
        policy = of_type("service.yaml", "AWS::ApplicationAutoScaling::ScalingPolicy")["LagScaling"]
        (step,) = policy["StepScalingPolicyConfiguration"]["StepAdjustments"]
        assert step == {"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}, "outwards only"

    def test_every_own_metric_of_an_alarm_exists(self) -> None:
        simple = {figure.split()[1] for where, figure, _ in ALARMS.values() if where == OWN}
        of_math = {
            figure.split()[1]
            for *_, metrics in MATH.values()
            for where, figure in metrics.values()
            if where == OWN
        }
        assert simple | of_math <= OWN_METRICS

    def test_waiting_events_raise_the_alarm_well_before_they_expire(self) -> None:
        assert alarm("OldestMessage")["Threshold"] * 2 < DEFAULT_TTL_SECONDS

    def test_a_lagging_audit_raises_the_alarm_well_before_records_are_trimmed(self) -> None:
        assert alarm("StreamLag")["Threshold"] * 6 < 24 * 3600

    def test_alarms_look_at_no_shorter_time_than_metrics_are_written(self) -> None:
        definition = of_type("service.yaml", "AWS::ECS::TaskDefinition")["TaskDefinition"]
        (container,) = definition["ContainerDefinitions"]
        (interval,) = [
            int(each["Value"])
            for each in container["Environment"]
            if each.get("Name") == "EXPORT_METRICS_SECONDS"
        ]
        for each in alarms().values():
            assert each.get("Namespace") != NAMESPACE or each["Period"] >= interval > 0


class TestDashboard:
    def rows(self) -> list[list[Any]]:
        (board,) = of_type("watch.yaml", "AWS::CloudWatch::Dashboard").values()
        widgets = json.loads(board["DashboardBody"])["widgets"]
        return [row for widget in widgets for row in widget["properties"]["metrics"]]

    def shown(self) -> list[tuple[str, ...]]:
        """Namespace, metric and dimensions of each row, without those that are computed."""
        return [
            tuple(part for part in row if isinstance(part, str))
            for row in self.rows()
            if isinstance(row[0], str)
        ]

    def test_every_own_metric_exists(self) -> None:
        own = [row for row in self.shown() if row[0] == NAMESPACE]
        assert own
        assert {row[1] for row in own} <= OWN_METRICS
        assert {row[2:] for row in own} == {("Service", "<ServiceName>")}

    def test_it_shows_throughput_outcomes_latency_lag_backlog_and_expiries(self) -> None:
        own = {"SentToApplied", "StreamLag", "AuditExpired", "UnfinishedExpiries"}
        own |= {Metric[outcome.name].value for outcome in Outcome}
        events, table = ("QueueName", "<EventsQueueName>"), ("TableName", "<TableName>")
        needed = {(NAMESPACE, name, "Service", "<ServiceName>") for name in own} | {
            ("AWS/SQS", "NumberOfMessagesReceived", *events),
            ("AWS/SQS", "ApproximateNumberOfMessagesVisible", *events),
            ("AWS/DynamoDB", "TimeToLiveDeletedItemCount", *table),
            ("AWS/DynamoDB", "SystemErrors", *table, "Operation", "UpdateItem"),
            ("AWS/DynamoDB", "SystemErrors", *table, "Operation", "BatchExecuteStatement"),
        }
        assert needed <= set(self.shown())

    def test_finished_expiries_are_those_that_are_not_unfinished(self) -> None:
        (computed,) = [row[0] for row in self.rows() if not isinstance(row[0], str)]
        assert computed["expression"] == "expired - unfinished"
        ids = {row[-1].get("id"): row[1] for row in self.rows() if isinstance(row[0], str)}
        assert (ids["expired"], ids["unfinished"]) == ("AuditExpired", "UnfinishedExpiries")

    def test_no_widget_lies_on_another_and_all_are_on_the_board(self) -> None:
        (board,) = of_type("watch.yaml", "AWS::CloudWatch::Dashboard").values()
        places = [
            (widget["x"] + right, widget["y"] + down)
            for widget in json.loads(board["DashboardBody"])["widgets"]
            for right in range(widget["width"])
            for down in range(widget["height"])
        ]
        assert len(places) == len(set(places))
        assert max(right for right, _ in places) < 24
