output "table_name" {
  description = "DYNAMODB_EXPORT_STATUS_TABLE"
  value       = aws_dynamodb_table.status.name
}

output "table_arn" {
  description = "ARN of the status table"
  value       = aws_dynamodb_table.status.arn
}

output "table_stream_arn" {
  description = "ARN of the status table's stream; a restored table has another one"
  value       = aws_dynamodb_table.status.stream_arn
}

output "leases_table_name" {
  description = "DYNAMODB_EXPORT_LEASES_TABLE"
  value       = aws_dynamodb_table.leases.name
}

output "leases_table_arn" {
  description = "ARN of the leases table"
  value       = aws_dynamodb_table.leases.arn
}

output "events_queue_url" {
  description = "SQS_EXPORT_EVENTS_QUEUE_URL"
  value       = aws_sqs_queue.events.id
}

output "events_queue_arn" {
  description = "ARN of the event queue"
  value       = aws_sqs_queue.events.arn
}

output "dead_letter_queue_url" {
  description = "SQS_EXPORT_EVENTS_DLQ_URL"
  value       = aws_sqs_queue.dead_letter.id
}

output "dead_letter_queue_arn" {
  description = "ARN of the dead-letter queue"
  value       = aws_sqs_queue.dead_letter.arn
}

output "audit_stream_name" {
  description = "KINESIS_EXPORT_AUDIT_STREAM"
  value       = aws_kinesis_stream.audit.name
}

output "audit_stream_arn" {
  description = "ARN of the audit stream"
  value       = aws_kinesis_stream.audit.arn
}
