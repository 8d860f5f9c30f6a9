"""The template of the functions fits the queue, the settings, the handlers, the policies and the zip."""

import importlib
import re

import pytest

from processor.settings import Settings
from tests.docs.markdown import ROOT
from tests.infra.cloudformation import of_type
from tests.infra.policies import actions, policy

FUNCTIONS = of_type("lambda.yaml", "AWS::Lambda::Function")
MAPPINGS = of_type("lambda.yaml", "AWS::Lambda::EventSourceMapping")
ROLES = of_type("lambda.yaml", "AWS::IAM::Role")
# The mappings' pollers use the functions' roles; the lines go to log groups of the stack.
OWN = {"logs:CreateLogStream", "logs:PutLogEvents"}


def allowed(role: str) -> set[str]:
    [document] = [each["PolicyDocument"] for each in ROLES[role]["Policies"]]
    return {action for statement in document["Statement"] for action in statement["Action"]}


def test_the_queue_s_visibility_timeout_is_six_times_the_function_s_timeout() -> None:
    queue = of_type("data.yaml", "AWS::SQS::Queue")["EventsQueue"]
    assert queue["VisibilityTimeout"] >= 6 * FUNCTIONS["TransitionsFunction"]["Timeout"]


def test_the_mappings_are_those_of_the_contract() -> None:
    events, removals = MAPPINGS["EventsMapping"], MAPPINGS["RemovalsMapping"]
    assert events["FunctionResponseTypes"] == removals["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert removals["StartingPosition"] == "TRIM_HORIZON"
    assert removals["FilterCriteria"] == {"Filters": [{"Pattern": '{"eventName": ["REMOVE"]}'}]}
    assert removals["BisectBatchOnFunctionError"] is True
    assert (removals["MaximumRetryAttempts"], removals["MaximumRecordAgeInSeconds"]) == (-1, 23 * 3_600)
    assert removals["ParallelizationFactor"] == 1


@pytest.mark.parametrize("name", FUNCTIONS)
def test_handler_and_variables_are_known_to_the_code(name: str) -> None:
    function = FUNCTIONS[name]
    module, _, attribute = function["Handler"].rpartition(".")
    assert callable(getattr(importlib.import_module(module), attribute))
    known = {str(info.validation_alias) for info in Settings.model_fields.values()}
    assert function["Environment"]["Variables"].keys() <= known


@pytest.mark.parametrize("role", ROLES)
def test_a_function_may_do_no_more_than_a_task(role: str) -> None:
    of_a_task = {action for each in actions(policy("task")).values() for action in each}
    assert allowed(role) - of_a_task <= OWN
    assert allowed("TransitionsRole") & allowed("AuditRole") <= {
        *("sqs:SendMessage", "sqs:GetQueueAttributes"),
        *OWN,
    }


def test_the_zip_is_made_for_the_runtime_of_the_template() -> None:
    makefile = (ROOT / "Makefile").read_text()
    [recipe] = re.findall(r"\nlambda-zip:.*\n(?:\t.*\n)+", makefile)
    assert "--require-hashes -r requirements.lock" in recipe
    assert "aarch64" in recipe
    [version] = re.findall(r"LAMBDA_PYTHON := (\S+)", makefile)
    for function in FUNCTIONS.values():
        assert (function["Runtime"], function["Architectures"]) == (f"python{version}", ["arm64"])
