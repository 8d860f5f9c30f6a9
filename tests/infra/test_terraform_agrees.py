"""CloudFormation and Terraform describe the same resources, property by property."""

import json
import shutil
import subprocess
from functools import cache
from typing import Any

import pytest

from tests.infra.cloudformation import INFRA, load, resolve, resources
from tests.infra.terraform import MODULES, Module, pascal
from tests.infra.terraform_expected import ADDRESSES, expected

# Arguments of Terraform that stand for what CloudFormation does by itself, or for Terraform's own order.
TERRAFORM_ONLY = {
    "aws_ecs_service.this": {"desired_count", "wait_for_steady_state", "lifecycle", "depends_on"},
    "aws_iam_role.task": {"name_prefix"},
    "aws_iam_role.execution": {"name_prefix"},
    "aws_security_group.tasks": {"name_prefix"},
    "aws_security_group.streams_endpoint": {"name_prefix", "count"},
    "aws_vpc_security_group_ingress_rule.streams_endpoint_https": {"count"},
    "aws_vpc_endpoint.streams": {"count"},
    "aws_sns_topic_policy.alarms": {"count"},
    **{
        f"aws_cloudwatch_event_{kind}.{name}": {"count"}
        for kind in ("rule", "target")
        for name in ("task_failed_to_start", "task_exited", "deployment_failed")
    },
    "aws_cloudwatch_metric_alarm.running_tasks": {"depends_on"},
    "aws_cloudwatch_metric_alarm.stream_lag": {"depends_on"},
}
# One spelling for what Ref and Fn::GetAtt give: `<X>` for the id or name of X, `<X.Arn>` for its ARN.
CLOUDFORMATION_SPELLING = {
    "<TaskSecurityGroup.GroupId>": "<TaskSecurityGroup>",
    "<StreamsEndpointSecurityGroup.GroupId>": "<StreamsEndpointSecurityGroup>",
    "<Service.Name>": "<Service>",
    "<TaskDefinition>": "<TaskDefinition.Arn>",
    "<LagScaling>": "<LagScaling.Arn>",
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


@cache
def module(template: str) -> Module:
    return Module(MODULES[template])


@cache
def wanted(template: str) -> dict[str, dict[str, Any]]:
    """Every Terraform resource that the template asks for, by address."""
    return {
        at: arguments
        for logical_id, resource in resources(template).items()
        for at, arguments in expected(logical_id, resource["Type"], resource["Properties"])
    }


def cases() -> list[Any]:
    return [pytest.param(template, at, id=at) for template in MODULES for at in wanted(template)]


def spelled(value: Any, spelling: dict[str, str]) -> Any:
    """The value with its references respelled; a conditional value is the value it has where it has one."""
    if isinstance(value, list):
        return [spelled(item, spelling) for item in value]
    if isinstance(value, dict) and "if" in value:
        (chosen,) = (value[side] for side in ("then", "else") if value[side] not in ([], "<NoValue>"))
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


@pytest.mark.parametrize("template", MODULES)
def test_neither_side_describes_a_resource_that_the_other_lacks(template: str) -> None:
    assert module(template).resources.keys() == wanted(template).keys()


@pytest.mark.parametrize(("template", "at"), cases())
def test_terraform_agrees_with_the_template(template: str, at: str) -> None:
    found = dict(module(template).resources[at])
    for argument in TERRAFORM_ONLY.get(at, set()):
        del found[argument]
    meant = spelled(wanted(template)[at], CLOUDFORMATION_SPELLING)
    if at == "aws_cloudwatch_dashboard.this":
        meant["dashboard_body"] = json.loads(meant["dashboard_body"])
    if at == "aws_sqs_queue_redrive_allow_policy.dead_letter":
        # The template spells the source's ARN out, since a reference would close a cycle.
        arn = "arn:<Partition>:sqs:<Region>:<AccountId>:<EventsQueueName>"
        meant = spelled(meant, {arn: "<EventsQueue.Arn>"})
    spelling = terraform_spelling()
    assert spelled(found, spelling) == spelled(meant, spelling)


def test_an_apply_waits_for_a_stable_service_and_leaves_the_count_to_the_scaling() -> None:
    service = module("service.yaml").resources["aws_ecs_service.this"]
    assert service["wait_for_steady_state"] is True
    assert service["lifecycle"] == [{"ignore_changes": ["desired_count"]}]


def default_of(parameter: dict[str, Any]) -> Any:
    """The default of a parameter as Terraform writes it."""
    if parameter["Type"] == "CommaDelimitedList" or "separated by commas" in parameter["Description"]:
        return parameter["Default"].split(",") if parameter["Default"] else []
    return BOOLEANS.get(parameter["Default"], parameter["Default"])


@pytest.mark.parametrize("template", MODULES)
def test_variables_are_the_template_s_parameters_with_the_same_defaults(template: str) -> None:
    parameters = {
        name: default_of(value) if "Default" in value else None
        for name, value in load(template)["Parameters"].items()
    }
    variables = {pascal(name): value.get("default") for name, value in module(template).variables.items()}
    assert variables == parameters


@pytest.mark.parametrize("template", MODULES)
def test_outputs_are_the_template_s_outputs(template: str) -> None:
    outputs = {name: resolve(output["Value"]) for name, output in load(template)["Outputs"].items()}
    found = {pascal(name): value for name, value in module(template).outputs.items()}
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
        module("data.yaml").evaluate("${sort(var.names)}")
