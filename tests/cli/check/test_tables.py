"""What `check` makes of answers about tables that no emulator gives."""

from typing import Any

import pytest

from processor.aws.errors import Misconfigured
from processor.cli.check.deployed_state import Answer, DeployedState, Queue
from processor.cli.check.finding import Finding, Verdict
from processor.cli.check.tables import judge_status_table
from processor.cli.check.target import Target
from tests.cli.check.world import AWS, ROLE, by_subject

EMULATOR = Target("eu-west-1", {"dynamodb": "http://127.0.0.1:5000"}, ROLE)
DESCRIPTION = {
    "TableStatus": "ACTIVE",
    "AttributeDefinitions": [{"AttributeName": "requestId", "AttributeType": "S"}],
    "KeySchema": [{"AttributeName": "requestId", "KeyType": "HASH"}],
    "BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"},
    "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    "SSEDescription": {"Status": "ENABLED", "SSEType": "KMS"},
}
TTL = {"TimeToLiveStatus": "ENABLED", "AttributeName": "ttl"}
BACKUPS = {"PointInTimeRecoveryDescription": {"PointInTimeRecoveryStatus": "ENABLED"}}


def table_findings(
    target: Target = AWS, *, without: str = "", ttl: Answer = TTL, **changes: Any
) -> dict[str, Finding]:
    table = {name: value for name, value in (DESCRIPTION | changes).items() if name != without}
    queue = Queue("https://sqs.eu-west-1.amazonaws.com/1/events")
    state = DeployedState(None, table, ttl, BACKUPS, leases={}, queue=queue, dlq=None, audit_stream=None)
    return by_subject(judge_status_table("export-status", state, target))


def test_all_is_fine_as_the_template_has_it() -> None:
    assert {finding.verdict for finding in table_findings().values()} == {Verdict.FINE}


def test_no_word_of_encryption_is_wrong_on_aws_and_unknown_on_an_emulator() -> None:
    subject = "table export-status encryption"
    finding = table_findings(without="SSEDescription")[subject]
    assert finding.verdict is Verdict.WRONG
    assert finding.remedy == (
        "aws --region eu-west-1 dynamodb update-table --table-name export-status"
        " --sse-specification Enabled=true,SSEType=KMS"
    )
    assert table_findings(EMULATOR, without="SSEDescription")[subject].verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("state", "verdict"),
    [("ENABLED", Verdict.FINE), ("ENABLING", Verdict.FINE), ("DISABLING", Verdict.WRONG)],
)
def test_ttl_may_still_be_on_its_way(state: str, verdict: Verdict) -> None:
    ttl = {"TimeToLiveStatus": state, "AttributeName": "ttl"}
    assert table_findings(ttl=ttl)["table export-status TTL"].verdict is verdict


def test_a_table_without_a_billing_summary_is_provisioned() -> None:
    found = table_findings(without="BillingModeSummary")
    assert found["table export-status billing"].verdict is Verdict.WRONG


def test_a_table_that_is_being_made_is_to_be_waited_for() -> None:
    finding = table_findings(TableStatus="CREATING")["table export-status"]
    assert (finding.text, finding.verdict) == ("is CREATING", Verdict.WRONG)
    assert "wait table-exists" in (finding.remedy or "")


def test_a_call_that_an_emulator_does_not_know_is_unknown() -> None:
    unheard = Misconfigured("DescribeTimeToLive", "UnknownOperationException")
    subject = "table export-status TTL"
    assert table_findings(EMULATOR, ttl=unheard)[subject].verdict is Verdict.UNKNOWN
    assert table_findings(AWS, ttl=unheard)[subject].verdict is Verdict.WRONG
