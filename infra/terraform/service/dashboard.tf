resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.service_name
  dashboard_body = templatefile("${path.module}/../../dashboard.json", local.names)
}
