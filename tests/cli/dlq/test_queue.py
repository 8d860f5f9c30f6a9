"""What `dlq list` and `dlq redrive` need, and how they say that it is missing."""

import pytest

from tests.cli.dlq.dead_letters import Queues


@pytest.mark.parametrize("name", ["list", "redrive"])
def test_a_queue_that_no_setting_or_policy_names_is_exit_2_and_one_named_in_vain_exit_1(
    queues: Queues, name: str
) -> None:
    del queues.environment["SQS_EXPORT_EVENTS_DLQ_URL"]
    queues.sqs.delete_queue(QueueUrl=queues.dlq_url)
    ran = queues.run(name)
    assert (ran.status, ran.err.count("\n")) == (1, 1)
    missing = "the dead-letter queue does not exist in this region and account (GetQueueUrl:"
    assert ran.err.startswith(f"export-status: {missing}")
    queues.sqs.set_queue_attributes(QueueUrl=queues.url, Attributes={"RedrivePolicy": ""})
    ran = queues.run(name)
    assert ran.status == 2
    assert ran.err.startswith("export-status: SQS_EXPORT_EVENTS_DLQ_URL must be set")


def test_a_queue_that_is_not_there_is_one_line(queues: Queues) -> None:
    settings = queues.environment | {"SQS_EXPORT_EVENTS_DLQ_URL": queues.dlq_url + "x"}
    ran = queues.run("list", **settings)
    assert ran.status == 1
    assert ran.err.startswith("export-status: the dead-letter queue does not exist")


def test_an_outcome_that_there_is_not_is_exit_2(queues: Queues) -> None:
    ran = queues.run("redrive", "--outcome", "audit_quarantined")
    assert ran.status == 2
    rule = "--outcome must be one of invalid, conflict, early, retry, unmarked"
    assert ran.err == f"export-status: {rule} (see export-status dlq redrive --help)\n"
