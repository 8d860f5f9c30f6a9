# docs/runbook.md has a part for each alarm.

locals {
  alarm_actions = var.alarm_topic_arn == "" ? [] : [var.alarm_topic_arn]

  of_own     = { Service = var.service_name }
  of_events  = { QueueName = var.events_queue_name }
  of_letters = { QueueName = var.dead_letter_queue_name }
  of_tasks   = { ClusterName = var.service_name, ServiceName = var.service_name }
  of_log     = { LogGroupName = "/ecs/${var.service_name}" }
  of_audit   = { StreamName = var.audit_stream_name }
  of_table   = { TableName = var.table_name }
  of_leases  = { TableName = var.leases_table_name }
  of_exited  = { RuleName = "${var.service_name}-task-exited" }
  of_started = { RuleName = "${var.service_name}-task-failed-to-start" }
  of_failed  = { RuleName = "${var.service_name}-deployment-failed" }

  # ECS watches these while it deploys, so the service needs them first.
  deployment_alarms = {
    oldest-message = {
      description = "Events wait in the queue for a third of their export's life."
      namespace   = "AWS/SQS"
      metric_name = "ApproximateAgeOfOldestMessage"
      dimensions  = local.of_events
      statistic   = "Maximum"
      period      = 60
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 300
      datapoints  = 3
      of          = 5
      missing     = "notBreaching"
    }

    store-paused = {
      description = "For five minutes a task has paused receiving because the status table takes no writes."
      namespace   = "ExportStatus"
      metric_name = "StorePaused"
      dimensions  = local.of_own
      statistic   = "Maximum"
      period      = 60
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
      datapoints  = 5
      of          = 5
      missing     = "notBreaching"
    }

    receive-errors = {
      description = "For three minutes receives from the event queue failed."
      namespace   = "ExportStatus"
      metric_name = "ReceiveErrors"
      dimensions  = local.of_own
      statistic   = "Sum"
      period      = 60
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
      datapoints  = 3
      of          = 5
      missing     = "notBreaching"
    }

    part-waiting = {
      description = "For three minutes a half of the service has waited for something that is missing, refused or silent since its start."
      namespace   = "ExportStatus"
      metric_name = "PartWaiting"
      dimensions  = local.of_own
      statistic   = "Maximum"
      period      = 60
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
      datapoints  = 3
      of          = 5
      missing     = "notBreaching"
    }
  }

  deployment_math_alarms = {
    failed-tasks = {
      description = "In five minutes two tasks of the service did not start, or ended by themselves with an error."
      label       = "Tasks that failed"
      expression  = "SUM([FILL(failedToStart, 0), FILL(exited, 0)])"
      metrics = {
        failedToStart = { namespace = "AWS/Events", metric_name = "TriggeredRules", dimensions = local.of_started, stat = "Sum", period = 300 }
        exited        = { namespace = "AWS/Events", metric_name = "TriggeredRules", dimensions = local.of_exited, stat = "Sum", period = 300 }
      }
      comparison = "GreaterThanOrEqualToThreshold"
      threshold  = 2
      datapoints = 1
      of         = 1
      missing    = "notBreaching"
    }

    rejections = {
      description = "The service puts events into the dead-letter queue, and the probe fails too."
      label       = "Dead letters while the probe fails"
      expression  = "IF(FILL(failed, 0) > 0 AND FILL(letters, 0) > 0, 1, 0)"
      metrics = {
        failed  = { namespace = "ExportStatus", metric_name = "ProbeFailed", dimensions = local.of_own, stat = "Maximum", period = 300 }
        letters = { namespace = "ExportStatus", metric_name = "DeadLettered", dimensions = local.of_own, stat = "Sum", period = 300 }
      }
      comparison = "GreaterThanOrEqualToThreshold"
      threshold  = 1
      datapoints = 1
      of         = 2
      missing    = "notBreaching"
    }
  }

  alarms = {
    dead-letters = {
      description = "Rejected events or refused audit entries wait for a person."
      namespace   = "AWS/SQS"
      metric_name = "ApproximateNumberOfMessagesVisible"
      dimensions  = local.of_letters
      statistic   = "Maximum"
      period      = 60
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
      datapoints  = 1
      of          = 1
      missing     = "notBreaching"
    }

    running-tasks = {
      description = "Fewer tasks run than the service's minimum, or no figure arrives."
      namespace   = "ECS/ContainerInsights"
      metric_name = "RunningTaskCount"
      dimensions  = local.of_tasks
      statistic   = "Minimum"
      period      = 60
      comparison  = "LessThanThreshold"
      threshold   = var.min_tasks
      datapoints  = 5
      of          = 5
      missing     = "breaching"
    }

    stream-lag = {
      description = "The audit is an hour late with the table's stream, or no task reads it."
      namespace   = "ExportStatus"
      metric_name = "StreamLag"
      dimensions  = local.of_own
      statistic   = "Maximum"
      period      = 300
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 3600
      datapoints  = 3
      of          = 3
      missing     = "breaching"
    }

    life-left = {
      description = "Exports reach readers less than a minute before they expire."
      namespace   = "ExportStatus"
      metric_name = "LifeLeft"
      dimensions  = local.of_own
      statistic   = "Minimum"
      period      = 60
      comparison  = "LessThanOrEqualToThreshold"
      threshold   = 60
      datapoints  = 3
      of          = 5
      missing     = "notBreaching"
    }

    near-trim = {
      description = "Within 12 hours DynamoDB trims stream records that the audit has not read."
      namespace   = "ExportStatus"
      metric_name = "HoursToTrim"
      dimensions  = local.of_own
      statistic   = "Minimum"
      period      = 300
      comparison  = "LessThanOrEqualToThreshold"
      threshold   = 12
      datapoints  = 1
      of          = 1
      missing     = "notBreaching"
    }

    unheld-shards = {
      description = "For 15 minutes no task has read a shard of the table's stream."
      namespace   = "ExportStatus"
      metric_name = "UnheldShards"
      dimensions  = local.of_own
      statistic   = "Maximum"
      period      = 300
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
      datapoints  = 3
      of          = 3
      missing     = "notBreaching"
    }

    discovery-age = {
      description = "For 15 minutes and longer no listing of the stream's shards was complete."
      namespace   = "ExportStatus"
      metric_name = "DiscoveryAge"
      dimensions  = local.of_own
      statistic   = "Maximum"
      period      = 300
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 900
      datapoints  = 1
      of          = 1
      missing     = "notBreaching"
    }

    audit-gaps = {
      description = "Stream records were trimmed before the audit read them."
      namespace   = "ExportStatus"
      metric_name = "AuditGaps"
      dimensions  = local.of_own
      statistic   = "Sum"
      period      = 300
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
      datapoints  = 1
      of          = 1
      missing     = "notBreaching"
    }

    unfinished-expiries = {
      description = "Exports expired with neither completed nor failed recorded."
      namespace   = "ExportStatus"
      metric_name = "UnfinishedExpiries"
      dimensions  = local.of_own
      statistic   = "Sum"
      period      = 300
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = var.unfinished_expiries_threshold
      datapoints  = 1
      of          = 1
      missing     = "notBreaching"
    }

    expired-events = {
      description = "Events came after their export had expired and were not recorded."
      namespace   = "ExportStatus"
      metric_name = "Expired"
      dimensions  = local.of_own
      statistic   = "Sum"
      period      = 300
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
      datapoints  = 1
      of          = 1
      missing     = "notBreaching"
    }

    sinks-down = {
      description = "For five minutes an audit sink of a task has accepted nothing."
      namespace   = "ExportStatus"
      metric_name = "SinksDown"
      dimensions  = local.of_own
      statistic   = "Maximum"
      period      = 60
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
      datapoints  = 5
      of          = 5
      missing     = "notBreaching"
    }

    audit-stream-throttled = {
      description = "Kinesis throttles the audit stream."
      namespace   = "AWS/Kinesis"
      metric_name = "WriteProvisionedThroughputExceeded"
      dimensions  = local.of_audit
      statistic   = "Sum"
      period      = 60
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
      datapoints  = 3
      of          = 5
      missing     = "notBreaching"
    }

    dead-lettered = {
      description = "In the last five minutes the service put events into the dead-letter queue."
      namespace   = "ExportStatus"
      metric_name = "DeadLettered"
      dimensions  = local.of_own
      statistic   = "Sum"
      period      = 300
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
      datapoints  = 1
      of          = 1
      missing     = "notBreaching"
    }

    quarantined = {
      description = "In the last five minutes a sink refused an audit entry for its content."
      namespace   = "ExportStatus"
      metric_name = "Quarantined"
      dimensions  = local.of_own
      statistic   = "Sum"
      period      = 300
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
      datapoints  = 1
      of          = 1
      missing     = "notBreaching"
    }

    log-volume = {
      description = "In one hour the service wrote more log bytes than LogBytesThreshold."
      namespace   = "AWS/Logs"
      metric_name = "IncomingBytes"
      dimensions  = local.of_log
      statistic   = "Sum"
      period      = 3600
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = var.log_bytes_threshold
      datapoints  = 1
      of          = 1
      missing     = "notBreaching"
    }
  }

  math_alarms = {
    missing-entries = {
      description = "DynamoDB deleted more items in a day than the audit has entries."
      label       = "Items deleted by TTL without an audit entry, where they are many and the audit is not late"
      expression  = "IF(FILL(lag, 0) < 3600 AND FILL(deleted, 0) - FILL(expired, 0) - FILL(quarantined, 0) > 20 AND FILL(deleted, 0) - FILL(expired, 0) - FILL(quarantined, 0) > 0.05 * FILL(deleted, 0), 1, 0)"
      metrics = {
        deleted     = { namespace = "AWS/DynamoDB", metric_name = "TimeToLiveDeletedItemCount", dimensions = local.of_table, stat = "Sum", period = 86400 }
        expired     = { namespace = "ExportStatus", metric_name = "AuditExpired", dimensions = local.of_own, stat = "Sum", period = 86400 }
        quarantined = { namespace = "ExportStatus", metric_name = "Quarantined", dimensions = local.of_own, stat = "Sum", period = 86400 }
        lag         = { namespace = "ExportStatus", metric_name = "StreamLag", dimensions = local.of_own, stat = "Maximum", period = 86400 }
      }
      comparison = "GreaterThanOrEqualToThreshold"
      threshold  = 1
      datapoints = 1
      of         = 1
      missing    = "notBreaching"
    }

    tables-throttled = {
      description = "DynamoDB throttles writes of the status table, or the leases table."
      label       = "Throttled writes of the status table, reads and writes of the leases table"
      expression  = "SUM([FILL(status, 0), FILL(leaseReads, 0), FILL(leaseWrites, 0)])"
      metrics = {
        status      = { namespace = "AWS/DynamoDB", metric_name = "WriteThrottleEvents", dimensions = local.of_table, stat = "Sum", period = 60 }
        leaseReads  = { namespace = "AWS/DynamoDB", metric_name = "ReadThrottleEvents", dimensions = local.of_leases, stat = "Sum", period = 60 }
        leaseWrites = { namespace = "AWS/DynamoDB", metric_name = "WriteThrottleEvents", dimensions = local.of_leases, stat = "Sum", period = 60 }
      }
      comparison = "GreaterThanOrEqualToThreshold"
      threshold  = 1
      datapoints = 3
      of         = 5
      missing    = "notBreaching"
    }

    notifications-failed = {
      description = "EventBridge could not publish to the alarm topic."
      label       = "Notifications that EventBridge could not publish"
      expression  = "SUM([FILL(taskFailedToStart, 0), FILL(taskExited, 0), FILL(deploymentFailed, 0)])"
      metrics = {
        taskFailedToStart = { namespace = "AWS/Events", metric_name = "FailedInvocations", dimensions = local.of_started, stat = "Sum", period = 300 }
        taskExited        = { namespace = "AWS/Events", metric_name = "FailedInvocations", dimensions = local.of_exited, stat = "Sum", period = 300 }
        deploymentFailed  = { namespace = "AWS/Events", metric_name = "FailedInvocations", dimensions = local.of_failed, stat = "Sum", period = 300 }
      }
      comparison = "GreaterThanOrEqualToThreshold"
      threshold  = 1
      datapoints = 1
      of         = 1
      missing    = "notBreaching"
    }

    probe = {
      description = "In two of three five-minute periods a probe failed, or none ran."
      label       = "Failed probes; a period without a result counts, where the service was there for all of it"
      expression  = "IF(FILL(minutes, 0) >= 5, FILL(failed, 1), 0)"
      metrics = {
        failed  = { namespace = "ExportStatus", metric_name = "ProbeFailed", dimensions = local.of_own, stat = "Maximum", period = 300 }
        minutes = { namespace = "ECS/ContainerInsights", metric_name = "RunningTaskCount", dimensions = local.of_tasks, stat = "SampleCount", period = 300 }
      }
      comparison = "GreaterThanOrEqualToThreshold"
      threshold  = 1
      datapoints = 2
      of         = 3
      missing    = "breaching"
    }

    probe-objective = {
      description = "In an hour a quarter of the probes failed."
      label       = "Percent of failed probes, of six and more"
      expression  = "IF(FILL(probes, 0) >= 6, 100 * failed / probes, 0)"
      metrics = {
        probes = { namespace = "ExportStatus", metric_name = "ProbeFailed", dimensions = local.of_own, stat = "SampleCount", period = 3600 }
        failed = { namespace = "ExportStatus", metric_name = "ProbeFailed", dimensions = local.of_own, stat = "Sum", period = 3600 }
      }
      comparison = "GreaterThanOrEqualToThreshold"
      threshold  = 25
      datapoints = 1
      of         = 1
      missing    = "notBreaching"
    }

    latency-objective = {
      description = "For 15 minutes one of a hundred events took five seconds and longer from its send to its write."
      label       = "99th percentile, of a hundred events and more"
      expression  = "IF(FILL(events, 0) >= 100, slowest, 0)"
      metrics = {
        events  = { namespace = "ExportStatus", metric_name = "SentToApplied", dimensions = local.of_own, stat = "SampleCount", period = 300 }
        slowest = { namespace = "ExportStatus", metric_name = "SentToApplied", dimensions = local.of_own, stat = "p99", period = 300 }
      }
      comparison = "GreaterThanOrEqualToThreshold"
      threshold  = 5000
      datapoints = 3
      of         = 3
      missing    = "notBreaching"
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "deployment" {
  for_each            = local.deployment_alarms
  alarm_name          = "${var.service_name}-${each.key}"
  alarm_description   = "${each.value.description} Runbook in docs/runbook.md."
  namespace           = each.value.namespace
  metric_name         = each.value.metric_name
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  period              = each.value.period
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  evaluation_periods  = each.value.of
  datapoints_to_alarm = each.value.datapoints
  treat_missing_data  = each.value.missing
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
}

resource "aws_cloudwatch_metric_alarm" "deployment_math" {
  for_each            = local.deployment_math_alarms
  alarm_name          = "${var.service_name}-${each.key}"
  alarm_description   = "${each.value.description} Runbook in docs/runbook.md."
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  evaluation_periods  = each.value.of
  datapoints_to_alarm = each.value.datapoints
  treat_missing_data  = each.value.missing
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions

  metric_query {
    id          = "result"
    label       = each.value.label
    expression  = each.value.expression
    return_data = true
  }

  dynamic "metric_query" {
    for_each = each.value.metrics

    content {
      id          = metric_query.key
      return_data = false

      metric {
        namespace   = metric_query.value.namespace
        metric_name = metric_query.value.metric_name
        dimensions  = metric_query.value.dimensions
        stat        = metric_query.value.stat
        period      = metric_query.value.period
      }
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each            = local.alarms
  alarm_name          = "${var.service_name}-${each.key}"
  alarm_description   = "${each.value.description} Runbook in docs/runbook.md."
  namespace           = each.value.namespace
  metric_name         = each.value.metric_name
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  period              = each.value.period
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  evaluation_periods  = each.value.of
  datapoints_to_alarm = each.value.datapoints
  treat_missing_data  = each.value.missing
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions

  depends_on = [aws_ecs_service.this] # some breach without figures: before the first task runs there is no figure
}

resource "aws_cloudwatch_metric_alarm" "math" {
  for_each            = local.math_alarms
  alarm_name          = "${var.service_name}-${each.key}"
  alarm_description   = "${each.value.description} Runbook in docs/runbook.md."
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  evaluation_periods  = each.value.of
  datapoints_to_alarm = each.value.datapoints
  treat_missing_data  = each.value.missing
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions

  metric_query {
    id          = "result"
    label       = each.value.label
    expression  = each.value.expression
    return_data = true
  }

  dynamic "metric_query" {
    for_each = each.value.metrics

    content {
      id          = metric_query.key
      return_data = false

      metric {
        namespace   = metric_query.value.namespace
        metric_name = metric_query.value.metric_name
        dimensions  = metric_query.value.dimensions
        stat        = metric_query.value.stat
        period      = metric_query.value.period
      }
    }
  }

  depends_on = [aws_ecs_service.this] # some breach without figures: before the first task runs there is no figure
}
