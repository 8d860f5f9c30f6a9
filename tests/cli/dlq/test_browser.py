"""One pass over a dead-letter queue."""

import pytest

from processor.cli.dlq.browser import Browser
from tests.cli.conftest import refusing
from tests.cli.dlq.dead_letters import Queues


def test_letters_that_come_again_are_shown_once_and_end_it(
    queues: Queues, capsys: pytest.CaptureFixture[str]
) -> None:
    queues.reject_many(3)
    with Browser(queues.sqs, queues.dlq_url, min_hidden_seconds=0) as browser:  # visible again at once
        bodies = [letter.message.body for page in browser.pages() for letter in page]
    assert sorted(bodies) == ["body 0", "body 1", "body 2"]
    assert len(browser.seen) == browser.expected == 3
    assert capsys.readouterr().err == ""


def test_its_end_makes_visible_what_was_not_deleted(queues: Queues) -> None:
    queues.reject_many(3)
    with Browser(queues.sqs, queues.dlq_url) as browser:
        letters = [letter for page in browser.pages() for letter in page]
        assert queues.waiting(queues.dlq_url) == (0, 3)
        assert browser.delete(letters[:1]) == 0
    assert queues.waiting(queues.dlq_url) == (2, 0)


@pytest.mark.parametrize("code", ["AccessDeniedException", "InvalidParameterValue"])
def test_letters_that_sqs_does_not_give_back_are_reported_with_how_long_they_stay_hidden(
    queues: Queues, code: str
) -> None:
    queues.reject_many(3)
    with refusing(queues.environment, "AmazonSQS.ChangeMessageVisibilityBatch", code=code) as settings:
        ran = queues.run("list", "--json", **settings)
    assert (ran.status, len(ran.lines)) == (0, 3)
    assert ran.err.startswith("export-status: 3 messages stay hidden for up to 30 s: SQS does not give ")
    assert code in ran.err
    assert ran.err.count("\n") == 1
    assert queues.waiting(queues.dlq_url) == (0, 3)
