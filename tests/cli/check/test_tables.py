"""What `check` makes of answers about tables that no emulator gives."""

from typing import Any

import pytest

from processor.aws.errors import Misconfigured
from processor.cli.check.deployed_state import Answer
from processor.cli.check.finding import Finding, Verdict
from processor.cli.check.tables import judge_status_table
from processor.cli.check.target import Target
from tests.cli.check.world import AWS, ROLE, by_subject
from tests.transitions.test_refusals import described

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
    return by_subject(judge_status_table("export-status", table, ttl, BACKUPS, target))


def test_all_is_fine_as_the_template_has_it() -> None:
    assert {finding.verdict for finding in table_findings().values()} == {Verdict.FINE}


SSE_ON = (
    "aws --region eu-west-1 dynamodb update-table --table-name export-status"
    " --sse-specification Enabled=true,SSEType=KMS"
)
UNHEARD = Misconfigured("DescribeTimeToLive", "UnknownOperationException")


@pytest.mark.parametrize(
    ("target", "changes", "subject", "verdict", "shown"),
    [
        (AWS, {"without": "SSEDescription"}, " encryption", Verdict.WRONG, SSE_ON),
        (EMULATOR, {"without": "SSEDescription"}, " encryption", Verdict.UNKNOWN, "does not report it"),
        (AWS, {"ttl": TTL | {"TimeToLiveStatus": "ENABLING"}}, " TTL", Verdict.FINE, "being switched on"),
        (AWS, {"ttl": TTL | {"TimeToLiveStatus": "DISABLING"}}, " TTL", Verdict.WRONG, "being switched off"),
        (AWS, {"ttl": UNHEARD}, " TTL", Verdict.WRONG, "no permission"),
        (EMULATOR, {"ttl": UNHEARD}, " TTL", Verdict.UNKNOWN, "does not support the call"),
        (AWS, {"without": "BillingModeSummary"}, " billing", Verdict.WRONG, "is PROVISIONED"),
        (AWS, described("ttl", "S"), " index", Verdict.WRONG, """'[{"Delete": {"IndexName": "by-x"}}]'"""),
        (AWS, {"TableStatus": "CREATING"}, "", Verdict.WRONG, "is CREATING"),
        (AWS, {"TableStatus": "CREATING"}, "", Verdict.WRONG, "wait table-exists"),
    ],
)
def test_each_other_answer_has_its_finding(
    target: Target, changes: dict[str, Any], subject: str, verdict: Verdict, shown: str
) -> None:
    finding = table_findings(target, **changes)[f"table export-status{subject}"]
    assert finding.verdict is verdict
    assert shown in f"{finding.text}; {finding.remedy}"
