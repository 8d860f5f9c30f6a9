# What ECS reports about the service's tasks and deployments goes to the alarm topic.

resource "aws_sns_topic_policy" "alarms" {
  count = var.alarm_topic_policy ? 1 : 0
  arn   = var.alarm_topic_arn

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "Administer"
        Effect    = "Allow"
        Principal = { AWS = "arn:${local.partition}:iam::${local.account}:root" }
        Action = [
          "sns:AddPermission",
          "sns:DeleteTopic",
          "sns:GetTopicAttributes",
          "sns:ListSubscriptionsByTopic",
          "sns:Publish",
          "sns:RemovePermission",
          "sns:SetTopicAttributes",
          "sns:Subscribe",
        ]
        Resource = var.alarm_topic_arn
      },
      {
        Sid       = "PublishAlarms"
        Effect    = "Allow"
        Principal = { Service = "cloudwatch.amazonaws.com" }
        Action    = "sns:Publish"
        Resource  = var.alarm_topic_arn
        Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
      },
      {
        Sid       = "PublishEvents"
        Effect    = "Allow"
        Principal = { Service = "events.amazonaws.com" }
        Action    = "sns:Publish"
        Resource  = var.alarm_topic_arn
        Condition = { ArnLike = { "aws:SourceArn" = "arn:${local.partition}:events:${local.region}:${local.account}:rule/*" } }
      },
    ]
  })
}

resource "aws_cloudwatch_event_rule" "task_failed_to_start" {
  count       = var.alarm_topic_arn == "" ? 0 : 1
  name        = "${var.service_name}-task-failed-to-start"
  description = "A task of the service did not start"

  event_pattern = jsonencode({
    source      = ["aws.ecs"]
    detail-type = ["ECS Task State Change"]
    detail = {
      clusterArn = [aws_ecs_cluster.this.arn]
      group      = ["service:${var.service_name}"]
      lastStatus = ["STOPPED"]
      stopCode   = ["TaskFailedToStart"]
    }
  })
}

resource "aws_cloudwatch_event_target" "task_failed_to_start" {
  count     = var.alarm_topic_arn == "" ? 0 : 1
  rule      = aws_cloudwatch_event_rule.task_failed_to_start[0].name
  target_id = "alarms"
  arn       = var.alarm_topic_arn
}

resource "aws_cloudwatch_event_rule" "task_exited" {
  count       = var.alarm_topic_arn == "" ? 0 : 1
  name        = "${var.service_name}-task-exited"
  description = "A task of the service ended by itself with another exit code than 0"

  event_pattern = jsonencode({
    source      = ["aws.ecs"]
    detail-type = ["ECS Task State Change"]
    detail = {
      clusterArn = [aws_ecs_cluster.this.arn]
      group      = ["service:${var.service_name}"]
      lastStatus = ["STOPPED"]
      stopCode   = ["EssentialContainerExited"]
      containers = { exitCode = [{ anything-but = [0] }] }
    }
  })
}

resource "aws_cloudwatch_event_target" "task_exited" {
  count     = var.alarm_topic_arn == "" ? 0 : 1
  rule      = aws_cloudwatch_event_rule.task_exited[0].name
  target_id = "alarms"
  arn       = var.alarm_topic_arn
}

resource "aws_cloudwatch_event_rule" "deployment_failed" {
  count       = var.alarm_topic_arn == "" ? 0 : 1
  name        = "${var.service_name}-deployment-failed"
  description = "A deployment of the service failed"

  event_pattern = jsonencode({
    source      = ["aws.ecs"]
    detail-type = ["ECS Deployment State Change"]
    resources   = ["arn:${local.partition}:ecs:${local.region}:${local.account}:service/${var.service_name}/${var.service_name}"]
    detail      = { eventName = ["SERVICE_DEPLOYMENT_FAILED"] }
  })
}

resource "aws_cloudwatch_event_target" "deployment_failed" {
  count     = var.alarm_topic_arn == "" ? 0 : 1
  rule      = aws_cloudwatch_event_rule.deployment_failed[0].name
  target_id = "alarms"
  arn       = var.alarm_topic_arn
}
