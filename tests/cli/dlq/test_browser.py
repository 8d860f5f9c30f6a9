"""One pass over a dead-letter queue."""

from processor.cli.dlq.browser import Browser
from tests.cli.dlq.dead_letters import Queues


def test_letters_that_come_again_are_shown_once_and_end_it(queues: Queues) -> None:
    for number in range(3):
        queues.reject(f"body {number}")
    with Browser(queues.sqs, queues.dlq_url, min_hidden_seconds=0) as browser:  # visible again at once
        bodies = [letter.message.body for page in browser.pages() for letter in page]
    assert sorted(bodies) == ["body 0", "body 1", "body 2"]
    assert browser.seen == browser.expected == 3


def test_its_end_makes_visible_what_was_not_deleted(queues: Queues) -> None:
    for number in range(3):
        queues.reject(f"body {number}")
    with Browser(queues.sqs, queues.dlq_url) as browser:
        letters = [letter for page in browser.pages() for letter in page]
        assert queues.waiting(queues.dlq_url) == (0, 3)
        assert browser.delete(letters[:1]) == set()
    assert queues.waiting(queues.dlq_url) == (2, 0)
