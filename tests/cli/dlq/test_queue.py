"""What `dlq list` and `dlq redrive` need, and how they say that it is missing."""

from collections.abc import Sequence

import pytest

from tests.cli.conftest import Command
from tests.cli.dlq.dead_letters import Queues


@pytest.mark.parametrize("arguments", [("dlq", "list"), ("dlq", "redrive")])
def test_no_dead_letter_queue_at_all_is_exit_2(
    queues: Queues, command: Command, arguments: Sequence[str]
) -> None:
    queues.sqs.set_queue_attributes(QueueUrl=queues.url, Attributes={"RedrivePolicy": ""})
    del queues.environment["SQS_EXPORT_EVENTS_DLQ_URL"]
    ran = command(*arguments, environment=queues.environment)
    assert ran.status == 2
    assert ran.err.startswith("export-status: SQS_EXPORT_EVENTS_DLQ_URL must be set")


@pytest.mark.parametrize("arguments", [("dlq", "list"), ("dlq", "redrive")])
def test_a_queue_that_the_policy_names_in_vain_is_one_line(
    queues: Queues, command: Command, arguments: Sequence[str]
) -> None:
    queues.sqs.delete_queue(QueueUrl=queues.dlq_url)
    del queues.environment["SQS_EXPORT_EVENTS_DLQ_URL"]
    ran = command(*arguments, environment=queues.environment)
    assert ran.status == 1
    (line,) = ran.err.splitlines()
    assert line.startswith(
        "export-status: the dead-letter queue does not exist in this region and account (GetQueueUrl:"
    )


def test_a_queue_that_is_not_there_is_one_line(queues: Queues, command: Command) -> None:
    settings = queues.environment | {"SQS_EXPORT_EVENTS_DLQ_URL": queues.dlq_url + "x"}
    ran = command("dlq", "list", environment=settings)
    assert ran.status == 1
    assert ran.err.startswith("export-status: the dead-letter queue does not exist")


def test_an_outcome_that_there_is_not_is_exit_2(queues: Queues, command: Command) -> None:
    ran = command("dlq", "redrive", "--outcome", "audit_quarantined", environment=queues.environment)
    assert ran.status == 2
    assert ran.err == ("export-status: --outcome must be one of invalid, conflict, early, retry, unmarked\n")


def test_redrive_needs_the_event_queue(queues: Queues, command: Command) -> None:
    del queues.environment["SQS_EXPORT_EVENTS_QUEUE_URL"]
    ran = command("dlq", "redrive", environment=queues.environment)
    assert ran.status == 2
    assert ran.err.startswith("export-status: SQS_EXPORT_EVENTS_QUEUE_URL must be set")
