"""The event queue's batches: read entry by entry, retried only where it can help, and never for ever."""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.aws.errors import Transient
from processor.observability.metrics import Metric, Metrics
from processor.transitions.event_queue import EventQueue, GivenBack, ReceiveAttempt, back_off_seconds
from processor.transitions.messages import Message, newest_handles
from processor.transitions.timing import Clocks, Timing
from tests.handlers.making import at
from tests.transitions.rig import NoWaiting, counted, message, service_error, timeout

URL = "http://127.0.0.1/123456789012/events"
Entries = list[dict[str, Any]]


class BatchClient:
    """SQS as far as its batch calls go: each call is answered by the next of the given answers."""

    def __init__(self, *answers: Callable[[Entries], Any] | Exception) -> None:
        self._answers = list(answers)
        self.batches: list[Entries] = []

    def delete_message_batch(self, *, QueueUrl: str, Entries: Entries) -> Any:  # noqa: N803 - SQS's names
        assert QueueUrl == URL
        assert 1 <= len(Entries) <= 10
        assert len({entry["Id"] for entry in Entries}) == len(Entries)
        self.batches.append(Entries)
        answer = self._answers.pop(0) if self._answers else succeed
        if isinstance(answer, Exception):
            raise answer
        return answer(Entries)

    change_message_visibility_batch = delete_message_batch

    @property
    def sizes(self) -> list[int]:
        return [len(batch) for batch in self.batches]


def succeed(entries: Entries) -> Any:
    return {"Successful": [{"Id": entry["Id"]} for entry in entries]}


def fail(*handles: str, code: str = "InternalError", sender: bool = False) -> Callable[[Entries], Any]:
    """Fails the entries of these messages and takes the others."""

    def answer(entries: Entries) -> Any:
        failed = [entry for entry in entries if entry["ReceiptHandle"] in handles]
        taken = [entry for entry in entries if entry not in failed]
        return {
            "Successful": [{"Id": entry["Id"]} for entry in taken],
            "Failed": [{"Id": entry["Id"], "Code": code, "SenderFault": sender} for entry in failed],
        }

    return answer


def queue_on(
    client: Any,
    metrics: Metrics | None = None,
    monotonic: Callable[[], float] = lambda: 0.0,
    *,
    receiving: Any = None,
    abandon: threading.Event | None = None,
    url: str = URL,
) -> EventQueue:
    return EventQueue(
        receiving=receiving or client,
        settling=client,
        url=url,
        abandon=abandon or NoWaiting(),
        metrics=metrics or Metrics(),
        clocks=Clocks(monotonic=monotonic),
        timing=Timing(),
    )


def ended() -> threading.Event:
    """Set, as in a drain's last seconds."""
    event = NoWaiting()
    event.set()
    return event


def messages(number: int) -> list[Message]:
    return [message("{}", receipt_handle=f"h{index}") for index in range(number)]


@pytest.mark.parametrize(("number", "sizes"), [(0, []), (1, [1]), (10, [10]), (25, [10, 10, 5])])
def test_deletes_go_in_tens_and_no_call_is_empty(number: int, sizes: list[int]) -> None:
    client = BatchClient()
    assert queue_on(client).delete(messages(number)) == []
    assert client.sizes == sizes


def test_only_the_entries_that_failed_for_sqs_s_reasons_are_tried_again() -> None:
    client, metrics = BatchClient(fail("h3", "h7")), Metrics()
    assert queue_on(client, metrics).delete(messages(10)) == []
    assert [[entry["ReceiptHandle"] for entry in batch] for batch in client.batches[1:]] == [["h3", "h7"]]
    assert counted(metrics, Metric.DELETES_RETRIED) == 2


def test_an_entry_that_keeps_failing_is_given_up_after_three_tries_and_named() -> None:
    client = BatchClient(*[fail("h3")] * 9)
    batch = messages(10)
    assert queue_on(client).delete(batch) == [batch[3]]
    assert client.sizes == [10, 1, 1]


def test_an_invalid_handle_is_not_tried_again() -> None:
    client = BatchClient(fail("h3", code="ReceiptHandleIsInvalid", sender=True))
    batch = messages(10)
    assert queue_on(client).delete(batch) == [batch[3]]
    assert client.sizes == [10]


def test_an_entry_that_the_answer_does_not_mention_counts_as_not_done() -> None:
    client = BatchClient(lambda _entries: {"Successful": [{"Id": "0"}]})
    assert queue_on(client).delete(messages(3)) == []
    assert client.sizes == [3, 2]


@pytest.mark.parametrize("error", [timeout(), service_error("InternalError", 500)], ids=str)
def test_a_whole_batch_that_failed_is_tried_again(error: Exception) -> None:
    client = BatchClient(error)
    assert queue_on(client).delete(messages(10)) == []
    assert client.sizes == [10, 10]


def test_one_batch_that_fails_does_not_keep_the_others_from_being_deleted() -> None:
    client = BatchClient(*[timeout()] * 3)
    batch = messages(15)
    assert queue_on(client).delete(batch) == batch[:10]
    assert client.sizes == [10, 10, 10, 5]


def test_a_silent_queue_costs_the_tries_of_one_batch_and_then_a_call_a_batch() -> None:
    client = BatchClient(*[timeout()] * 99)
    batch = messages(50)
    assert queue_on(client).delete(batch) == batch
    assert client.sizes == [10] * (3 + 4)


def test_an_answer_after_silence_brings_the_tries_back() -> None:
    client = BatchClient(*[timeout()] * 3, succeed, timeout(), succeed)
    batch = messages(30)
    assert queue_on(client).delete(batch) == batch[:10]
    assert client.sizes == [10] * 6


def test_no_call_begins_after_the_deadline() -> None:
    """A silent queue takes three seconds a call."""
    client = BatchClient(*[timeout()] * 99)
    queue = queue_on(client, monotonic=lambda: 3.0 * len(client.batches))
    batch = messages(50)
    assert queue.delete(batch, deadline=7.0) == batch
    assert len(client.batches) == 3
    assert queue.make_visible([(batch[0], 0)], deadline=7.0) == GivenBack(batch[:1], answered=False)
    assert len(client.batches) == 3


@pytest.mark.parametrize(
    "answer",
    [{"Successful": [{}]}, {"Successful": [{"Id": "x"}]}, {"Failed": [{"SenderFault": True}]}],
    ids=str,
)
def test_an_answer_of_another_shape_is_malformed(answer: Any) -> None:
    client = BatchClient(lambda _entries: answer)
    assert queue_on(client).delete(messages(10)) == []
    assert client.sizes == [10, 10]


def test_a_call_that_nobody_allows_is_not_repeated() -> None:
    client = BatchClient(service_error("AccessDeniedException"))
    batch = messages(3)
    assert queue_on(client).delete(batch) == batch
    assert client.sizes == [3]


def test_each_message_gets_its_own_visibility_and_failures_are_told() -> None:
    client = BatchClient(*[fail("h1")] * 3)
    batch = messages(3)
    pairs = [(batch[0], 0), (batch[1], 4), (batch[2], 60)]
    assert queue_on(client).make_visible(pairs) == GivenBack([batch[1]], answered=True)
    assert [entry["VisibilityTimeout"] for entry in client.batches[0]] == [0, 4, 60]
    assert client.sizes == [3, 1, 1]


@pytest.mark.parametrize(
    ("answer", "answered"),
    [
        (service_error("AccessDeniedException"), True),
        (fail("h0", code="ReceiptHandleIsInvalid", sender=True), True),
        (timeout(), False),
        (service_error("ServiceUnavailable", 503), False),
    ],
    ids=["not allowed", "refused", "silent", "down"],
)
def test_a_refusal_to_give_back_is_told_from_silence(answer: Any, *, answered: bool) -> None:
    queue = queue_on(BatchClient(answer), abandon=ended())
    [held] = messages(1)
    assert queue.make_visible([(held, 0)]) == GivenBack([held], answered)


def test_once_a_drain_ends_no_try_is_repeated() -> None:
    client = BatchClient(fail("h0"))
    queue = queue_on(client, abandon=ended())
    batch = messages(2)
    assert queue.delete(batch) == [batch[0]]
    assert client.sizes == [2]


def test_once_a_drain_ends_a_silent_queue_costs_one_call() -> None:
    client = BatchClient(*[timeout()] * 99)
    queue = queue_on(client, abandon=ended())
    batch = messages(50)
    assert queue.delete(batch) == batch
    assert client.sizes == [10]


@given(st.lists(st.sampled_from(["ok", "fail", "sender", "silent"]), max_size=30), st.integers(0, 2**32))
def test_every_message_is_either_done_or_named(fates: list[str], seed: int) -> None:
    fate_of = {f"h{index}": fate for index, fate in enumerate(fates)}

    def answer(entries: Entries) -> Any:
        by_fate = {
            fate: [entry for entry in entries if fate_of[entry["ReceiptHandle"]] == fate]
            for fate in ("ok", "fail", "sender")
        }
        return {
            "Successful": [{"Id": entry["Id"]} for entry in by_fate["ok"]],
            "Failed": [{"Id": entry["Id"], "SenderFault": False} for entry in by_fate["fail"]]
            + [{"Id": entry["Id"], "SenderFault": True} for entry in by_fate["sender"]],
        }

    client = BatchClient(*[answer] * 100)
    batch = messages(len(fates))
    undone = queue_on(client).delete(batch)
    assert sorted(each.receipt_handle for each in undone) == sorted(
        handle for handle, fate in fate_of.items() if fate != "ok"
    )


# Receiving


class ReceiveClient:
    def __init__(self, answer: Any) -> None:
        self._answer = answer
        self.arguments: dict[str, Any] = {}

    def receive_message(self, **arguments: Any) -> Any:
        self.arguments = arguments
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def received(answer: Any) -> tuple[list[Message], dict[str, Any]]:
    client: Any = ReceiveClient(answer)
    queue = queue_on(client, receiving=client)
    return queue.receive(20), client.arguments


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
    bare = {"MessageId": "m", "ReceiptHandle": "h"}
    assert received({"Messages": [bare]})[0] == [Message("m", "h", "", 1, None, None)]


@pytest.mark.parametrize(
    "answer",
    [
        {"Messages": 5},
        {"Messages": [{}]},
        {"Messages": [5]},
        {"Messages": [{"MessageId": "m", "ReceiptHandle": "h", "Body": 5}]},
        {"Messages": [{"MessageId": ["m"], "ReceiptHandle": "h", "Body": "{}"}]},
        {
            "Messages": [
                {"MessageId": "m", "ReceiptHandle": "h", "Attributes": {"ApproximateReceiveCount": "x"}}
            ]
        },
        RuntimeError("Credentials were refreshed, but the refreshed credentials are still expired."),
    ],
    ids=str,
)
def test_what_cannot_be_read_is_transient(answer: Any) -> None:
    with pytest.raises(Transient, match=r"^ReceiveMessage: (UnreadableAnswer|RuntimeError)$"):
        received(answer)


def test_a_receive_that_does_not_wait_uses_the_client_with_the_short_time_out() -> None:
    waiting: Any = ReceiveClient({})
    short: Any = ReceiveClient({})
    queue = queue_on(short, receiving=waiting)
    queue.receive(0)
    assert (waiting.arguments, short.arguments["WaitTimeSeconds"]) == ({}, 0)
    queue.receive(20)
    assert waiting.arguments["WaitTimeSeconds"] == 20


class LostAnswers:
    """SQS whose answers are lost or refused by plan; keeps the id of each attempt."""

    def __init__(self, *errors: Exception | None) -> None:
        self._errors = [*errors]
        self.ids: list[str | None] = []

    def receive_message(self, **arguments: Any) -> Any:
        self.ids.append(arguments.get("ReceiveRequestAttemptId"))
        if error := self._errors.pop(0):
            raise error
        return {}


@pytest.mark.parametrize(
    ("error", "is_repeated"),
    [(timeout(), True), (service_error("InternalError", 500), True), (service_error("OverLimit"), False)],
    ids=["no answer", "500", "throttled"],
)
def test_on_fifo_an_attempt_whose_answer_may_be_lost_is_repeated(error: Exception, is_repeated: bool) -> None:
    client, attempt = LostAnswers(None, error, None, None), ReceiveAttempt()
    queue = queue_on(client, url=f"{URL}.fifo")
    for _ in range(4):
        with suppress(Transient):
            queue.receive(20, attempt)
    first, lost, again, next_one = client.ids
    assert len({first, lost, next_one}) == 3
    assert (again == lost) is is_repeated


def test_a_standard_queue_knows_no_attempts() -> None:
    client = LostAnswers(None)
    queue_on(client).receive(20, ReceiveAttempt())
    assert client.ids == [None]


@pytest.mark.parametrize("code", ["OverLimit", "RequestThrottled", "KmsThrottled", "ThrottlingException"])
def test_a_throttled_receive_is_transient(code: str) -> None:
    with pytest.raises(Transient):
        received(service_error(code))


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


def test_sixty_receives_outlast_the_time_to_live() -> None:
    """At the shortest of all jitters: the last receive comes after 15 minutes and the clocks' tolerance."""
    shortest = sum(min(60, 2 * 2 ** min(count - 1, 10)) / 2 for count in range(1, 60))
    assert shortest > 900 + 300
