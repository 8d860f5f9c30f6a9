"""What `check` makes of answers about queues that no emulator gives."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from processor.aws.errors import NotFound
from processor.cli.check import queues
from processor.cli.check.deployed_state import DeployedState, Queue
from processor.cli.check.finding import Verdict
from processor.cli.check.queues import judge_queues
from processor.cli.check.target import Target
from processor.settings import Settings
from tests.cli.check.world import ACCOUNT, AWS, ROLE, by_subject
from tests.infra.cloudformation import resources

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


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("SQS_EXPORT_EVENTS_QUEUE_URL", URL)
    return Settings()


GONE = NotFound("GetQueueUrl", "QueueDoesNotExist")


def state(queue: Mapping[str, str] = EVENTS, dlq: Queue | None = None) -> DeployedState:
    unasked = NotFound("DescribeTable", "ResourceNotFoundException")
    return DeployedState(
        identity={"Arn": ROLE},
        table=unasked,
        ttl=unasked,
        backups=unasked,
        leases=unasked,
        queue=Queue(queue["QueueArn"].replace(ARN, URL), queue),
        dlq=dlq,
        audit_stream=None,
    )


def test_attributes_of_new_queues_are_those_of_the_template() -> None:
    for name, given in (("EventsQueue", queues.EVENT_QUEUE), ("DeadLetterQueue", queues.DEAD_LETTER_QUEUE)):
        template = resources("data.yaml")[name]["Properties"]
        assert {attribute: str(template[attribute]).lower() for attribute in given} == dict(given)


def test_all_is_fine_as_the_template_has_it(settings: Settings) -> None:
    found = list(judge_queues(settings, state(dlq=Queue(f"{URL}-dlq", LETTERS)), AWS))
    assert [finding.verdict for finding in found] == [Verdict.FINE] * 5


def test_a_queue_of_another_region_is_recognised_by_its_url(settings: Settings) -> None:
    missing = replace(state(), queue=Queue(URL, error=GONE))
    first, _ = judge_queues(settings, missing, Target("us-east-1", {}, ROLE))
    assert first.text == "SQS_EXPORT_EVENTS_QUEUE_URL is of eu-west-1, but AWS_REGION is us-east-1"
    assert first.remedy == "export AWS_REGION=eu-west-1"


def test_the_remedy_for_a_missing_target_of_the_policy_is_to_create_it(settings: Settings) -> None:
    found = by_subject(judge_queues(settings, state(dlq=Queue(f"{ARN}-dlq", error=GONE)), AWS))
    remedy = found["queue export-events-dlq"].remedy or ""
    assert "create-queue --queue-name export-events-dlq" in remedy


def test_the_event_queue_under_another_url_is_no_dead_letter_queue(settings: Settings) -> None:
    alias = Queue(f"https://eu-west-1.queue.amazonaws.com/{ACCOUNT}/export-events", EVENTS)
    found = list(judge_queues(settings, state(dlq=alias), AWS))
    (wrong,) = [finding for finding in found if finding.verdict is Verdict.WRONG]
    assert wrong.text.startswith("SQS_EXPORT_EVENTS_DLQ_URL leads to the event queue itself")


def test_a_missing_dead_letter_queue_of_a_fifo_queue_becomes_fifo(settings: Settings) -> None:
    found = by_subject(judge_queues(settings, state({"QueueArn": f"{ARN}.fifo"}), AWS))
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
    settings: Settings, policy: dict[str, Any], verdict: Verdict
) -> None:
    letters = Queue(f"{URL}-dlq", LETTERS | {"RedriveAllowPolicy": json.dumps(policy)})
    found = by_subject(judge_queues(settings, state(dlq=letters), AWS))
    finding = found["queue export-events-dlq redrive permission"]
    assert finding.verdict is verdict
    assert (ARN in (finding.remedy or "")) is (verdict is Verdict.WRONG)
