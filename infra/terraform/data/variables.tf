variable "table_name" {
  description = "The status table (DYNAMODB_EXPORT_STATUS_TABLE)."
  type        = string
  default     = "export-status"
}

variable "leases_table_name" {
  description = "Shard leases and checkpoints (DYNAMODB_EXPORT_LEASES_TABLE)."
  type        = string
  default     = "export-status-leases"
}

variable "events_queue_name" {
  description = "The queue that producers send to (SQS_EXPORT_EVENTS_QUEUE_URL); a FIFO queue gets the suffix .fifo."
  type        = string
  default     = "export-events"
}

variable "dead_letter_queue_name" {
  description = "Where rejected events and refused audit entries wait for a person (SQS_EXPORT_EVENTS_DLQ_URL)."
  type        = string
  default     = "export-events-dlq"
}

variable "audit_stream_name" {
  description = "The Kinesis data stream of audit entries (KINESIS_EXPORT_AUDIT_STREAM)."
  type        = string
  default     = "export-audit"
}

variable "queue_type" {
  description = "fifo keeps the order of each message group. It cannot be changed later, and SNS topics and EventBridge rules must send a group id."
  type        = string
  default     = "standard"

  validation {
    condition     = contains(["standard", "fifo"], var.queue_type)
    error_message = "queue_type must be standard or fifo."
  }
}

variable "producer_source_arns" {
  description = "SNS topics and EventBridge rules that may send events, by ARN; no others of the account may."
  type        = list(string)
  default     = []
}

variable "producer_principal_arns" {
  description = "Roles or accounts that may send events, by ARN; for roles of other accounts, or of this one without a policy of its own."
  type        = list(string)
  default     = []
}
