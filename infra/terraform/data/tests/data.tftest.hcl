# terraform test: no AWS, every provider call is a mock.

mock_provider "aws" {}

run "the_table_expires_items_and_streams_both_images" {
  command = plan

  assert {
    condition     = aws_dynamodb_table.status.ttl[0].enabled && aws_dynamodb_table.status.ttl[0].attribute_name == "ttl"
    error_message = "TTL must be on, on the attribute ttl."
  }

  assert {
    condition     = aws_dynamodb_table.status.stream_view_type == "NEW_AND_OLD_IMAGES"
    error_message = "The audit needs the old image of every removed item."
  }

  assert {
    condition     = alltrue([for t in [aws_dynamodb_table.status, aws_dynamodb_table.leases] : t.point_in_time_recovery[0].enabled && t.deletion_protection_enabled])
    error_message = "Both tables must have point-in-time recovery and deletion protection."
  }
}

run "the_dead_letter_queue_keeps_messages_longer_and_takes_bigger_ones" {
  command = plan

  assert {
    condition     = aws_sqs_queue.dead_letter.message_retention_seconds > aws_sqs_queue.events.message_retention_seconds
    error_message = "A redriven message keeps its first time stamp: the dead-letter queue must keep it longer."
  }

  assert {
    condition     = aws_sqs_queue.dead_letter.max_message_size > aws_sqs_queue.events.max_message_size
    error_message = "A dead-lettered copy is bigger than its original."
  }
}

run "names_are_taken_from_the_variables" {
  command = plan

  variables {
    table_name        = "other-status"
    events_queue_name = "other-events"
  }

  assert {
    condition     = aws_dynamodb_table.status.name == "other-status" && aws_sqs_queue.events.name == "other-events"
    error_message = "A name was not taken from its variable."
  }
}

run "a_fifo_queue_has_its_suffix_and_a_dead_letter_queue_of_its_kind" {
  command = plan

  variables {
    queue_type = "fifo"
  }

  assert {
    condition     = alltrue([for q in [aws_sqs_queue.events, aws_sqs_queue.dead_letter] : q.fifo_queue && endswith(q.name, ".fifo")])
    error_message = "Both queues must be FIFO queues, with the suffix that SQS wants."
  }
}
