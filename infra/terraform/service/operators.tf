# For people: attach the first to every operator, the others to those who may do more.

locals {
  operator_policies = {
    look    = "For operators; see everything and change nothing"
    redrive = "For operators, in addition to the first; send events and dead letters"
    replay  = "For operators, in addition to the first; emit audit entries again and drop dead letters"
  }
}

resource "aws_iam_policy" "operator" {
  for_each    = local.operator_policies
  name_prefix = "${var.service_name}-${each.key}-"
  description = "${each.value}; infra/iam/${each.key}-policy.json"
  policy      = templatefile("${path.module}/../../iam/${each.key}-policy.json", local.names)
}
