# The scheduled probe: one export through all its steps, every five minutes.

resource "aws_iam_role" "probe" {
  name_prefix        = "${var.service_name}-probe-"
  description        = "What the scheduled probe may do; infra/iam/probe-policy.json"
  assume_role_policy = local.trust_ecs_tasks_of_this_account
}

resource "aws_iam_role_policy" "probe" {
  name   = "export-status-probe"
  role   = aws_iam_role.probe.id
  policy = templatefile("${path.module}/../../iam/probe-policy.json", local.names)
}

resource "aws_ecs_task_definition" "probe" {
  family                   = "${var.service_name}-probe"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = "256"
  memory                   = "512"
  task_role_arn            = aws_iam_role.probe.arn
  execution_role_arn       = aws_iam_role.execution.arn

  runtime_platform {
    cpu_architecture        = "ARM64"
    operating_system_family = "LINUX"
  }

  volume {
    name = "tmp"
  }

  container_definitions = jsonencode([{
    name                   = "export-status"
    image                  = var.image
    essential              = true
    command                = ["probe", "--json"]
    user                   = "10001:10001"
    readonlyRootFilesystem = true
    mountPoints            = [{ sourceVolume = "tmp", containerPath = "/tmp", readOnly = false }]
    linuxParameters = {
      initProcessEnabled = true
      capabilities       = { drop = ["ALL"] }
    }
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.this.name
        awslogs-region        = local.region
        awslogs-stream-prefix = "${var.service_name}-probe"
      }
    }
    environment = [
      { name = "AWS_REGION", value = local.region },
      { name = "DYNAMODB_EXPORT_STATUS_TABLE", value = var.table_name },
      { name = "SQS_EXPORT_EVENTS_QUEUE_URL", value = "${local.sqs_url}/${var.events_queue_name}" },
      { name = "EXPORT_SERVICE_NAME", value = var.service_name },
      { name = "EXPORT_STATUS_TTL_SECONDS", value = var.status_ttl_seconds },
    ]
  }])
}

resource "aws_iam_role" "probe_schedule" {
  name_prefix = "${var.service_name}-schedule-"
  description = "What EventBridge may do to start the probe"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "events.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { ArnEquals = { "aws:SourceArn" = "arn:${local.partition}:events:${local.region}:${local.account}:rule/${var.service_name}-probe" } }
    }]
  })
}

resource "aws_iam_role_policy" "probe_schedule" {
  name = "export-status-probe-schedule"
  role = aws_iam_role.probe_schedule.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "RunProbe"
        Effect    = "Allow"
        Action    = "ecs:RunTask"
        Resource  = "arn:${local.partition}:ecs:${local.region}:${local.account}:task-definition/${var.service_name}-probe:*"
        Condition = { ArnEquals = { "ecs:cluster" = aws_ecs_cluster.this.arn } }
      },
      {
        Sid       = "PassItsRoles"
        Effect    = "Allow"
        Action    = "iam:PassRole"
        Resource  = [aws_iam_role.probe.arn, aws_iam_role.execution.arn]
        Condition = { StringEquals = { "iam:PassedToService" = "ecs-tasks.amazonaws.com" } }
      },
    ]
  })
}

resource "aws_cloudwatch_event_rule" "probe" {
  name                = "${var.service_name}-probe"
  description         = "Runs the probe"
  schedule_expression = "rate(5 minutes)"

  depends_on = [aws_ecs_service.this] # a probe before the first task would fail
}

resource "aws_cloudwatch_event_target" "probe" {
  rule      = aws_cloudwatch_event_rule.probe.name
  target_id = "probe"
  arn       = aws_ecs_cluster.this.arn
  role_arn  = aws_iam_role.probe_schedule.arn

  ecs_target {
    task_definition_arn = aws_ecs_task_definition.probe.arn
    launch_type         = "FARGATE"

    network_configuration {
      assign_public_ip = var.assign_public_ip
      subnets          = var.subnet_ids
      security_groups  = [aws_security_group.tasks.id]
    }
  }
}
