"""The caller, the region and the endpoints that `check` looks at."""

import pytest

from processor.aws.errors import Transient
from processor.cli.check.command import judge_target
from processor.cli.check.finding import Verdict
from processor.cli.check.target import Target
from tests.cli.check.world import ACCOUNT, AWS, ROLE


def test_sts_that_is_elsewhere_or_silent_is_no_fault() -> None:
    for identity in (None, Transient("GetCallerIdentity", "ConnectTimeoutError"), {"UserId": "x"}):
        _, credentials = judge_target(identity, AWS)
        assert credentials.verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("endpoint", "emulated"),
    [
        ("http://127.0.0.1:5000", True),
        ("http://localstack:4566", True),
        ("https://amazonaws.com.example.org", True),
        ("https://vpce-1.streams.dynamodb.eu-west-1.vpce.amazonaws.com", False),
        ("https://sqs.cn-north-1.amazonaws.com.cn", False),
        ("https://sqs.eu-west-1.api.aws", False),
    ],
)
def test_an_emulator_is_not_an_endpoint_of_aws(endpoint: str, emulated: bool) -> None:
    assert Target("eu-west-1", {"sqs": endpoint}).emulated("sqs") is emulated
    assert not Target("eu-west-1", {"sqs": endpoint}).emulated("dynamodb")


def test_no_remedy_is_a_command_that_widens_the_caller_s_own_rights() -> None:
    arn = AWS.arn("dynamodb", "table/export-status")
    assert arn == f"arn:aws:dynamodb:eu-west-1:{ACCOUNT}:table/export-status"
    for caller, asked in ((ROLE, ROLE), (None, "the caller")):
        remedy = Target("eu-west-1", {}, caller).allow(("dynamodb:Scan", "dynamodb:GetItem"), arn)
        assert remedy == f"ask an administrator to allow {asked} dynamodb:Scan, dynamodb:GetItem on {arn}"
