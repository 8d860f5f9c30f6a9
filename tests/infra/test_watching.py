"""Each alarm looks at the metric that it is about, and the dashboard shows what operators need."""

import json
from typing import Any

import pytest

from handlers.export import DEFAULT_TTL_SECONDS
from handlers.transitions import Outcome
from processor.audit.reconciliation import TOLERATED_ENTRIES, TOLERATED_SHARE
from processor.observability.metrics import NAMESPACE, SERVICE, Metric
from tests.infra.cloudformation import of_type, resources
from tests.infra.terraform import Module

OWN_METRICS = {metric.value for metric in Metric}
OWN = {"Service": SERVICE}
TASKS = {"ClusterName": "<Cluster>", "ServiceName": "<ServiceName>"}
EVENTS, LETTERS = {"QueueName": "<EventsQueueName>"}, {"QueueName": "<DeadLetterQueueName>"}
TABLE, LEASES = {"TableName": "<TableName>"}, {"TableName": "<LeasesTableName>"}

# What each alarm looks at, how it is summed up over a period, and when it is on.
ALARMS: dict[str, tuple[str, str, dict[str, str], str, str, Any, str]] = {
    "OldestMessageAlarm": (
        "AWS/SQS",
        "ApproximateAgeOfOldestMessage",
        EVENTS,
        "Maximum",
        ">=",
        300,
        "3 of 5 x 60",
    ),
    "DeadLettersAlarm": (
        "AWS/SQS",
        "ApproximateNumberOfMessagesVisible",
        LETTERS,
        "Maximum",
        ">=",
        1,
        "1 of 1 x 60",
    ),
    "RunningTasksAlarm": (
        "ECS/ContainerInsights",
        "RunningTaskCount",
        TASKS,
        "Minimum",
        "<",
        "<MinTasks>",
        "5 of 5 x 60",
    ),
    "StreamLagAlarm": (NAMESPACE, "StreamLag", OWN, "Maximum", ">=", 3600, "3 of 3 x 300"),
    "NearTrimAlarm": (NAMESPACE, "HoursToTrim", OWN, "Minimum", "<=", 12, "1 of 1 x 300"),
    "UnheldShardsAlarm": (NAMESPACE, "UnheldShards", OWN, "Maximum", ">=", 1, "3 of 3 x 300"),
    "DiscoveryAgeAlarm": (NAMESPACE, "DiscoveryAge", OWN, "Maximum", ">=", 900, "1 of 1 x 300"),
    "AuditGapsAlarm": (NAMESPACE, "AuditGaps", OWN, "Sum", ">=", 1, "1 of 1 x 300"),
    "UnfinishedExpiriesAlarm": (
        NAMESPACE,
        "UnfinishedExpiries",
        OWN,
        "Sum",
        ">=",
        "<UnfinishedExpiriesThreshold>",
        "1 of 1 x 300",
    ),
    "ExpiredEventsAlarm": (NAMESPACE, "Expired", OWN, "Sum", ">=", 1, "1 of 1 x 300"),
    "StorePausedAlarm": (NAMESPACE, "StorePaused", OWN, "Maximum", ">=", 1, "5 of 5 x 60"),
    "SinksDownAlarm": (NAMESPACE, "SinksDown", OWN, "Maximum", ">=", 1, "5 of 5 x 60"),
    "DeadLetteredAlarm": (NAMESPACE, "DeadLettered", OWN, "Sum", ">=", 1, "1 of 1 x 300"),
    "QuarantinedAlarm": (NAMESPACE, "Quarantined", OWN, "Sum", ">=", 1, "1 of 1 x 300"),
    "ReceiveErrorsAlarm": (NAMESPACE, "ReceiveErrors", OWN, "Sum", ">=", 1, "3 of 5 x 60"),
    "LogVolumeAlarm": (
        "AWS/Logs",
        "IncomingBytes",
        {"LogGroupName": "<LogGroup>"},
        "Sum",
        ">=",
        "<LogBytesThreshold>",
        "1 of 1 x 3600",
    ),
    "AuditStreamThrottledAlarm": (
        "AWS/Kinesis",
        "WriteProvisionedThroughputExceeded",
        {"StreamName": "<AuditStreamName>"},
        "Sum",
        ">=",
        1,
        "3 of 5 x 60",
    ),
}
COMPARISONS = {
    "GreaterThanOrEqualToThreshold": ">=",
    "LessThanThreshold": "<",
    "LessThanOrEqualToThreshold": "<=",
}
OF_SUMS = {"TablesThrottledAlarm", "NotificationsFailedAlarm", "MissingEntriesAlarm"}
SILENCE_IS_TROUBLE = {"RunningTasksAlarm", "StreamLagAlarm"}


def alarms() -> dict[str, dict[str, Any]]:
    return of_type("service.yaml", "AWS::CloudWatch::Alarm")


def dimensions(listed: list[dict[str, str]]) -> dict[str, str]:
    return {each["Name"]: each["Value"] for each in listed}


def times(alarm: dict[str, Any], period: int) -> str:
    return f"{alarm['DatapointsToAlarm']} of {alarm['EvaluationPeriods']} x {period}"


class TestAlarms:
    def test_there_are_these_and_no_others(self) -> None:
        assert alarms().keys() == {*ALARMS, *OF_SUMS, "LagScalingAlarm"}

    @pytest.mark.parametrize("name", ALARMS)
    def test_an_alarm_looks_at_what_it_is_about(self, name: str) -> None:
        alarm = alarms()[name]
        assert ALARMS[name] == (
            alarm["Namespace"],
            alarm["MetricName"],
            dimensions(alarm["Dimensions"]),
            alarm["Statistic"],
            COMPARISONS[alarm["ComparisonOperator"]],
            alarm["Threshold"],
            times(alarm, alarm["Period"]),
        )

    def test_the_alarm_of_throttling_adds_up_both_tables(self) -> None:
        alarm = alarms()["TablesThrottledAlarm"]
        total, *parts = alarm["Metrics"]
        assert total == {
            "Id": "throttled",
            "Label": "Throttled writes of the status table, reads and writes of the leases table",
            "Expression": "SUM([FILL(status, 0), FILL(leaseReads, 0), FILL(leaseWrites, 0)])",
            "ReturnData": True,
        }
        looked_at = {
            part["Id"]: (
                part["MetricStat"]["Metric"]["Namespace"],
                part["MetricStat"]["Metric"]["MetricName"],
                dimensions(part["MetricStat"]["Metric"]["Dimensions"]),
                part["MetricStat"]["Stat"],
                times(alarm, part["MetricStat"]["Period"]),
                part["ReturnData"],
            )
            for part in parts
        }
        assert looked_at == {
            "status": ("AWS/DynamoDB", "WriteThrottleEvents", TABLE, "Sum", "3 of 5 x 60", False),
            "leaseReads": ("AWS/DynamoDB", "ReadThrottleEvents", LEASES, "Sum", "3 of 5 x 60", False),
            "leaseWrites": ("AWS/DynamoDB", "WriteThrottleEvents", LEASES, "Sum", "3 of 5 x 60", False),
        }
        assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanOrEqualToThreshold", 1)

    @pytest.mark.parametrize("name", sorted([*ALARMS, *OF_SUMS]))
    def test_an_alarm_names_its_topic_and_the_runbook(self, name: str) -> None:
        topic = {"if": "HasAlarmTopic", "then": ["<AlarmTopicArn>"], "else": "<NoValue>"}
        assert (alarms()[name]["AlarmActions"], alarms()[name]["OKActions"]) == (topic, topic)
        assert alarms()[name]["AlarmDescription"].endswith("Runbook in docs/runbook.md.")

    def test_a_letter_that_stays_does_not_silence_the_alarm_of_the_next_one(self) -> None:
        rates = [alarms()[name] for name in ("DeadLetteredAlarm", "QuarantinedAlarm")]
        assert [(alarm["Statistic"], alarm["TreatMissingData"]) for alarm in rates] == [
            ("Sum", "notBreaching")
        ] * 2  # a sum of one period falls back to 0; the depth of the queue stays

    def test_an_alarm_that_breaches_without_figures_is_made_after_the_service(self) -> None:
        made_after = {
            name
            for name, resource in resources("service.yaml").items()
            if resource["Type"] == "AWS::CloudWatch::Alarm" and resource.get("DependsOn") == "Service"
        }
        assert made_after == SILENCE_IS_TROUBLE
        for name in ("running_tasks", "stream_lag"):
            alarm = Module("service").resources[f"aws_cloudwatch_metric_alarm.{name}"]
            assert alarm["depends_on"] == ["<aws_ecs_service.this>"]

    def test_a_late_audit_starts_another_task_and_pages_later(self) -> None:
        alarm = alarms()["LagScalingAlarm"]
        assert (alarm["MetricName"], alarm["AlarmActions"]) == ("StreamLag", ["<LagScaling>"])
        assert alarm["Threshold"] < alarms()["StreamLagAlarm"]["Threshold"]
        policy = of_type("service.yaml", "AWS::ApplicationAutoScaling::ScalingPolicy")["LagScaling"]
        (step,) = policy["StepScalingPolicyConfiguration"]["StepAdjustments"]
        assert step == {"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}, "outwards only"

    def test_the_alarm_of_missing_entries_compares_a_day_with_dynamodbs_count(self) -> None:
        alarm = alarms()["MissingEntriesAlarm"]
        expressions = {part["Id"]: part["Expression"] for part in alarm["Metrics"] if "Expression" in part}
        tolerated = f"missing > {TOLERATED_ENTRIES:g} AND missing > {TOLERATED_SHARE:g} * FILL(deleted, 0)"
        assert expressions == {
            "suspicious": f"IF(FILL(lag, 0) < 3600 AND {tolerated}, missing, 0)",
            "missing": "FILL(deleted, 0) - FILL(expired, 0) - FILL(quarantined, 0)",
        }
        figures = {
            part["Id"]: (
                part["MetricStat"]["Metric"]["Namespace"],
                part["MetricStat"]["Metric"]["MetricName"],
                part["MetricStat"]["Stat"],
                part["MetricStat"]["Period"],
            )
            for part in alarm["Metrics"]
            if "MetricStat" in part
        }
        assert figures == {
            "deleted": ("AWS/DynamoDB", "TimeToLiveDeletedItemCount", "Sum", 86_400),
            "expired": (NAMESPACE, "AuditExpired", "Sum", 86_400),
            "quarantined": (NAMESPACE, "Quarantined", "Sum", 86_400),
            "lag": (NAMESPACE, "StreamLag", "Maximum", 86_400),
        }

    def test_missing_data_breaches_where_figures_always_arrive(self) -> None:
        treated = {name: alarm["TreatMissingData"] for name, alarm in alarms().items()}
        assert treated == {
            name: "breaching" if name in SILENCE_IS_TROUBLE else "notBreaching" for name in alarms()
        }

    def test_every_own_metric_of_an_alarm_exists(self) -> None:
        own = {looks_at[1] for looks_at in ALARMS.values() if looks_at[0] == NAMESPACE}
        assert own <= OWN_METRICS

    def test_waiting_events_raise_the_alarm_well_before_they_expire(self) -> None:
        assert alarms()["OldestMessageAlarm"]["Threshold"] * 2 < DEFAULT_TTL_SECONDS

    def test_a_lagging_audit_raises_the_alarm_well_before_records_are_trimmed(self) -> None:
        assert alarms()["StreamLagAlarm"]["Threshold"] * 6 < 24 * 3600

    def test_alarms_look_at_no_shorter_time_than_metrics_are_written(self) -> None:
        (definition,) = of_type("service.yaml", "AWS::ECS::TaskDefinition").values()
        (container,) = definition["ContainerDefinitions"]
        (interval,) = [
            int(each["Value"])
            for each in container["Environment"]
            if each.get("Name") == "EXPORT_METRICS_SECONDS"
        ]
        for alarm in alarms().values():
            assert alarm.get("Namespace") != NAMESPACE or alarm["Period"] >= interval > 0


class TestDashboard:
    def rows(self) -> list[list[Any]]:
        (board,) = of_type("service.yaml", "AWS::CloudWatch::Dashboard").values()
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
        assert {row[2:] for row in own} == {("Service", SERVICE)}

    def test_it_shows_throughput_outcomes_latency_lag_backlog_and_expiries(self) -> None:
        own = {"ReceiveToApplied", "StreamLag", "AuditExpired", "UnfinishedExpiries"}
        own |= {Metric[outcome.name].value for outcome in Outcome}
        events, table = ("QueueName", "<EventsQueueName>"), ("TableName", "<TableName>")
        needed = {(NAMESPACE, name, "Service", SERVICE) for name in own} | {
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
        (board,) = of_type("service.yaml", "AWS::CloudWatch::Dashboard").values()
        places = [
            (widget["x"] + right, widget["y"] + down)
            for widget in json.loads(board["DashboardBody"])["widgets"]
            for right in range(widget["width"])
            for down in range(widget["height"])
        ]
        assert len(places) == len(set(places))
        assert max(right for right, _ in places) < 24
