variable "image" {
  description = "The container image for ARM64, by digest."
  type        = string

  validation {
    condition     = can(regex("^[^@\\s]+@sha256:[0-9a-f]{64}$", var.image))
    error_message = "image must name the image by its digest, REPOSITORY@sha256:DIGEST."
  }
}

variable "repository_name" {
  description = "The ECR repository of the image in this account and region; tasks may pull from no other."
  type        = string
  default     = "export-status"
}

variable "vpc_id" {
  description = "The network of the tasks."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets in at least two zones that reach the AWS endpoints on port 443."
  type        = list(string)
}

variable "assign_public_ip" {
  description = "true only in public subnets without NAT or endpoints. Nothing listens in the task."
  type        = bool
  default     = false
}

variable "streams_endpoint" {
  description = "Whether to create the interface endpoint of DynamoDB Streams, for subnets that reach no public endpoint."
  type        = bool
  default     = false
}

variable "cpu" {
  description = "CPU units of a task."
  type        = string
  default     = "1024"

  validation {
    condition     = contains(["512", "1024", "2048"], var.cpu)
    error_message = "cpu must be one of 512, 1024, 2048."
  }
}

variable "memory" {
  description = "MiB of a task; 4096 with cpu 2048."
  type        = string
  default     = "2048"

  validation {
    condition     = contains(["2048", "4096"], var.memory)
    error_message = "memory must be one of 2048, 4096."
  }
}

variable "min_tasks" {
  description = "Fewest tasks; with 2 the loss of a zone delays nothing."
  type        = number
  default     = 1

  validation {
    condition     = var.min_tasks >= 1
    error_message = "min_tasks must be at least 1."
  }
}

variable "max_tasks" {
  description = "Most tasks."
  type        = number
  default     = 4

  validation {
    condition     = var.max_tasks >= 1
    error_message = "max_tasks must be at least 1."
  }
}

variable "backlog_per_task" {
  description = "Waiting events for each task at which scaling out begins; the accepted latency in seconds times the events a second of one task."
  type        = number
  default     = 3000

  validation {
    condition     = var.backlog_per_task >= 1
    error_message = "backlog_per_task must be at least 1."
  }
}

variable "receivers" {
  description = "EXPORT_RECEIVERS of the service. Threads that receive events in a task, 1 to 64."
  type        = string
  default     = "8"

  validation {
    condition     = can(regex("^[1-9][0-9]?$", var.receivers))
    error_message = "receivers must be a number."
  }
}

variable "status_ttl_seconds" {
  description = "EXPORT_STATUS_TTL_SECONDS of the service. How long an export lives after its request."
  type        = string
  default     = "900"

  validation {
    condition     = can(regex("^[1-9][0-9]{0,8}$", var.status_ttl_seconds))
    error_message = "status_ttl_seconds must be a number."
  }
}

variable "write_mode" {
  description = "EXPORT_WRITE_MODE of the service. How statuses are written; auto asks the table whether it supports conditional batches."
  type        = string
  default     = "auto"

  validation {
    condition     = contains(["auto", "batch", "single"], var.write_mode)
    error_message = "write_mode must be one of auto, batch, single."
  }
}

variable "audit_buckets" {
  description = "EXPORT_AUDIT_BUCKETS of the service. Partition keys that audit entries are spread over, 1 to 256."
  type        = string
  default     = "16"

  validation {
    condition     = can(regex("^[1-9][0-9]{0,2}$", var.audit_buckets))
    error_message = "audit_buckets must be a number."
  }
}

variable "lease_failover_seconds" {
  description = "EXPORT_LEASE_FAILOVER_SECONDS of the service. Other tasks may acquire a lease that was not renewed for this time, 2 to 600."
  type        = string
  default     = "10"

  validation {
    condition     = can(regex("^[1-9][0-9]{0,2}$", var.lease_failover_seconds))
    error_message = "lease_failover_seconds must be a number."
  }
}

variable "log_level" {
  description = "LOG_LEVEL of the service."
  type        = string
  default     = "INFO"

  validation {
    condition     = contains(["DEBUG", "INFO", "WARNING"], var.log_level)
    error_message = "log_level must be one of DEBUG, INFO, WARNING."
  }
}

variable "log_retention_days" {
  description = "How long CloudWatch Logs keeps the service's lines."
  type        = number
  default     = 90

  validation {
    condition     = contains([7, 14, 30, 60, 90, 180, 365], var.log_retention_days)
    error_message = "log_retention_days must be one of 7, 14, 30, 60, 90, 180, 365."
  }
}

variable "alarm_topic_arn" {
  description = "The SNS topic for alarms; empty means no topic."
  type        = string
  default     = ""
}

variable "alarm_topic_policy" {
  description = "Whether to replace the topic's access policy by one that lets alarms and EventBridge publish. Leave it false for a topic whose policy has statements of your own, and add the one for events.amazonaws.com there."
  type        = bool
  default     = false

  validation {
    condition     = !var.alarm_topic_policy || var.alarm_topic_arn != ""
    error_message = "alarm_topic_policy needs alarm_topic_arn."
  }
}

variable "log_bytes_threshold" {
  description = "Log bytes in an hour that raise the alarm; a task that is busy all the time writes about 1 GB."
  type        = number
  default     = 2147483648

  validation {
    condition     = var.log_bytes_threshold >= 1
    error_message = "log_bytes_threshold must be at least 1."
  }
}

variable "unfinished_expiries_threshold" {
  description = "How many unfinished expiries in five minutes raise the alarm."
  type        = number
  default     = 1

  validation {
    condition     = var.unfinished_expiries_threshold >= 1
    error_message = "unfinished_expiries_threshold must be at least 1."
  }
}

variable "service_name" {
  description = "Name of cluster, service, log group, alarms and dashboard."
  type        = string
  default     = "export-status"
}

variable "table_name" {
  description = "The status table."
  type        = string
  default     = "export-status"
}

variable "leases_table_name" {
  description = "The leases table."
  type        = string
  default     = "export-status-leases"
}

variable "events_queue_name" {
  description = "The event queue, with .fifo where it is one."
  type        = string
  default     = "export-events"
}

variable "dead_letter_queue_name" {
  description = "The dead-letter queue, with .fifo where it is one."
  type        = string
  default     = "export-events-dlq"
}

variable "audit_stream_name" {
  description = "The audit stream."
  type        = string
  default     = "export-audit"
}
