resource "aws_security_group" "tasks" {
  name_prefix = "${var.service_name}-tasks-"
  description = "Tasks of export-status; nothing comes in, AWS endpoints go out"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_egress_rule" "tasks_https" {
  security_group_id = aws_security_group.tasks.id
  description       = "HTTPS to AWS endpoints"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = "0.0.0.0/0"
}

resource "aws_security_group" "streams_endpoint" {
  count       = var.streams_endpoint ? 1 : 0
  name_prefix = "${var.service_name}-streams-"
  description = "Interface endpoint of DynamoDB Streams for export-status"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "streams_endpoint_https" {
  count                        = var.streams_endpoint ? 1 : 0
  security_group_id            = aws_security_group.streams_endpoint[0].id
  description                  = "HTTPS from the tasks"
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  referenced_security_group_id = aws_security_group.tasks.id
}

resource "aws_vpc_endpoint" "streams" {
  count               = var.streams_endpoint ? 1 : 0
  vpc_id              = var.vpc_id
  service_name        = "com.amazonaws.${local.region}.dynamodb-streams"
  vpc_endpoint_type   = "Interface"
  private_dns_enabled = false # this endpoint has none, hence AWS_ENDPOINT_URL_DYNAMODB_STREAMS
  subnet_ids          = var.subnet_ids
  security_group_ids  = [aws_security_group.streams_endpoint[0].id]
}
