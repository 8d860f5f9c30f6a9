"""What `check` makes of answers that no emulator gives."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from processor.aws.errors import Misconfigured, NotFound, Transient
from processor.cli.check import queues
from processor.cli.check.deployed_state import Answer, DeployedState, QueueState, TableState
from processor.cli.check.finding import Finding, Verdict
from processor.cli.check.judgement import judge_target
from processor.cli.check.queues import judge_queues
from processor.cli.check.tables import judge_status_table
from processor.cli.check.target import Target
from processor.settings import Settings
from tests.infra.cloudformation import resources

ACCOUNT = "123456789012"
ROLE = f"arn:aws:sts::{ACCOUNT}:assumed-role/export-status-task/8f1c"
AWS = Target("eu-west-1", {}, ROLE)
EMULATOR = Target("eu-west-1", {"dynamodb": "http://127.0.0.1:5000", "sqs": "http://127.0.0.1:5000"}, ROLE)
URL = f"https://sqs.eu-west-1.amazonaws.com/{ACCOUNT}/export-events"
ARN = f"arn:aws:sqs:eu-west-1:{ACCOUNT}:export-events"
EVENTS = {
    "QueueArn": ARN,
    "VisibilityTimeout": "120",
    "MessageRetentionPeriod": "345600",
    "MaximumMessageSize": "262144",
    "RedrivePolicy": json.dumps({"deadLetterTargetArn": f"{ARN}-dlq", "maxReceiveCount": "60"}),
}
LETTERS = {
    "QueueArn": f"{ARN}-dlq",
    "MessageRetentionPeriod": "1209600",
    "MaximumMessageSize": "1048576",
}
DESCRIPTION = {
    "TableStatus": "ACTIVE",
    "AttributeDefinitions": [{"AttributeName": "requestId", "AttributeType": "S"}],
    "KeySchema": [{"AttributeName": "requestId", "KeyType": "HASH"}],
    "BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"},
    "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    "SSEDescription": {"Status": "ENABLED", "SSEType": "KMS"},
}
TABLE = TableState(
    DESCRIPTION,
    ttl={"TimeToLiveStatus": "ENABLED", "AttributeName": "ttl"},
    backups={"PointInTimeRecoveryDescription": {"PointInTimeRecoveryStatus": "ENABLED"}},
)


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("SQS_EXPORT_EVENTS_QUEUE_URL", URL)
    return Settings()


def table_findings(target: Target = AWS, **changes: Any) -> dict[str, Finding]:
    state = TableState(**{"description": DESCRIPTION, "ttl": TABLE.ttl, "backups": TABLE.backups} | changes)
    return by_subject(judge_status_table("export-status", state, target))


def state(queue: Answer = EVENTS, dlq: Answer | None = LETTERS, url: str = URL) -> DeployedState:
    return DeployedState(
        identity={"Arn": ROLE},
        table=TABLE,
        leases=NotFound("DescribeTable", "ResourceNotFoundException"),
        queue=QueueState(url, queue),
        dlq=None if dlq is None else QueueState(f"{url}-dlq", dlq),
        audit_stream=None,
    )


def by_subject(findings: Any) -> dict[str, Finding]:
    return {finding.subject: finding for finding in findings}


def without(attributes: Mapping[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in attributes.items() if key != name}


class TestQueues:
    def test_attributes_of_new_queues_are_those_of_the_template(self) -> None:
        for name, given in (
            ("EventsQueue", queues.EVENT_QUEUE),
            ("DeadLetterQueue", queues.DEAD_LETTER_QUEUE),
        ):
            template = resources("data.yaml")[name]["Properties"]
            assert {attribute: str(template[attribute]).lower() for attribute in given} == dict(given)

    def test_all_is_fine_as_the_template_has_it(self, settings: Settings) -> None:
        found = list(judge_queues(settings, state(), AWS))
        assert {finding.verdict for finding in found} == {Verdict.FINE}
        assert len(found) == 5

    def test_a_queue_of_another_region_is_recognised_by_its_url(self, settings: Settings) -> None:
        missing = NotFound("GetQueueAttributes", "QueueDoesNotExist")
        target = Target("us-east-1", {}, ROLE)
        first, _ = judge_queues(settings, state(missing, None), target)
        assert first.text == "SQS_EXPORT_EVENTS_QUEUE_URL is of eu-west-1, but AWS_REGION is us-east-1"
        assert first.remedy == "export AWS_REGION=eu-west-1"

    def test_the_remedy_for_a_missing_target_of_the_policy_is_to_create_it(self, settings: Settings) -> None:
        gone = replace(state(), dlq=NotFound("GetQueueUrl", "QueueDoesNotExist"))
        found = by_subject(judge_queues(settings, gone, AWS))
        assert "create-queue --queue-name export-events-dlq" in (
            found["queue export-events-dlq"].remedy or ""
        )

    def test_the_event_queue_under_another_url_is_no_dead_letter_queue(self, settings: Settings) -> None:
        alias = QueueState(f"https://eu-west-1.queue.amazonaws.com/{ACCOUNT}/export-events", EVENTS)
        found = list(judge_queues(settings, replace(state(), dlq=alias), AWS))
        (wrong,) = [finding for finding in found if finding.verdict is Verdict.WRONG]
        assert wrong.text.startswith("SQS_EXPORT_EVENTS_DLQ_URL leads to the event queue itself")

    def test_a_missing_dead_letter_queue_of_a_fifo_queue_becomes_fifo(self, settings: Settings) -> None:
        events = without(EVENTS, "RedrivePolicy") | {"QueueArn": f"{ARN}.fifo"}
        found = by_subject(judge_queues(settings, state(events, None, f"{URL}.fifo"), AWS))
        remedy = found["queue export-events.fifo redrive policy"].remedy or ""
        assert "--queue-name export-events-dlq.fifo" in remedy
        assert '"FifoQueue": "true"' in remedy

    @pytest.mark.parametrize(
        ("policy", "verdict"),
        [
            ({"redrivePermission": "denyAll"}, Verdict.WRONG),
            ({"redrivePermission": "byQueue", "sourceQueueArns": [f"{ARN}-other"]}, Verdict.WRONG),
            ({"redrivePermission": "byQueue", "sourceQueueArns": [ARN]}, Verdict.FINE),
            ({"redrivePermission": "allowAll"}, Verdict.FINE),
        ],
    )
    def test_the_dead_letter_queue_must_let_the_event_queue_use_it(
        self, settings: Settings, policy: dict[str, Any], verdict: Verdict
    ) -> None:
        letters = LETTERS | {"RedriveAllowPolicy": json.dumps(policy)}
        found = by_subject(judge_queues(settings, state(dlq=letters), AWS))
        finding = found["queue export-events-dlq redrive permission"]
        assert finding.verdict is verdict
        if verdict is Verdict.WRONG:
            assert ARN in (finding.remedy or "")


class TestTable:
    def test_all_is_fine_as_the_template_has_it(self) -> None:
        assert {finding.verdict for finding in table_findings().values()} == {Verdict.FINE}

    def test_no_word_of_encryption_is_wrong_on_aws_and_unknown_on_an_emulator(self) -> None:
        silent = {name: value for name, value in DESCRIPTION.items() if name != "SSEDescription"}
        subject = "table export-status encryption"
        finding = table_findings(description=silent)[subject]
        assert finding.verdict is Verdict.WRONG
        assert finding.remedy == (
            "aws --region eu-west-1 dynamodb update-table --table-name export-status"
            " --sse-specification Enabled=true,SSEType=KMS"
        )
        assert table_findings(EMULATOR, description=silent)[subject].verdict is Verdict.UNKNOWN

    @pytest.mark.parametrize(
        ("state", "verdict"),
        [("ENABLED", Verdict.FINE), ("ENABLING", Verdict.FINE), ("DISABLING", Verdict.WRONG)],
    )
    def test_ttl_may_still_be_on_its_way(self, state: str, verdict: Verdict) -> None:
        ttl = {"TimeToLiveStatus": state, "AttributeName": "ttl"}
        assert table_findings(ttl=ttl)["table export-status TTL"].verdict is verdict

    def test_a_table_without_a_billing_summary_is_provisioned(self) -> None:
        old = {name: value for name, value in DESCRIPTION.items() if name != "BillingModeSummary"}
        assert table_findings(description=old)["table export-status billing"].verdict is Verdict.WRONG

    def test_a_table_that_is_being_made_is_to_be_waited_for(self) -> None:
        finding = table_findings(description=DESCRIPTION | {"TableStatus": "CREATING"})["table export-status"]
        assert (finding.text, finding.verdict) == ("is CREATING", Verdict.WRONG)
        assert "wait table-exists" in (finding.remedy or "")

    def test_a_call_that_an_emulator_does_not_know_is_unknown(self) -> None:
        unheard = Misconfigured("DescribeTimeToLive", "UnknownOperationException")
        subject = "table export-status TTL"
        assert table_findings(EMULATOR, ttl=unheard)[subject].verdict is Verdict.UNKNOWN
        assert table_findings(AWS, ttl=unheard)[subject].verdict is Verdict.WRONG


class TestTarget:
    def test_sts_that_is_elsewhere_or_silent_is_no_fault(self) -> None:
        for identity in (None, Transient("GetCallerIdentity", "ConnectTimeoutError")):
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
    def test_an_emulator_is_not_an_endpoint_of_aws(self, endpoint: str, emulated: bool) -> None:
        assert Target("eu-west-1", {"sqs": endpoint}).emulated("sqs") is emulated
        assert not Target("eu-west-1", {"sqs": endpoint}).emulated("dynamodb")

    @pytest.mark.parametrize(
        "caller",
        [
            ROLE,
            f"arn:aws:iam::{ACCOUNT}:user/team/ana",
            f"arn:aws:sts::{ACCOUNT}:assumed-role/AWSReservedSSO_Admin_1/ana",
            None,
        ],
    )
    def test_no_remedy_is_a_command_that_widens_the_caller_s_own_rights(self, caller: str | None) -> None:
        arn = AWS.arn("dynamodb", "table/export-status")
        assert arn == f"arn:aws:dynamodb:eu-west-1:{ACCOUNT}:table/export-status"
        remedy = Target("eu-west-1", {}, caller).allow(("dynamodb:Scan", "dynamodb:GetItem"), arn)
        asked = caller or "the caller"
        assert remedy == f"ask an administrator to allow {asked} dynamodb:Scan, dynamodb:GetItem on {arn}"
