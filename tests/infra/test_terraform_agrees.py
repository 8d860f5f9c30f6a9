"""CloudFormation and Terraform describe the same resources, property by property."""

import json
import shutil
import subprocess
from functools import cache
from typing import Any

import pytest

from tests.infra.cloudformation import INFRA, NO_VALUE, load, resolve, resources
from tests.infra.terraform import MODULES, Module, pascal
from tests.infra.terraform_expected import ADDRESSES, expected

# Arguments of Terraform that stand for what CloudFormation does by itself, or for Terraform's own order.
TERRAFORM_ONLY = {
    "aws_ecs_service.this": {"desired_count", "wait_for_steady_state", "lifecycle", "depends_on"},
    "aws_vpc_security_group_ingress_rule.streams_endpoint_https": {"count"},
    "aws_vpc_endpoint.streams": {"count"},
    "aws_sns_topic_policy.alarms": {"count"},
    "aws_cloudwatch_event_rule.probe": {"depends_on"},
    "aws_security_group.streams_endpoint": {"name_prefix", "count"},
    "aws_security_group": {"name_prefix"},
    "aws_iam_role": {"name_prefix"},
    "aws_iam_policy": {"name_prefix"},
    # In the templates they are in a stack that is deployed after the service.
    "aws_cloudwatch_metric_alarm.this": {"depends_on"},
    "aws_cloudwatch_metric_alarm.math": {"depends_on"},
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
# Values of the two languages that mean the same.
BOOLEANS = {"true": True, "false": False, "ENABLED": True, "DISABLED": False}


module = cache(Module)


@cache
def wanted(name: str) -> dict[str, dict[str, Any]]:
    """Every Terraform resource that the module's templates ask for, by address."""
    return {
        at: arguments
        for template in MODULES[name]
        for logical_id, resource in resources(template).items()
        for at, arguments in expected(logical_id, resource["Type"], resource["Properties"])
    }


def cases() -> list[Any]:
    return [pytest.param(name, at, id=at) for name in MODULES for at in wanted(name)]


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


def terraform_spelling() -> dict[str, str]:
    spelling = dict(TERRAFORM_SPELLING)
    for logical_id, at in ADDRESSES.items():
        for indexed in (at, f"{at}[0]"):
            spelling |= {f"<{indexed}.arn>": f"<{logical_id}.Arn>"}
            spelling |= {f"<{indexed}{attribute}>": f"<{logical_id}>" for attribute in ("", ".id", ".name")}
    return spelling


@pytest.mark.parametrize("name", MODULES)
def test_neither_side_describes_a_resource_that_the_other_lacks(name: str) -> None:
    assert module(name).resources.keys() == wanted(name).keys()


@pytest.mark.parametrize(("name", "at"), cases())
def test_terraform_agrees_with_the_template(name: str, at: str) -> None:
    found = dict(module(name).resources[at])
    kinds = (at, at.partition("[")[0], at.partition(".")[0])
    for argument in next((TERRAFORM_ONLY[kind] for kind in kinds if kind in TERRAFORM_ONLY), set()):
        del found[argument]
    meant = spelled(wanted(name)[at], CLOUDFORMATION_SPELLING)
    if at == "aws_cloudwatch_dashboard.this":
        meant["dashboard_body"] = json.loads(meant["dashboard_body"])
    if at == "aws_sqs_queue_redrive_allow_policy.dead_letter":
        # The template spells the source's ARN out, since a reference would close a cycle.
        (arns,) = meant["redrive_allow_policy"].pop("sourceQueueArns")
        arn = "arn:<Partition>:sqs:<Region>:<AccountId>:<EventsQueueName>"
        assert arns == {"one": [f"{arn}.fifo", arn]}
        meant["redrive_allow_policy"]["sourceQueueArns"] = ["<EventsQueue.Arn>"]
    spelling = terraform_spelling()
    assert spelled(found, spelling) == spelled(meant, spelling)


def test_an_apply_waits_for_a_stable_service_and_leaves_the_count_to_the_scaling() -> None:
    service = module("service").resources["aws_ecs_service.this"]
    assert service["wait_for_steady_state"] is True
    assert service["lifecycle"] == [{"ignore_changes": ["desired_count"]}]


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


def test_terraform_files_are_formatted() -> None:
    terraform = shutil.which("terraform")
    if terraform is None:
        pytest.skip("terraform is not installed; the other tests parse its files without it")
    done = subprocess.run(
        [terraform, "fmt", "-check", "-recursive", str(INFRA / "terraform")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_a_reference_that_the_comparison_does_not_understand_is_an_error() -> None:
    with pytest.raises(ValueError, match="not understood"):
        module("data").evaluate("${sort(var.names)}")
