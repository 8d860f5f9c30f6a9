# docs/runbook.md has a part for each alarm.

locals {
  alarm_actions = var.alarm_topic_arn == "" ? [] : [var.alarm_topic_arn]
}

resource "aws_cloudwatch_metric_alarm" "oldest_message" {
  alarm_name        = "${var.service_name}-oldest-message"
  alarm_description = "Events wait in the queue for a third of their export's life. Runbook in docs/runbook.md."
  namespace         = "AWS/SQS"
  metric_name       = "ApproximateAgeOfOldestMessage"
  dimensions = {
    QueueName = var.events_queue_name
  }
  statistic           = "Maximum"
  period              = 60
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 300
  evaluation_periods  = 5
  datapoints_to_alarm = 3
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
}

resource "aws_cloudwatch_metric_alarm" "dead_letters" {
  alarm_name        = "${var.service_name}-dead-letters"
  alarm_description = "Rejected events or refused audit entries wait for a person. Runbook in docs/runbook.md."
  namespace         = "AWS/SQS"
  metric_name       = "ApproximateNumberOfMessagesVisible"
  dimensions = {
    QueueName = var.dead_letter_queue_name
  }
  statistic           = "Maximum"
  period              = 60
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  evaluation_periods  = 1
  datapoints_to_alarm = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
}

resource "aws_cloudwatch_metric_alarm" "running_tasks" {
  alarm_name        = "${var.service_name}-running-tasks"
  alarm_description = "Fewer tasks run than the service's minimum, or no figure arrives. Runbook in docs/runbook.md."
  namespace         = "ECS/ContainerInsights"
  metric_name       = "RunningTaskCount"
  dimensions = {
    ClusterName = aws_ecs_cluster.this.name
    ServiceName = var.service_name
  }
  statistic           = "Minimum"
  period              = 60
  comparison_operator = "LessThanThreshold"
  threshold           = var.min_tasks
  evaluation_periods  = 5
  datapoints_to_alarm = 5
  treat_missing_data  = "breaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions

  depends_on = [aws_ecs_service.this] # silence breaches: before the first task runs there is no figure
}

resource "aws_cloudwatch_metric_alarm" "stream_lag" {
  alarm_name        = "${var.service_name}-stream-lag"
  alarm_description = "The audit is an hour late with the table's stream, or no task reads it. Runbook in docs/runbook.md."
  namespace         = "ExportStatus"
  metric_name       = "StreamLag"
  dimensions = {
    Service = "export-status"
  }
  statistic           = "Maximum"
  period              = 300
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 3600
  evaluation_periods  = 3
  datapoints_to_alarm = 3
  treat_missing_data  = "breaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions

  depends_on = [aws_ecs_service.this] # silence breaches: before the first task runs there is no figure
}

resource "aws_cloudwatch_metric_alarm" "near_trim" {
  alarm_name        = "${var.service_name}-near-trim"
  alarm_description = "Within 12 hours DynamoDB trims stream records that the audit has not read. Runbook in docs/runbook.md."
  namespace         = "ExportStatus"
  metric_name       = "HoursToTrim"
  dimensions = {
    Service = "export-status"
  }
  statistic           = "Minimum"
  period              = 300
  comparison_operator = "LessThanOrEqualToThreshold"
  threshold           = 12
  evaluation_periods  = 1
  datapoints_to_alarm = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
}

resource "aws_cloudwatch_metric_alarm" "unheld_shards" {
  alarm_name        = "${var.service_name}-unheld-shards"
  alarm_description = "For 15 minutes no task has read a shard of the table's stream. Runbook in docs/runbook.md."
  namespace         = "ExportStatus"
  metric_name       = "UnheldShards"
  dimensions = {
    Service = "export-status"
  }
  statistic           = "Maximum"
  period              = 300
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  evaluation_periods  = 3
  datapoints_to_alarm = 3
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
}

resource "aws_cloudwatch_metric_alarm" "discovery_age" {
  alarm_name        = "${var.service_name}-discovery-age"
  alarm_description = "For 15 minutes and longer no listing of the stream's shards was complete. Runbook in docs/runbook.md."
  namespace         = "ExportStatus"
  metric_name       = "DiscoveryAge"
  dimensions = {
    Service = "export-status"
  }
  statistic           = "Maximum"
  period              = 300
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 900
  evaluation_periods  = 1
  datapoints_to_alarm = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
}

resource "aws_cloudwatch_metric_alarm" "missing_entries" {
  alarm_name          = "${var.service_name}-missing-entries"
  alarm_description   = "DynamoDB deleted more items in a day than the audit has entries. Runbook in docs/runbook.md."
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  evaluation_periods  = 1
  datapoints_to_alarm = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions

  metric_query {
    id          = "suspicious"
    label       = "Items deleted by TTL without an audit entry, where they are many and the audit is not late"
    expression  = "IF(FILL(lag, 0) < 3600 AND missing > 20 AND missing > 0.05 * FILL(deleted, 0), missing, 0)"
    return_data = true
  }

  metric_query {
    id          = "missing"
    label       = "Items deleted by TTL without an audit entry"
    expression  = "FILL(deleted, 0) - FILL(expired, 0) - FILL(quarantined, 0)"
    return_data = false
  }

  metric_query {
    id          = "deleted"
    return_data = false

    metric {
      namespace   = "AWS/DynamoDB"
      metric_name = "TimeToLiveDeletedItemCount"
      dimensions = {
        TableName = var.table_name
      }
      stat   = "Sum"
      period = 86400
    }
  }

  metric_query {
    id          = "expired"
    return_data = false

    metric {
      namespace   = "ExportStatus"
      metric_name = "AuditExpired"
      dimensions = {
        Service = "export-status"
      }
      stat   = "Sum"
      period = 86400
    }
  }

  metric_query {
    id          = "quarantined"
    return_data = false

    metric {
      namespace   = "ExportStatus"
      metric_name = "Quarantined"
      dimensions = {
        Service = "export-status"
      }
      stat   = "Sum"
      period = 86400
    }
  }

  metric_query {
    id          = "lag"
    return_data = false

    metric {
      namespace   = "ExportStatus"
      metric_name = "StreamLag"
      dimensions = {
        Service = "export-status"
      }
      stat   = "Maximum"
      period = 86400
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "audit_gaps" {
  alarm_name        = "${var.service_name}-audit-gaps"
  alarm_description = "Stream records were trimmed before the audit read them. Runbook in docs/runbook.md."
  namespace         = "ExportStatus"
  metric_name       = "AuditGaps"
  dimensions = {
    Service = "export-status"
  }
  statistic           = "Sum"
  period              = 300
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  evaluation_periods  = 1
  datapoints_to_alarm = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
}

resource "aws_cloudwatch_metric_alarm" "unfinished_expiries" {
  alarm_name        = "${var.service_name}-unfinished-expiries"
  alarm_description = "Exports expired with neither completed nor failed recorded. Runbook in docs/runbook.md."
  namespace         = "ExportStatus"
  metric_name       = "UnfinishedExpiries"
  dimensions = {
    Service = "export-status"
  }
  statistic           = "Sum"
  period              = 300
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = var.unfinished_expiries_threshold
  evaluation_periods  = 1
  datapoints_to_alarm = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
}

resource "aws_cloudwatch_metric_alarm" "expired_events" {
  alarm_name        = "${var.service_name}-expired-events"
  alarm_description = "Events came after their export had expired and were not recorded. Runbook in docs/runbook.md."
  namespace         = "ExportStatus"
  metric_name       = "Expired"
  dimensions = {
    Service = "export-status"
  }
  statistic           = "Sum"
  period              = 300
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  evaluation_periods  = 1
  datapoints_to_alarm = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
}

resource "aws_cloudwatch_metric_alarm" "store_paused" {
  alarm_name        = "${var.service_name}-store-paused"
  alarm_description = "For five minutes a task has paused receiving because the status table takes no writes. Runbook in docs/runbook.md."
  namespace         = "ExportStatus"
  metric_name       = "StorePaused"
  dimensions = {
    Service = "export-status"
  }
  statistic           = "Maximum"
  period              = 60
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  evaluation_periods  = 5
  datapoints_to_alarm = 5
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
}

resource "aws_cloudwatch_metric_alarm" "sinks_down" {
  alarm_name        = "${var.service_name}-sinks-down"
  alarm_description = "For five minutes an audit sink of a task has accepted nothing. Runbook in docs/runbook.md."
  namespace         = "ExportStatus"
  metric_name       = "SinksDown"
  dimensions = {
    Service = "export-status"
  }
  statistic           = "Maximum"
  period              = 60
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  evaluation_periods  = 5
  datapoints_to_alarm = 5
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
}

resource "aws_cloudwatch_metric_alarm" "tables_throttled" {
  alarm_name          = "${var.service_name}-tables-throttled"
  alarm_description   = "DynamoDB throttles writes of the status table, or the leases table. Runbook in docs/runbook.md."
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  evaluation_periods  = 5
  datapoints_to_alarm = 3
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions

  metric_query {
    id          = "throttled"
    label       = "Throttled writes of the status table, reads and writes of the leases table"
    expression  = "SUM([FILL(status, 0), FILL(leaseReads, 0), FILL(leaseWrites, 0)])"
    return_data = true
  }

  metric_query {
    id          = "status"
    return_data = false

    metric {
      namespace   = "AWS/DynamoDB"
      metric_name = "WriteThrottleEvents"
      dimensions = {
        TableName = var.table_name
      }
      stat   = "Sum"
      period = 60
    }
  }

  metric_query {
    id          = "leaseReads"
    return_data = false

    metric {
      namespace   = "AWS/DynamoDB"
      metric_name = "ReadThrottleEvents"
      dimensions = {
        TableName = var.leases_table_name
      }
      stat   = "Sum"
      period = 60
    }
  }

  metric_query {
    id          = "leaseWrites"
    return_data = false

    metric {
      namespace   = "AWS/DynamoDB"
      metric_name = "WriteThrottleEvents"
      dimensions = {
        TableName = var.leases_table_name
      }
      stat   = "Sum"
      period = 60
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "audit_stream_throttled" {
  alarm_name        = "${var.service_name}-audit-stream-throttled"
  alarm_description = "Kinesis throttles the audit stream. Runbook in docs/runbook.md."
  namespace         = "AWS/Kinesis"
  metric_name       = "WriteProvisionedThroughputExceeded"
  dimensions = {
    StreamName = var.audit_stream_name
  }
  statistic           = "Sum"
  period              = 60
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  evaluation_periods  = 5
  datapoints_to_alarm = 3
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
}

resource "aws_cloudwatch_metric_alarm" "dead_lettered" {
  alarm_name        = "${var.service_name}-dead-lettered"
  alarm_description = "In the last five minutes the service put events or audit entries into the dead-letter queue. Runbook in docs/runbook.md."
  namespace         = "ExportStatus"
  metric_name       = "DeadLettered"
  dimensions = {
    Service = "export-status"
  }
  statistic           = "Sum"
  period              = 300
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  evaluation_periods  = 1
  datapoints_to_alarm = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
}

resource "aws_cloudwatch_metric_alarm" "quarantined" {
  alarm_name        = "${var.service_name}-quarantined"
  alarm_description = "In the last five minutes a sink refused an audit entry for its content. Runbook in docs/runbook.md."
  namespace         = "ExportStatus"
  metric_name       = "Quarantined"
  dimensions = {
    Service = "export-status"
  }
  statistic           = "Sum"
  period              = 300
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  evaluation_periods  = 1
  datapoints_to_alarm = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
}

resource "aws_cloudwatch_metric_alarm" "receive_errors" {
  alarm_name        = "${var.service_name}-receive-errors"
  alarm_description = "For three minutes receives from the event queue failed. Runbook in docs/runbook.md."
  namespace         = "ExportStatus"
  metric_name       = "ReceiveErrors"
  dimensions = {
    Service = "export-status"
  }
  statistic           = "Sum"
  period              = 60
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  evaluation_periods  = 5
  datapoints_to_alarm = 3
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
}

resource "aws_cloudwatch_metric_alarm" "log_volume" {
  alarm_name        = "${var.service_name}-log-volume"
  alarm_description = "In one hour the service wrote more log bytes than LogBytesThreshold. Runbook in docs/runbook.md."
  namespace         = "AWS/Logs"
  metric_name       = "IncomingBytes"
  dimensions = {
    LogGroupName = aws_cloudwatch_log_group.this.name
  }
  statistic           = "Sum"
  period              = 3600
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = var.log_bytes_threshold
  evaluation_periods  = 1
  datapoints_to_alarm = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
}

resource "aws_cloudwatch_metric_alarm" "notifications_failed" {
  alarm_name          = "${var.service_name}-notifications-failed"
  alarm_description   = "EventBridge could not publish to the alarm topic. Runbook in docs/runbook.md."
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  evaluation_periods  = 1
  datapoints_to_alarm = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions

  metric_query {
    id          = "failed"
    label       = "Notifications that EventBridge could not publish"
    expression  = "SUM([FILL(taskFailedToStart, 0), FILL(taskExited, 0), FILL(deploymentFailed, 0)])"
    return_data = true
  }

  metric_query {
    id          = "taskFailedToStart"
    return_data = false

    metric {
      namespace   = "AWS/Events"
      metric_name = "FailedInvocations"
      dimensions = {
        RuleName = "${var.service_name}-task-failed-to-start"
      }
      stat   = "Sum"
      period = 300
    }
  }

  metric_query {
    id          = "taskExited"
    return_data = false

    metric {
      namespace   = "AWS/Events"
      metric_name = "FailedInvocations"
      dimensions = {
        RuleName = "${var.service_name}-task-exited"
      }
      stat   = "Sum"
      period = 300
    }
  }

  metric_query {
    id          = "deploymentFailed"
    return_data = false

    metric {
      namespace   = "AWS/Events"
      metric_name = "FailedInvocations"
      dimensions = {
        RuleName = "${var.service_name}-deployment-failed"
      }
      stat   = "Sum"
      period = 300
    }
  }
}
