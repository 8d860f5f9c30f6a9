# The service plane, resource by resource what infra/service.yaml describes; a test compares the two.

resource "aws_ecs_cluster" "this" {
  name = var.service_name

  setting {
    name  = "containerInsights" # scaling and an alarm need its RunningTaskCount
    value = "enabled"
  }
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/ecs/${var.service_name}"
  retention_in_days = var.log_retention_days
  skip_destroy      = true
}

resource "aws_ecs_task_definition" "this" {
  family                   = var.service_name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory
  task_role_arn            = aws_iam_role.task.arn
  execution_role_arn       = aws_iam_role.execution.arn

  runtime_platform {
    cpu_architecture        = "ARM64"
    operating_system_family = "LINUX"
  }

  volume {
    name = "tmp" # the health file; the image declares /tmp as a volume, which keeps its mode 1777
  }

  container_definitions = jsonencode([{
    name                   = "export-status"
    image                  = var.image
    essential              = true
    command                = ["run"]
    user                   = "10001:10001"
    readonlyRootFilesystem = true
    mountPoints            = [{ sourceVolume = "tmp", containerPath = "/tmp", readOnly = false }]
    linuxParameters = {
      initProcessEnabled = true
      capabilities       = { drop = ["ALL"] }
    }
    stopTimeout = 60 # above EXPORT_DRAIN_SECONDS; Fargate allows 120 at most
    healthCheck = {
      command     = ["CMD", "export-status", "healthcheck"]
      interval    = 30
      timeout     = 10
      retries     = 3
      startPeriod = 60
    }
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.this.name
        awslogs-region        = local.region
        awslogs-stream-prefix = var.service_name
        mode                  = "non-blocking" # lines are dropped under pressure: audit entries go to Kinesis too
        max-buffer-size       = "25m"
      }
    }
    environment = concat([
      { name = "AWS_REGION", value = local.region },
      { name = "DYNAMODB_EXPORT_STATUS_TABLE", value = var.table_name },
      { name = "DYNAMODB_EXPORT_LEASES_TABLE", value = var.leases_table_name },
      { name = "SQS_EXPORT_EVENTS_QUEUE_URL", value = "${local.sqs_url}/${var.events_queue_name}" },
      { name = "SQS_EXPORT_EVENTS_DLQ_URL", value = "${local.sqs_url}/${var.dead_letter_queue_name}" },
      { name = "EXPORT_AUDIT_SINKS", value = "kinesis,log" },
      { name = "KINESIS_EXPORT_AUDIT_STREAM", value = var.audit_stream_name },
      { name = "EXPORT_DRAIN_SECONDS", value = "25" },
      { name = "EXPORT_METRICS_SECONDS", value = "60" },
      { name = "EXPORT_SERVICE_NAME", value = var.service_name },
      { name = "EXPORT_RECEIVERS", value = var.receivers },
      { name = "EXPORT_STATUS_TTL_SECONDS", value = var.status_ttl_seconds },
      { name = "EXPORT_WRITE_MODE", value = var.write_mode },
      { name = "EXPORT_AUDIT_BUCKETS", value = var.audit_buckets },
      { name = "EXPORT_LEASE_FAILOVER_SECONDS", value = var.lease_failover_seconds },
      { name = "LOG_FORMAT", value = "json" },
      { name = "LOG_LEVEL", value = var.log_level },
    ], local.streams_endpoint)
  }])
}

locals {
  sqs_url = "https://sqs.${local.region}.${data.aws_partition.this.dns_suffix}/${local.account}"

  streams_endpoint = var.streams_endpoint ? [{
    name  = "AWS_ENDPOINT_URL_DYNAMODB_STREAMS"
    value = "https://${aws_vpc_endpoint.streams[0].dns_entry[0].dns_name}"
  }] : []
}

resource "aws_ecs_service" "this" {
  name                               = var.service_name
  cluster                            = aws_ecs_cluster.this.id
  task_definition                    = aws_ecs_task_definition.this.arn
  launch_type                        = "FARGATE"
  availability_zone_rebalancing      = "ENABLED"
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  enable_ecs_managed_tags            = true
  propagate_tags                     = "SERVICE"
  desired_count                      = var.min_tasks
  wait_for_steady_state              = true # as CloudFormation does: an apply fails where the circuit breaker rolls back

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  alarms { # the service's own failures; a producer's bad events roll nothing back. ECS ignores one that is on already
    enable   = true
    rollback = true
    alarm_names = [
      aws_cloudwatch_metric_alarm.deployment["oldest-message"].alarm_name,
      aws_cloudwatch_metric_alarm.deployment["store-paused"].alarm_name,
      aws_cloudwatch_metric_alarm.deployment["receive-errors"].alarm_name,
      aws_cloudwatch_metric_alarm.deployment["part-waiting"].alarm_name,
      aws_cloudwatch_metric_alarm.deployment_math["failed-tasks"].alarm_name,
      aws_cloudwatch_metric_alarm.deployment_math["rejections"].alarm_name,
    ]
  }

  network_configuration {
    assign_public_ip = var.assign_public_ip
    subnets          = var.subnet_ids
    security_groups  = [aws_security_group.tasks.id]
  }

  lifecycle {
    ignore_changes = [desired_count] # scaling sets it after the start
  }

  depends_on = [aws_iam_role_policy.task, aws_iam_role_policy.execution]
}
