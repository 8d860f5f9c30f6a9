"""Two deployments live in one account: no name is fixed, and a second data plane comes up next to one."""

import json
import re

import pytest

from processor.localaws.clients import emulator_client
from tests.infra.cloudformation import INFRA, TEMPLATES, parameter_defaults, resources
from tests.waiting import eventually

NAMES_OF_RESOURCES = (
    *("TableName", "QueueName", "Name", "ClusterName", "LogGroupName", "Family", "ServiceName"),
    *("AlarmName", "DashboardName"),
)


@pytest.mark.parametrize("template", TEMPLATES)
def test_two_deployments_in_one_account_have_no_name_in_common(template: str) -> None:
    for logical_id, resource in resources(template).items():
        endpoint = resource["Type"] == "AWS::EC2::VPCEndpoint"  # its ServiceName is AWS's
        for name in NAMES_OF_RESOURCES if not endpoint else ():
            given = resource["Properties"].get(name)
            assert given is None or re.search(r"<\w+Name>", str(given)), (logical_id, given)


@pytest.mark.slow
def test_a_second_deployment_with_fifo_queues_comes_up_next_to_another(ministack: str) -> None:
    sqs, cloudformation = (emulator_client(name, ministack) for name in ("sqs", "cloudformation"))
    names = [name for name in parameter_defaults("data.yaml") if name.endswith("Name")]

    def is_made(stack: str) -> bool:
        (found,) = cloudformation.describe_stacks(StackName=stack)["Stacks"]
        return bool(found["StackStatus"] == "CREATE_COMPLETE")

    for stack, kind in (("one", "standard"), ("two", "fifo")):
        given = {name: f"{stack}-{name}" for name in names} | {"QueueType": kind}
        cloudformation.create_stack(
            StackName=stack,
            TemplateBody=(INFRA / "data.yaml").read_text(),
            Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in given.items()],
        )
        eventually(lambda: is_made(stack))  # noqa: B023
    events, letters = (
        sqs.get_queue_attributes(
            QueueUrl=sqs.get_queue_url(QueueName=f"two-{name}.fifo")["QueueUrl"], AttributeNames=["All"]
        )["Attributes"]
        for name in ("EventsQueueName", "DeadLetterQueueName")
    )
    for attributes in (events, letters):
        assert (attributes["FifoQueue"], attributes["ContentBasedDeduplication"]) == ("true", "true")
    assert json.loads(events["RedrivePolicy"])["deadLetterTargetArn"] == letters["QueueArn"]
    assert json.loads(letters["RedriveAllowPolicy"])["sourceQueueArns"] == [events["QueueArn"]]
