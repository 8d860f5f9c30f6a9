"""The event queue's calls: receives are read, batches name what is not done, and no call begins too late.

How a batch is cut and repeated is `processor/aws/sqs.py`'s, and tested there.
"""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.aws.errors import Transient
from processor.observability.metrics import Metric
from processor.transitions.event_queue import EventQueue, back_off_seconds
from processor.transitions.messages import Message, newest_handles
from tests.handlers.making import at
from tests.transitions.rig import (
    FakeAws,
    NoWaiting,
    Scripted,
    context,
    counted,
    message,
    service_error,
    timeout,
)

URL = "http://127.0.0.1/123456789012/events"
BARE: dict[str, Any] = {"MessageId": "m", "ReceiptHandle": "h"}


def fail(*handles: str) -> Callable[[dict[str, Any]], Any]:
    """Fails the entries of these messages and takes the others."""

    def answer(arguments: dict[str, Any]) -> Any:
        entries = arguments["Entries"]
        assert 1 <= len({entry["Id"] for entry in entries}) == len(entries) <= 10
        failed = [entry for entry in entries if entry["ReceiptHandle"] in handles]
        return {
            "Successful": [{"Id": entry["Id"]} for entry in entries if entry not in failed],
            "Failed": [{"Id": entry["Id"], "Code": "InternalError"} for entry in failed],
        }

    return answer


def queue_on(client: Any, *, receiving: Any = None, url: str = URL, **more: Any) -> EventQueue:
    aws: Any = FakeAws(client, receiving)
    return EventQueue(aws, url, context(**more))


def messages(number: int) -> list[Message]:
    return [message("{}", receipt_handle=f"h{index}") for index in range(number)]


@pytest.mark.parametrize(("number", "sizes"), [(0, []), (1, [1]), (10, [10]), (25, [10, 10, 5])])
def test_deletes_go_in_tens_and_no_call_is_empty(number: int, sizes: list[int]) -> None:
    client = Scripted(None, *[fail()] * 3)
    assert queue_on(client).delete(messages(number)).not_taken == []
    assert [len(request["Entries"]) for request in client.requests] == sizes


def test_only_the_deletes_that_failed_for_sqs_s_reasons_are_tried_again_and_counted() -> None:
    client, parts = Scripted(None, fail("h3", "h7"), fail("h7"), fail("h7")), context()
    aws: Any = FakeAws(client)
    assert EventQueue(aws, URL, parts).delete(messages(10)).not_taken == [7]
    handles = [[entry["ReceiptHandle"] for entry in request["Entries"]] for request in client.requests]
    assert handles[1:] == [["h3", "h7"], ["h7"]]
    assert counted(parts.metrics, Metric.DELETES_RETRIED) == 3


def test_no_call_begins_after_the_deadline() -> None:
    """A silent queue takes three seconds a call."""
    client = Scripted(None, *[timeout()] * 99)
    queue = queue_on(client, monotonic=lambda: 3.0 * len(client.calls))
    batch = messages(50)
    assert queue.delete(batch, deadline=7.0).not_taken == [*range(50)]
    assert len(client.calls) == 3
    assert not queue.make_visible([(batch[0], 0)], deadline=7.0).answered
    assert len(client.calls) == 3


def test_once_a_drain_ends_a_silent_queue_costs_one_call() -> None:
    client, ended = Scripted(None, *[timeout()] * 99), NoWaiting()
    ended.set()
    assert queue_on(client, abandon=ended).delete(messages(50)).not_taken == [*range(50)]
    assert len(client.calls) == 1


def test_each_message_gets_its_own_visibility_and_failures_are_told() -> None:
    client = Scripted(None, *[fail("h1")] * 3)
    found = queue_on(client).make_visible([*zip(messages(3), (0, 4, 60), strict=True)])
    assert (found.not_taken, found.answered) == ([1], True)
    assert [entry["VisibilityTimeout"] for entry in client.requests[0]["Entries"]] == [0, 4, 60]


# Receiving


def received(answer: Any) -> tuple[list[Message], dict[str, Any]]:
    client = Scripted(None, answer)
    return queue_on(client).receive(20, "attempt"), client.requests[0]


def test_a_message_is_read_with_what_the_service_needs_to_know() -> None:
    attributes = {
        "ApproximateReceiveCount": "7",
        "SentTimestamp": str(int(at(5).timestamp() * 1_000)),
        "MessageGroupId": "g",
        "AWSTraceHeader": "Root=1",
        "SenderId": "AIDAEXAMPLE",
    }
    own = {"tenant": {"DataType": "String", "StringValue": "t"}}
    whole = {"MessageId": "m", "ReceiptHandle": "h", "Body": "{}", "Attributes": attributes}
    found, arguments = received({"Messages": [whole | {"MessageAttributes": own}]})
    assert found == [Message("m", "h", "{}", 7, at(5), "g", own, "Root=1", "AIDAEXAMPLE")]
    assert arguments["MessageAttributeNames"] == ["All"]
    assert (arguments["MaxNumberOfMessages"], arguments["WaitTimeSeconds"]) == (10, 20)
    assert set(attributes) == set(arguments["MessageSystemAttributeNames"])


def test_an_empty_answer_and_missing_attributes_are_no_error() -> None:
    assert received({})[0] == []
    assert received({"Messages": [BARE]})[0] == [Message("m", "h", "", 1, None, None)]


@pytest.mark.parametrize(
    "answer",
    [
        {"Messages": 5},
        {"Messages": [{}]},
        {"Messages": [5]},
        {"Messages": [BARE | {"Body": 5}]},
        {"Messages": [BARE | {"MessageId": ["m"], "Body": "{}"}]},
        {"Messages": [BARE | {"Attributes": {"ApproximateReceiveCount": "x"}}]},
        RuntimeError("Credentials were refreshed, but the refreshed credentials are still expired."),
        *(service_error(code) for code in ("OverLimit", "RequestThrottled", "KmsThrottled")),
    ],
    ids=str,
)
def test_what_is_throttled_or_cannot_be_read_is_transient(answer: Any) -> None:
    with pytest.raises(Transient, match=r"^ReceiveMessage: "):
        received(answer)


def test_a_receive_that_does_not_wait_uses_the_client_with_the_short_time_out() -> None:
    waiting, short = Scripted(None, {}), Scripted(None, {})
    queue = queue_on(short, receiving=waiting)
    queue.receive(0, "attempt")
    assert (waiting.calls, short.requests[0]["WaitTimeSeconds"]) == ([], 0)
    queue.receive(20, "attempt")
    assert waiting.requests[0]["WaitTimeSeconds"] == 20


@pytest.mark.parametrize(("url", "attempt"), [(f"{URL}.fifo", "attempt"), (URL, None)])
def test_only_a_fifo_queue_knows_attempts(url: str, attempt: str | None) -> None:
    client = Scripted(None, {})
    queue_on(client, url=url).receive(20, "attempt")
    assert client.requests[0].get("ReceiveRequestAttemptId") == attempt


def test_of_two_deliveries_of_a_message_the_newest_handle_stays() -> None:
    first = message("{}", message_id="a", receipt_handle="old")
    other = message("{}", message_id="b", receipt_handle="b")
    second = message("{}", message_id="a", receipt_handle="new")
    assert newest_handles([first, other, second]) == [second, other]


# Back-off


@given(st.integers(1, 10**6))
def test_the_back_off_doubles_from_2_to_60_seconds_with_jitter_below(receive_count: int) -> None:
    whole = min(60, 2 * 2 ** min(receive_count - 1, 10))
    assert whole / 2 <= back_off_seconds(receive_count) <= whole


def test_the_back_off_is_not_the_same_for_all() -> None:
    assert len({back_off_seconds(20) for _ in range(200)}) > 5
