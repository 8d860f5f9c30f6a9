data "aws_caller_identity" "this" {}

data "aws_partition" "this" {}

data "aws_region" "this" {}

locals {
  account   = data.aws_caller_identity.this.account_id
  partition = data.aws_partition.this.partition
  region    = data.aws_region.this.region

  # The placeholders of infra/iam/*.json and infra/dashboard.json.
  names = {
    Partition           = local.partition
    Region              = local.region
    AccountId           = local.account
    ServiceName         = var.service_name
    TableName           = var.table_name
    LeasesTableName     = var.leases_table_name
    EventsQueueName     = var.events_queue_name
    DeadLetterQueueName = var.dead_letter_queue_name
    AuditStreamName     = var.audit_stream_name
  }

  trust_ecs_tasks_of_this_account = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account }
        ArnLike      = { "aws:SourceArn" = "arn:${local.partition}:ecs:${local.region}:${local.account}:*" }
      }
    }]
  })
}

resource "aws_iam_role" "task" {
  name_prefix        = "${var.service_name}-task-"
  description        = "What the running service may do; infra/iam/task-policy.json"
  assume_role_policy = local.trust_ecs_tasks_of_this_account
}

resource "aws_iam_role_policy" "task" {
  name   = "export-status-task"
  role   = aws_iam_role.task.id
  policy = templatefile("${path.module}/../../iam/task-policy.json", local.names)
}

resource "aws_iam_role" "execution" {
  name_prefix        = "${var.service_name}-exec-"
  description        = "What ECS may do to start the task; pull the image and write its log"
  assume_role_policy = local.trust_ecs_tasks_of_this_account
}

resource "aws_iam_role_policy" "execution" {
  name = "export-status-execution"
  role = aws_iam_role.execution.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "LogInToRegistry"
        Effect   = "Allow"
        Action   = "ecr:GetAuthorizationToken"
        Resource = "*" # this action accepts no narrower resource
      },
      {
        Sid      = "PullImage"
        Effect   = "Allow"
        Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
        Resource = "arn:${local.partition}:ecr:${local.region}:${local.account}:repository/${var.repository_name}"
      },
      {
        Sid      = "WriteLog"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = "${aws_cloudwatch_log_group.this.arn}:*"
      },
    ]
  })
}
