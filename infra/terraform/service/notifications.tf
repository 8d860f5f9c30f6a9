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

locals {
  stopped_task = {
    clusterArn = [aws_ecs_cluster.this.arn]
    group      = ["service:${var.service_name}"]
    lastStatus = ["STOPPED"]
  }

  reports = {
    task-failed-to-start = {
      description = "A task of the service did not start"
      pattern = {
        source      = ["aws.ecs"]
        detail-type = ["ECS Task State Change"]
        detail      = merge(local.stopped_task, { stopCode = ["TaskFailedToStart"] })
      }
    }

    task-exited = {
      description = "A task of the service ended by itself with another exit code than 0"
      pattern = {
        source      = ["aws.ecs"]
        detail-type = ["ECS Task State Change"]
        detail = merge(local.stopped_task, {
          stopCode   = ["EssentialContainerExited"]
          containers = { exitCode = [{ anything-but = [0] }] }
        })
      }
    }

    deployment-failed = {
      description = "A deployment of the service failed"
      pattern = {
        source      = ["aws.ecs"]
        detail-type = ["ECS Deployment State Change"]
        resources   = ["arn:${local.partition}:ecs:${local.region}:${local.account}:service/${var.service_name}/${var.service_name}"]
        detail      = { eventName = ["SERVICE_DEPLOYMENT_FAILED"] }
      }
    }
  }
}

# They exist without a topic too: an alarm counts the tasks that failed by them.
resource "aws_cloudwatch_event_rule" "reports" {
  for_each      = local.reports
  name          = "${var.service_name}-${each.key}"
  description   = each.value.description
  event_pattern = jsonencode(each.value.pattern)
}

resource "aws_cloudwatch_event_target" "reports" {
  for_each  = toset(var.alarm_topic_arn == "" ? [] : keys(local.reports))
  rule      = aws_cloudwatch_event_rule.reports[each.key].name
  target_id = "alarms"
  arn       = var.alarm_topic_arn
}
