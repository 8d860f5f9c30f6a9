"""CloudFormation and Terraform describe the same resources, property by property."""

from collections import Counter
from functools import cache
from typing import Any

import pytest

from tests.infra.cloudformation import NO_VALUE, load, resolve, resources
from tests.infra.facts import address, facts
from tests.infra.terraform import MODULES, Module, pascal

# Resources of Terraform that are a part of one of CloudFormation.
PARTS = {
    "aws_sqs_queue_redrive_allow_policy": "aws_sqs_queue",
    "aws_iam_role_policy": "aws_iam_role",
    "aws_cloudwatch_event_target": "aws_cloudwatch_event_rule",
    "aws_vpc_security_group_egress_rule": "aws_security_group",
    "aws_vpc_security_group_ingress_rule": "aws_security_group",
}
# Arguments of Terraform for what CloudFormation does by itself, or for Terraform's own order. In the
# templates, alarms that would need depends_on are in a stack that is deployed after the service.
TERRAFORM_ONLY = {
    *("count", "depends_on", "desired_count", "ignore_changes", "name_prefix", "skip_destroy"),
    "wait_for_steady_state",
}
IMPLIED = {
    *(("key_type", "HASH"), ("stream_enabled", "True"), ("ssetype", "KMS")),
    *((name, "<ScalableTarget>") for name in ("service_namespace", "scalable_dimension")),
}
# One spelling for what Ref and Fn::GetAtt give: `<X>` for the id or name of X, `<X.Arn>` for its ARN.
CLOUDFORMATION_SPELLING = {
    "<TaskSecurityGroup.GroupId>": "<TaskSecurityGroup>",
    "<StreamsEndpointSecurityGroup.GroupId>": "<StreamsEndpointSecurityGroup>",
    "<Service.Name>": "<Service>",
    "<TaskDefinition>": "<TaskDefinition.Arn>",
    "<ProbeTaskDefinition>": "<ProbeTaskDefinition.Arn>",
    "<LagScaling>": "<LagScaling.Arn>",
    **{f"<Operator{each}Policy>": f"<Operator{each}Policy.Arn>" for each in ("Look", "Redrive", "Replay")},
    "<LogGroup.Arn>": "<LogGroup.Arn>:*",
    # The entries read "zone:name"; the first is the endpoint's own.
    "{'Fn::Select': [1, {'Fn::Split': [':', {'Fn::Select': [0, "
    "'<DynamoDBStreamsEndpoint.DnsEntries>']}]}]}": "<DynamoDBStreamsEndpoint.dns_name>",
}
TERRAFORM_SPELLING = {
    "<aws_vpc_endpoint.streams[0].dns_entry[0].dns_name>": "<DynamoDBStreamsEndpoint.dns_name>"
}
ATTRIBUTES = (
    *("", ".id", ".name", ".alarm_name", ".resource_id", ".service_namespace", ".scalable_dimension"),
)
"""What Terraform gives where Ref gives the same."""

# Values of the two languages that mean the same.
BOOLEANS = {"true": True, "false": False, "ENABLED": True, "DISABLED": False}


module = cache(Module)


@cache
def logical_ids(name: str) -> dict[str, str]:
    """The templates' resources by the address that they have in the module."""
    return {address(each): each for template in MODULES[name] for each in resources(template)}


def cases() -> list[Any]:
    return [pytest.param(name, at, id=at) for name in MODULES for at in logical_ids(name)]


def spelled(value: Any, spelling: dict[str, str]) -> Any:
    """The value with its references respelled; a conditional value is the value it has where it has one."""
    if isinstance(value, list):
        return [spelled(item, spelling) for item in value]
    if isinstance(value, dict) and "if" in value:
        there = [value[side] for side in ("then", "else") if value[side] not in ([], NO_VALUE, None)]
        if len(there) == 2:
            return {"one": [spelled(each, spelling) for each in there]}
        (chosen,) = there
        return {"sometimes": spelled(chosen[0] if isinstance(chosen, list) else chosen, spelling)}
    if isinstance(value, dict):
        return {key: spelled(item, spelling) for key, item in value.items()}
    if isinstance(value, str):
        for written, meant in spelling.items():
            value = value.replace(written, meant)
    return value


@cache
def terraform_spelling() -> dict[str, str]:
    spelling = dict(TERRAFORM_SPELLING)
    for at, logical_id in [each for name in MODULES for each in logical_ids(name).items()]:
        for indexed in (at, f"{at}[0]"):
            spelling |= {f"<{indexed}.arn>": f"<{logical_id}.Arn>"}
            spelling |= {f"<{indexed}{attribute}>": f"<{logical_id}>" for attribute in ATTRIBUTES}
    return spelling


def whole(at: str) -> str:
    """The address of the resource that this one is a part of, or its own."""
    kind, _, name = at.partition(".")
    return f"{PARTS.get(kind, kind)}.{name.removesuffix('_https')}"


@pytest.mark.parametrize("name", MODULES)
def test_neither_side_describes_a_resource_that_the_other_lacks(name: str) -> None:
    assert {whole(at) for at in module(name).resources} == logical_ids(name).keys()


@pytest.mark.parametrize(("name", "at"), cases())
def test_terraform_agrees_with_the_template(name: str, at: str) -> None:
    logical_id = logical_ids(name)[at]
    (properties,) = [
        each["Properties"] for template in MODULES[name] if (each := resources(template).get(logical_id))
    ]
    if logical_id == "StreamsEndpointSecurityGroup":
        del properties["SecurityGroupEgress"]  # CloudFormation's way to say "no rule"
    if logical_id == "DeadLetterQueue":
        properties["RedriveAllowPolicy"]["sourceQueueArns"] = ["<EventsQueue.Arn>"]
    meant = Counter(facts(spelled(properties, CLOUDFORMATION_SPELLING)))
    found = Counter(
        fact
        for part, arguments in module(name).resources.items()
        if whole(part) == at
        for fact in facts(spelled(arguments, terraform_spelling()))
        # A part names its whole.
        if fact[0] not in TERRAFORM_ONLY and fact[1] != f"<{logical_id}>"
    )
    for fact in IMPLIED:
        del meant[fact], found[fact]
    assert found == meant


def test_an_apply_waits_for_a_stable_service_and_leaves_the_count_to_the_scaling() -> None:
    service = module("service").resources["aws_ecs_service.this"]
    assert service["wait_for_steady_state"] is True
    assert service["lifecycle"] == [{"ignore_changes": ["desired_count"]}]
    assert module("service").resources["aws_cloudwatch_log_group.this"]["skip_destroy"] is True


def default_of(parameter: dict[str, Any]) -> Any:
    """The default of a parameter as Terraform writes it."""
    if parameter["Type"] == "CommaDelimitedList" or "separated by commas" in parameter["Description"]:
        return parameter["Default"].split(",") if parameter["Default"] else []
    return BOOLEANS.get(parameter["Default"], parameter["Default"])


@pytest.mark.parametrize("name", MODULES)
def test_variables_are_the_templates_parameters_with_the_same_defaults(name: str) -> None:
    parameters = {
        parameter: default_of(value) if "Default" in value else None
        for template in MODULES[name]
        for parameter, value in load(template)["Parameters"].items()
    }
    variables = {pascal(each): value.get("default") for each, value in module(name).variables.items()}
    assert variables == parameters


def test_a_parameter_of_both_templates_is_the_same_in_both() -> None:
    of_service, of_watch = (load(name)["Parameters"] for name in MODULES["service"])
    both = of_service.keys() & of_watch.keys()
    assert {name: of_service[name] for name in both} == {name: of_watch[name] for name in both}


@pytest.mark.parametrize("name", MODULES)
def test_outputs_are_the_templates_outputs(name: str) -> None:
    outputs = {
        output: resolve(value["Value"])
        for template in MODULES[name]
        for output, value in load(template)["Outputs"].items()
    }
    found = {pascal(output): value for output, value in module(name).outputs.items()}
    stream_arn = {"<aws_dynamodb_table.status.stream_arn>": "<StatusTable.StreamArn>"}
    assert spelled(found, terraform_spelling() | stream_arn) == spelled(outputs, CLOUDFORMATION_SPELLING)


def test_a_reference_that_the_comparison_does_not_understand_is_an_error() -> None:
    with pytest.raises(ValueError, match="not understood"):
        module("data").evaluate("${sort(var.names)}")
