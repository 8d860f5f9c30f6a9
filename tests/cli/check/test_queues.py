"""What `check` makes of answers about queues that no emulator gives."""

import json

import pytest

from processor.aws.errors import NotFound
from processor.cli.check import queues
from processor.cli.check.deployed_state import Queue
from processor.cli.check.finding import Finding, Verdict
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


GONE = NotFound("GetQueueUrl", "QueueDoesNotExist")


def judged(
    monkeypatch: pytest.MonkeyPatch, dlq: Queue | None, events: Queue | None = None, target: Target = AWS
) -> list[Finding]:
    monkeypatch.setenv("SQS_EXPORT_EVENTS_QUEUE_URL", URL)
    return list(judge_queues(Settings(), events or Queue(URL, EVENTS), dlq, target))


def test_attributes_of_new_queues_are_those_of_the_template() -> None:
    for name, given in (("EventsQueue", queues.EVENT_QUEUE), ("DeadLetterQueue", queues.DEAD_LETTER_QUEUE)):
        template = resources("data.yaml")[name]["Properties"]
        assert {attribute: str(template[attribute]).lower() for attribute in given} == dict(given)


def test_all_is_fine_as_the_template_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found = judged(monkeypatch, Queue(f"{URL}-dlq", LETTERS))
    assert [finding.verdict for finding in found] == [Verdict.FINE] * 5


def test_a_queue_of_another_region_is_recognised_by_its_url(monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = judged(monkeypatch, None, Queue(URL, error=GONE), Target("us-east-1", {}, ROLE))
    assert first.text == "SQS_EXPORT_EVENTS_QUEUE_URL is of eu-west-1, but AWS_REGION is us-east-1"
    assert first.remedy == "export AWS_REGION=eu-west-1"


def allowing(**policy: object) -> Queue:
    return Queue(f"{URL}-dlq", LETTERS | {"RedriveAllowPolicy": json.dumps(policy)})


@pytest.mark.parametrize(
    ("dlq", "events", "subject", "shown"),
    [
        (Queue(f"{ARN}-dlq", error=GONE), EVENTS, "-dlq", "create-queue --queue-name export-events-dlq "),
        (
            Queue(f"https://eu-west-1.queue.amazonaws.com/{ACCOUNT}/export-events", EVENTS),
            EVENTS,
            "",
            "SQS_EXPORT_EVENTS_DLQ_URL leads to the event queue itself",
        ),
        (None, {"QueueArn": f"{ARN}.fifo"}, ".fifo redrive policy", "--queue-name export-events-dlq.fifo "),
        (None, {"QueueArn": f"{ARN}.fifo"}, ".fifo redrive policy", '"FifoQueue": "true"'),
        (allowing(redrivePermission="denyAll"), EVENTS, "-dlq redrive permission", ARN),
        (
            allowing(redrivePermission="byQueue", sourceQueueArns=[f"{ARN}-other"]),
            EVENTS,
            "-dlq redrive permission",
            f'\\"{ARN}\\"',
        ),
    ],
)
def test_each_fault_has_its_finding(
    monkeypatch: pytest.MonkeyPatch, dlq: Queue | None, events: dict[str, str], subject: str, shown: str
) -> None:
    queue = Queue(events["QueueArn"].replace(ARN, URL), events)
    finding = by_subject(judged(monkeypatch, dlq, queue))[f"queue export-events{subject}"]
    assert finding.verdict is Verdict.WRONG
    assert shown in f"{finding.text}; {finding.remedy}"


@pytest.mark.parametrize(
    "letters",
    [allowing(redrivePermission="byQueue", sourceQueueArns=[ARN]), allowing(redrivePermission="allowAll")],
)
def test_the_event_queue_may_use_the_dead_letter_queue(
    monkeypatch: pytest.MonkeyPatch, letters: Queue
) -> None:
    found = by_subject(judged(monkeypatch, letters))
    assert found["queue export-events-dlq redrive permission"].verdict is Verdict.FINE
