"""Dead letters: within SQS's limits, split by number and by bytes, and only what the queue took counts."""

import json
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.aws.message_attributes import Attributes
from processor.aws.sqs import BatchResult
from processor.dead_letters import DeadLetter, DeadLetterQueue, printable, producer_attributes
from tests.handlers.making import at
from tests.processor.limited_sqs import KIB, LimitedSqs, refusal
from tests.transitions.rig import NoWaiting, timeout

URL = "http://127.0.0.1/123456789012/dlq"


def queue_on(sqs: Any, url: str = URL, abandon: threading.Event | None = None) -> DeadLetterQueue:
    return DeadLetterQueue(sqs, url, lambda: at(60), abandon or NoWaiting())


def letter(body: str = "x", **changes: Any) -> DeadLetter:
    whole: dict[str, Any] = {
        "body": body,
        "outcome": "invalid",
        "reason": "status is required",
        "source_message_id": "0d2c1c9e-7a9a-4a42-8d05-3d1d6a4f7d7e",
        "receive_count": 3,
        "group_id": None,
    }
    return DeadLetter(**(whole | changes))


def outcome(sent: BatchResult) -> tuple[set[int], set[int]]:
    return set(sent.done), set(sent.refused)


def bodies(sqs: LimitedSqs) -> list[str]:
    return [entry["MessageBody"] for entry in sqs.accepted]


def test_a_copy_carries_the_contract_s_attributes_and_nothing_else() -> None:
    sqs = LimitedSqs()
    assert outcome(queue_on(sqs).send([letter("{body}")])) == ({0}, set())
    assert sqs.accepted == [
        {
            "Id": "0",
            "MessageBody": "{body}",
            "MessageAttributes": {
                "rejectionOutcome": {"DataType": "String", "StringValue": "invalid"},
                "rejectionReason": {"DataType": "String", "StringValue": "status is required"},
                "sourceMessageId": {
                    "DataType": "String",
                    "StringValue": "0d2c1c9e-7a9a-4a42-8d05-3d1d6a4f7d7e",
                },
                "receiveCount": {"DataType": "Number", "StringValue": "3"},
                "rejectedAt": {"DataType": "String", "StringValue": "2026-11-22T10:01:00.000Z"},
            },
        }
    ]


def test_on_fifo_a_copy_keeps_its_group_and_is_recognised_by_the_message_s_id() -> None:
    sqs = LimitedSqs(fifo=True)
    queue = queue_on(sqs, URL + ".fifo")
    assert queue.send([letter(group_id="g"), letter(group_id=None)]).done.keys() == {0, 1}
    assert [(entry["MessageGroupId"], entry["MessageDeduplicationId"]) for entry in sqs.accepted] == [
        ("g", "0d2c1c9e-7a9a-4a42-8d05-3d1d6a4f7d7e"),
        ("0d2c1c9e-7a9a-4a42-8d05-3d1d6a4f7d7e", "0d2c1c9e-7a9a-4a42-8d05-3d1d6a4f7d7e"),
    ]


def test_a_standard_queue_s_group_id_is_copied_for_fair_queues() -> None:
    sqs = LimitedSqs()
    assert queue_on(sqs).send([letter(group_id="tenant-7"), letter()]).done.keys() == {0, 1}
    assert [entry.get("MessageGroupId") for entry in sqs.accepted] == ["tenant-7", None]
    assert all("MessageDeduplicationId" not in entry for entry in sqs.accepted)


ATTRIBUTES: Attributes = {
    "traceparent": {
        "DataType": "String",
        "StringValue": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    },
    "tenant": {"DataType": "String.uuid", "StringValue": 'caf\u00e9 "x"'},
    "attempt": {"DataType": "Number", "StringValue": "3"},
    "key": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
}


def test_the_producer_s_attributes_travel_as_json_and_its_trace_header_as_what_it_is() -> None:
    sqs = LimitedSqs()
    header = "Root=1-5759e988-bd862e3fe1be46a994272793"
    assert queue_on(sqs).send([letter(attributes=ATTRIBUTES, trace_header=header)]).done.keys() == {0}
    [entry] = sqs.accepted
    assert json.loads(entry["MessageAttributes"]["sourceAttributes"]["StringValue"]) == {
        **ATTRIBUTES,
        "key": {"DataType": "Binary", "BinaryValue": "AP8="},
    }
    assert entry["MessageSystemAttributes"] == {
        "AWSTraceHeader": {"DataType": "String", "StringValue": header}
    }


def test_the_attributes_of_a_letter_that_sqs_moved_back_are_the_producer_s() -> None:
    sqs = LimitedSqs()
    queue_on(sqs).send([letter(attributes=ATTRIBUTES)])
    own = sqs.accepted[0]["MessageAttributes"]
    assert producer_attributes(own) == ATTRIBUTES
    added = {"operator": {"DataType": "String", "StringValue": "kim"}}
    assert producer_attributes({**own, **added}) == {**ATTRIBUTES, **added}
    assert producer_attributes({name: own[name] for name in own if name != "sourceAttributes"}) == {}


def test_attributes_of_another_producer_stay_also_under_our_names() -> None:
    theirs: Attributes = {"receiveCount": {"DataType": "Number", "StringValue": "1"}}
    assert producer_attributes(theirs) == theirs
    assert producer_attributes({}) == {}


@pytest.mark.parametrize(
    "text", ["", "x", "[]", '{"a": 5}', "[" * 9_000, '{"AWS.x": "y"}'], ids=lambda text: text[:9]
)
def test_broken_source_attributes_count_as_none(text: str) -> None:
    letter_of_ours: Attributes = {
        "rejectionOutcome": {"DataType": "String", "StringValue": "invalid"},
        "sourceAttributes": {"DataType": "String", "StringValue": text},
    }
    assert producer_attributes(letter_of_ours) == {}


NAMES = st.from_regex(r"[A-Za-z0-9_-]{1,20}(\.[A-Za-z0-9_-]{1,20})?", fullmatch=True).filter(
    lambda name: not name.lower().startswith(("aws.", "amazon.")) and name != "rejectionOutcome"
)
TEXTS = st.text(
    st.characters(codec="utf-8", exclude_characters="\ufffe\uffff", exclude_categories=["Cc"]), min_size=1
)
VALUES = st.one_of(
    TEXTS.map(lambda text: {"DataType": "String", "StringValue": text}),
    st.integers().map(lambda number: {"DataType": "Number", "StringValue": str(number)}),
    st.binary(min_size=1).map(lambda data: {"DataType": "Binary.x", "BinaryValue": data}),
)


@given(st.dictionaries(NAMES, VALUES, max_size=10))
def test_whatever_attributes_sqs_takes_come_back_out_of_a_letter(attributes: Attributes) -> None:
    sqs = LimitedSqs()
    assert queue_on(sqs).send([letter(attributes=attributes)]).done.keys() == {0}
    assert producer_attributes(sqs.accepted[0]["MessageAttributes"]) == attributes


@pytest.mark.parametrize(
    ("bodies", "most_kib", "calls"),
    [
        ([], 256, []),
        (["x"] * 25, 256, [10, 10, 5]),
        (["\u20ac" * 30_000] * 7, 256, [2, 2, 2, 1]),
        (["x", "x" * 256 * KIB, "x"], 1_024, [1, 1, 1]),
    ],
    ids=["nothing", "by number", "by bytes", "the largest event alone"],
)
def test_letters_are_split_by_number_and_bytes(bodies: list[str], most_kib: int, calls: list[int]) -> None:
    """256 KiB in one call is what every queue takes; a larger letter needs a larger queue."""
    sqs = LimitedSqs(batch_bytes=most_kib * KIB)
    assert queue_on(sqs).send([letter(body) for body in bodies]).done.keys() == set(range(len(bodies)))
    assert [len(call) for call in sqs.calls] == calls


@pytest.mark.parametrize("refuses_call", [False, True], ids=["its entry fails", "the call fails"])
def test_a_copy_that_is_too_large_is_refused_and_its_neighbours_are_accepted(*, refuses_call: bool) -> None:
    sqs = LimitedSqs(message_bytes=64 * KIB, refuses_call=refuses_call)
    letters = [letter("a"), letter("x" * 70_000), letter("b")]
    assert outcome(queue_on(sqs).send(letters)) == ({0, 2}, {1})
    assert sorted(bodies(sqs)) == ["a", "b"]


def test_a_body_that_sqs_cannot_hold_is_refused_and_its_neighbours_are_accepted() -> None:
    sqs = LimitedSqs()
    assert outcome(queue_on(sqs).send([letter("a"), letter("\ufffe"), letter("b")])) == ({0, 2}, {1})


def test_entries_that_failed_for_sqs_s_reasons_are_tried_again_alone() -> None:
    sqs = LimitedSqs()
    sqs.faults = [{"b": "InternalError", "c": "ServiceUnavailable"}, {"c": "InternalError"}]
    letters = [letter(text) for text in "abcd"]
    assert outcome(queue_on(sqs).send(letters)) == ({0, 1, 2, 3}, set())
    assert sqs.calls == [["0", "1", "2", "3"], ["1", "2"], ["2"]]
    assert bodies(sqs) == ["a", "d", "b", "c"]


def test_after_three_tries_a_copy_counts_as_neither_accepted_nor_refused() -> None:
    sqs = LimitedSqs()
    sqs.faults = [{"b": "InternalError"}] * 9
    assert outcome(queue_on(sqs).send([letter("a"), letter("b")])) == ({0}, set())
    assert len(sqs.calls) == 3


@pytest.mark.parametrize("code", ["InternalError", "ServiceUnavailable", "RequestThrottled"])
def test_a_call_that_failed_is_tried_again(code: str) -> None:
    sqs = LimitedSqs()
    sqs.faults = [refusal(code if code == "RequestThrottled" else "ServiceUnavailable")]
    assert queue_on(sqs).send([letter("a"), letter("b")]).done.keys() == {0, 1}


@pytest.mark.parametrize("code", ["AccessDenied", "AWS.SimpleQueueService.NonExistentQueue"])
def test_a_call_without_permission_takes_nothing_and_is_not_repeated(code: str) -> None:
    sqs = LimitedSqs()
    sqs.faults = [refusal(code)] * 3
    assert outcome(queue_on(sqs).send([letter()])) == (set(), set())
    assert len(sqs.calls) == 1


def test_a_silent_queue_costs_the_tries_of_one_batch_and_then_a_call_a_batch() -> None:
    sqs = LimitedSqs()
    sqs.faults = [timeout()] * 99
    assert queue_on(sqs).send([letter()] * 50).done == {}
    assert len(sqs.calls) == 3 + 4


@pytest.mark.parametrize("fault", [refusal("ServiceUnavailable"), timeout()], ids=["refused", "silent"])
def test_once_a_drain_ends_no_try_is_repeated(fault: Exception) -> None:
    sqs, abandon = LimitedSqs(), NoWaiting()
    abandon.set()
    sqs.faults = [fault] * 99
    assert queue_on(sqs, abandon=abandon).send([letter()] * 50).done == {}
    assert len(sqs.calls) == 1


def test_no_call_begins_after_the_deadline() -> None:
    """A silent queue takes three seconds a call."""
    sqs = LimitedSqs()
    sqs.faults = [timeout()] * 99
    queue = DeadLetterQueue(
        sqs,  # type: ignore[arg-type] # a double
        URL,
        lambda: at(60),
        NoWaiting(),
        monotonic=lambda: 3.0 * len(sqs.calls),
    )
    assert queue.send([letter()] * 50, until=7.0).done == {}
    assert len(sqs.calls) == 3


def test_a_batch_that_is_refused_as_a_whole_ends_with_the_first_copy_that_is_not_answered() -> None:
    sqs = LimitedSqs()
    sqs.faults = [refusal("InvalidParameterValue"), {}, *[timeout()] * 99]
    assert queue_on(sqs).send([letter()] * 10).done.keys() == {0}
    assert len(sqs.calls) == 1 + 1 + 3


def test_an_answer_of_another_shape_is_malformed() -> None:
    class Confused:
        def __init__(self) -> None:
            self.answers: list[Any] = [{"Successful": [{}]}, {"Successful": [{"Id": "0"}, {"Id": "77"}]}]

        def send_message_batch(self, **_: Any) -> Any:
            return self.answers.pop(0)

    assert outcome(queue_on(Confused()).send([letter()])) == ({0}, set())


@given(st.text(max_size=400))
def test_a_reason_is_always_one_that_an_attribute_can_hold(reason: str) -> None:
    shown = printable(reason)
    assert 1 <= len(shown) <= 256
    assert all(" " <= character <= "~" for character in shown)


SIZES = st.lists(st.sampled_from([1, 100, 50_000, 100_000, 200_000, 262_144, 300_000]), max_size=14)


@given(SIZES, st.lists(st.sampled_from(["ok", "bad"]), min_size=14, max_size=14))
def test_every_copy_is_either_accepted_once_or_not_counted_as_accepted(
    sizes: list[int], fates: list[str]
) -> None:
    sqs = LimitedSqs(message_bytes=290_000, batch_bytes=290_000)
    letters = [
        letter(("\ufffe" if fate == "bad" else "x") * (size // (3 if fate == "bad" else 1) or 1))
        for size, fate in zip(sizes, fates, strict=False)
    ]
    sent = queue_on(sqs).send(letters)
    good = {index for index, each in enumerate(letters) if each.body[0] == "x" and len(each.body) < 289_000}
    assert sent.done.keys() == good
    assert sent.refused.keys() == set(range(len(letters))) - good
    assert len(sqs.accepted) == len(good)
