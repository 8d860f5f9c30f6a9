"""SQS's batch calls: cut by number and bytes, read entry by entry, repeated only where it can help."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.aws.errors import Misconfigured, Transient
from processor.aws.sqs import (
    SQS_MAX_BATCH,
    SQS_MAX_BATCH_BYTES,
    BatchResult,
    RedrivePolicy,
    batch_call,
    payload_bytes,
    redrive_policy,
    runs,
)
from tests.processor.limited_sqs import KIB, LimitedSqs, refusal
from tests.transitions.rig import NoWaiting, timeout

URL = "http://127.0.0.1/123456789012/events"


def send(sqs: Any, bodies: Sequence[str], **changes: Any) -> BatchResult:
    entries = [{"MessageBody": body} for body in bodies]
    return batch_call(sqs.send_message_batch, URL, entries, **{"stop": NoWaiting()} | changes)


def texts(sqs: LimitedSqs) -> list[str]:
    return [entry["MessageBody"] for entry in sqs.accepted]


@given(st.lists(st.integers(0, 300_000), max_size=40))
def test_runs_are_all_entries_in_order_and_each_is_one_that_a_call_takes(sizes: list[int]) -> None:
    entries = [{"MessageBody": "x" * size} for size in sizes]
    cut = list(runs(entries))
    assert [index for run in cut for index in run] == list(range(len(sizes)))
    for run in cut:
        assert 1 <= len(run) <= SQS_MAX_BATCH
        assert len(run) == 1 or sum(sizes[index] for index in run) <= SQS_MAX_BATCH_BYTES


def test_names_types_and_values_of_attributes_count_as_payload_and_system_attributes_do_not() -> None:
    entry: Mapping[str, Any] = {
        "MessageBody": "ü",
        "MessageAttributes": {
            "a": {"DataType": "String", "StringValue": "€"},
            "bc": {"DataType": "Binary", "BinaryValue": b"1234"},
        },
        "MessageSystemAttributes": {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1"}},
    }
    assert payload_bytes(entry) == 2 + (1 + 6 + 3) + (2 + 6 + 4)


def test_accepted_entries_have_the_ids_of_their_messages_and_no_entries_are_no_call() -> None:
    sqs = LimitedSqs()
    assert send(sqs, []) == BatchResult({}, {}, [])
    assert sqs.calls == []
    assert send(sqs, "abc") == BatchResult({0: "copy-1", 1: "copy-2", 2: "copy-3"}, {}, [])


def test_only_what_failed_for_sqs_s_reasons_is_repeated() -> None:
    sqs = LimitedSqs()
    sqs.faults = [{"b": "InternalError"}]
    repeated: list[int] = []
    result = send(sqs, ["a", "b", "\ufffe"], on_retry=repeated.append)
    assert set(result.done) == {0, 1}
    assert result.refused == {2: "InvalidMessageContents"}
    assert result.not_taken == [2]
    assert sqs.calls == [["0", "1", "2"], ["1"]]
    assert repeated == [1]


def test_a_call_refused_as_a_whole_is_sent_entry_by_entry_to_find_the_one_at_fault() -> None:
    sqs = LimitedSqs(message_bytes=KIB, refuses_call=True)
    result = send(sqs, ["a", "x" * 2_000, "b"])
    assert (set(result.done), result.refused) == ({0, 2}, {1: "InvalidParameterValue"})
    assert texts(sqs) == ["a", "b"]


@pytest.mark.parametrize(
    ("fault", "kind", "answered", "calls"),
    [(timeout(), Transient, False, 3), (refusal("AccessDenied"), Misconfigured, True, 1)],
    ids=["silent", "forbidden"],
)
def test_a_call_that_fails_is_in_the_result(
    fault: Exception, kind: type, calls: int, *, answered: bool
) -> None:
    sqs = LimitedSqs()
    sqs.faults = [fault] * 9
    result = send(sqs, "ab")
    assert (result.done, result.left, result.answered) == ({}, [0, 1], answered)
    assert isinstance(result.error, kind)
    assert len(sqs.calls) == calls


def test_after_a_call_that_works_no_error_is_left() -> None:
    sqs = LimitedSqs()
    sqs.faults = [timeout()]
    assert send(sqs, "a") == BatchResult({0: "copy-1"}, {}, [])


def test_before_the_deadline_nothing_was_asked_so_nothing_was_answered() -> None:
    sqs = LimitedSqs()
    result = send(sqs, "a", deadline=1.0, monotonic=lambda: 1.0)
    assert (result.left, result.answered, sqs.calls) == ([0], False, [])


@pytest.mark.parametrize(
    "answer",
    [{"Successful": [{}]}, {"Successful": [{"Id": "x"}]}, {"Failed": [{"SenderFault": True}]}, {"Failed": 5}],
    ids=str,
)
def test_an_answer_of_another_shape_is_repeated(answer: Any) -> None:
    class Confused:
        def __init__(self) -> None:
            self.answers = [answer, {"Successful": [{"Id": "0"}, {"Id": "77"}]}]

        def send_message_batch(self, **_: Any) -> Any:
            return self.answers.pop(0)

    assert send(Confused(), "a").done == {0: ""}


@given(st.lists(st.sampled_from(["ok", "fails", "refused"]), max_size=35))
def test_every_entry_is_accepted_refused_or_left(fates: list[str]) -> None:
    sqs = LimitedSqs()
    bodies = [f"{index}" if fate != "refused" else "\ufffe" for index, fate in enumerate(fates)]
    sqs.faults = [{str(index): "InternalError" for index, fate in enumerate(fates) if fate == "fails"}] * 99
    result = send(sqs, bodies)
    positions = {"ok": sorted(result.done), "refused": sorted(result.refused), "fails": [*result.left]}
    for fate, found in positions.items():
        assert found == [index for index, each in enumerate(fates) if each == fate]


@pytest.mark.parametrize(
    ("attributes", "policy"),
    [
        ({}, RedrivePolicy(None, None)),
        (
            {"RedrivePolicy": '{"deadLetterTargetArn":"arn:dlq","maxReceiveCount":"60"}'},
            RedrivePolicy("arn:dlq", 60),
        ),
        ({"RedrivePolicy": '{"maxReceiveCount":5}'}, RedrivePolicy(None, 5)),
    ],
    ids=str,
)
def test_a_redrive_policy_is_read_from_a_queue_s_attributes(
    attributes: Mapping[str, str], policy: RedrivePolicy
) -> None:
    assert redrive_policy(attributes) == policy
