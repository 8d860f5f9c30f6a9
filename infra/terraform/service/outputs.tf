output "cluster_name" {
  description = "Cluster of the service"
  value       = aws_ecs_cluster.this.name
}

output "service_name" {
  description = "Name of the service"
  value       = aws_ecs_service.this.name
}

output "log_group_name" {
  description = "Log group of the service"
  value       = aws_cloudwatch_log_group.this.name
}

output "task_role_arn" {
  description = "What the running service may do"
  value       = aws_iam_role.task.arn
}

output "task_security_group_id" {
  description = "For the inbound rules of your own endpoints"
  value       = aws_security_group.tasks.id
}

output "operator_look_policy_arn" {
  description = "For operators; see everything and change nothing"
  value       = aws_iam_policy.operator["look"].arn
}

output "operator_redrive_policy_arn" {
  description = "For operators, in addition; send events and dead letters"
  value       = aws_iam_policy.operator["redrive"].arn
}

output "operator_replay_policy_arn" {
  description = "For operators, in addition; emit audit entries again and drop dead letters"
  value       = aws_iam_policy.operator["replay"].arn
}
