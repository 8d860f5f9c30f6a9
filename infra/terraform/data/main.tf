# The data plane, resource by resource what infra/data.yaml describes; a test compares the two.
# deletion_protection_enabled guards the tables. Queues and stream go with `terraform destroy`.

resource "aws_dynamodb_table" "status" {
  name         = var.table_name
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "requestId"

  attribute {
    name = "requestId"
    type = "S"
  }

  ttl {
    attribute_name = "ttl"
    enabled        = true
  }

  stream_enabled   = true
  stream_view_type = "NEW_AND_OLD_IMAGES"

  point_in_time_recovery {
    enabled                 = true
    recovery_period_in_days = 7 # items live for minutes; older backups only keep signed URLs
  }

  server_side_encryption { # without a key: KMS with alias/aws/dynamodb
    enabled = true
  }

  deletion_protection_enabled = true
}

resource "aws_dynamodb_table" "leases" {
  name         = var.leases_table_name
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "leaseKey"

  attribute {
    name = "leaseKey"
    type = "S"
  }

  point_in_time_recovery {
    enabled                 = true
    recovery_period_in_days = 7 # items live for minutes; older backups only keep signed URLs
  }

  server_side_encryption {
    enabled = true
  }

  deletion_protection_enabled = true
}

resource "aws_sqs_queue" "events" {
  name                       = local.is_fifo ? "${var.events_queue_name}.fifo" : var.events_queue_name
  max_message_size           = 262144 # 256 KiB; the dead-letter queue takes more, so a copy with attributes always fits
  visibility_timeout_seconds = 120    # well above one batch: receive, write, settle
  receive_wait_time_seconds  = 20
  message_retention_seconds  = 345600 # 4 days
  sqs_managed_sse_enabled    = true

  fifo_queue                  = local.is_fifo ? true : null
  content_based_deduplication = local.is_fifo ? true : null # for producers without a deduplication id
  deduplication_scope         = local.is_fifo ? "messageGroup" : null
  fifo_throughput_limit       = local.is_fifo ? "perMessageGroupId" : null # as many events as groups allow

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letter.arn
    maxReceiveCount     = 60 # 2 s doubling to 60 s: an event that came too early can wait out the TTL
  })
}

resource "aws_sqs_queue" "dead_letter" {
  name                      = local.is_fifo ? "${var.dead_letter_queue_name}.fifo" : var.dead_letter_queue_name
  max_message_size          = 1048576 # 1 MiB
  message_retention_seconds = 1209600 # 14 days; the clock of a redriven message started in the event queue
  sqs_managed_sse_enabled   = true

  fifo_queue                  = local.is_fifo ? true : null
  content_based_deduplication = local.is_fifo ? true : null # for producers without a deduplication id
  deduplication_scope         = local.is_fifo ? "messageGroup" : null
  fifo_throughput_limit       = local.is_fifo ? "perMessageGroupId" : null # as many events as groups allow
}

resource "aws_sqs_queue_redrive_allow_policy" "dead_letter" {
  queue_url = aws_sqs_queue.dead_letter.id

  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [aws_sqs_queue.events.arn]
  })
}

resource "aws_sqs_queue_policy" "events" {
  queue_url = aws_sqs_queue.events.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([{
      Sid       = "DenyInsecureTransport"
      Effect    = "Deny"
      Principal = "*"
      Action    = "sqs:*"
      Resource  = aws_sqs_queue.events.arn
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }], local.producer_sources, local.producer_principals)
  })
}

locals {
  is_fifo = var.queue_type == "fifo"

  producer_sources = length(var.producer_source_arns) > 0 ? [{
    Sid       = "SendFromServices"
    Effect    = "Allow"
    Principal = { Service = ["events.amazonaws.com", "sns.amazonaws.com"] }
    Action    = "sqs:SendMessage"
    Resource  = aws_sqs_queue.events.arn
    Condition = { ArnEquals = { "aws:SourceArn" = var.producer_source_arns } }
  }] : []

  producer_principals = length(var.producer_principal_arns) > 0 ? [{
    Sid       = "SendFromPrincipals"
    Effect    = "Allow"
    Principal = { AWS = var.producer_principal_arns }
    Action    = "sqs:SendMessage"
    Resource  = aws_sqs_queue.events.arn
  }] : []
}

resource "aws_sqs_queue_policy" "dead_letter" {
  queue_url = aws_sqs_queue.dead_letter.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "DenyInsecureTransport"
      Effect    = "Deny"
      Principal = "*"
      Action    = "sqs:*"
      Resource  = aws_sqs_queue.dead_letter.arn
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })
}

resource "aws_kinesis_stream" "audit" {
  name             = var.audit_stream_name
  retention_period = 168
  encryption_type  = "KMS"
  kms_key_id       = "alias/aws/kinesis"

  stream_mode_details {
    stream_mode = "ON_DEMAND"
  }
}
