# terraform test: no AWS, every provider call is a mock.

mock_provider "aws" {}

override_data {
  target = data.aws_caller_identity.this
  values = { account_id = "123456789012" }
}

override_data {
  target = data.aws_partition.this
  values = { partition = "aws", dns_suffix = "amazonaws.com" }
}

override_data {
  target = data.aws_region.this
  values = { region = "us-east-1" }
}

variables {
  image      = "123456789012.dkr.ecr.us-east-1.amazonaws.com/export-status@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  vpc_id     = "vpc-0123456789abcdef0"
  subnet_ids = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
}

run "the_task_outlives_its_drain_and_never_audits_to_the_log_alone" {
  command = apply

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].stopTimeout > 25
    error_message = "stopTimeout must be above EXPORT_DRAIN_SECONDS."
  }

  assert {
    condition     = contains(jsondecode(aws_ecs_task_definition.this.container_definitions)[0].environment, { name = "EXPORT_AUDIT_SINKS", value = "kinesis,log" })
    error_message = "A non-blocking log driver drops lines: entries must go to Kinesis too."
  }

  assert {
    condition     = contains(jsondecode(aws_ecs_task_definition.this.container_definitions)[0].environment, { name = "SQS_EXPORT_EVENTS_QUEUE_URL", value = "https://sqs.us-east-1.amazonaws.com/123456789012/export-events" })
    error_message = "The queue's URL is made of region, account and name."
  }
}

run "the_task_s_policy_is_the_one_of_infra_iam_with_its_names_filled_in" {
  command = apply

  assert {
    condition     = jsondecode(aws_iam_role_policy.task.policy).Statement[0].Resource == "arn:aws:sqs:us-east-1:123456789012:export-events"
    error_message = "The first statement is about the event queue."
  }

  assert {
    condition     = length([for s in jsondecode(aws_iam_role_policy.task.policy).Statement : s if s.Resource == "*"]) == 1
    error_message = "Only ListStreams is granted on *."
  }
}

run "without_a_topic_alarms_tell_nobody_and_no_endpoint_is_made" {
  command = apply

  assert {
    condition     = length(aws_cloudwatch_metric_alarm.this["dead-letters"].alarm_actions) == 0
    error_message = "An alarm has an action although there is no topic."
  }

  assert {
    condition     = length(aws_vpc_endpoint.streams) == 0
    error_message = "The endpoint is made only when asked for."
  }
}

run "with_a_topic_and_the_endpoint_both_are_used" {
  command = apply

  variables {
    alarm_topic_arn  = "arn:aws:sns:us-east-1:123456789012:export-status-alarms"
    streams_endpoint = true
  }

  override_resource {
    target = aws_vpc_endpoint.streams
    values = { dns_entry = [{ dns_name = "vpce-1.streams.dynamodb.us-east-1.vpce.amazonaws.com", hosted_zone_id = "Z" }] }
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["dead-letters"].alarm_actions == toset([var.alarm_topic_arn])
    error_message = "The alarm does not tell the topic."
  }

  assert {
    condition     = contains(jsondecode(aws_ecs_task_definition.this.container_definitions)[0].environment, { name = "AWS_ENDPOINT_URL_DYNAMODB_STREAMS", value = "https://vpce-1.streams.dynamodb.us-east-1.vpce.amazonaws.com" })
    error_message = "The endpoint has no private DNS: the service must be told its name."
  }
}

run "an_image_without_a_digest_is_refused" {
  command = plan

  variables {
    image = "export-status:latest"
  }

  expect_failures = [var.image]
}
