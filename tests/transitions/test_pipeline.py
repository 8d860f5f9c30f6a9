"""The pipeline from queue to table and dead-letter queue, on the embedded AWS."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from processor.localaws.embedded_aws import EmbeddedAws
from tests.handlers.making import SECRET, SIGNED_URL, body, fields, item, text_at
from tests.handlers.test_envelopes import event_bridge, sns
from tests.transitions.running import Running, running
from tests.waiting import eventually

CREATED_AT = text_at(0)

POISON = {
    "not JSON": "the body must be JSON",
    "[1]": "the body must be a JSON object",
    "[" * 200_000: "the body must not be nested so deeply",
    '{"requestId":NaN}': "requestId must not be NaN or Infinity in the body",
    '{"requestId":"p","requestId":"q"}': "the body must not hold requestId twice",
    '{"requestId":"p","error":"\\ud800"}': "error must not hold a lone surrogate in the body",
    body("done", requestId="p"): "status must be pending, processing, completed or failed",
    body(requestId="p", occurredAt=None): "occurredAt is required",
    body(requestId=7): "requestId must be a JSON string",
    body(requestId="p", occurredAt="2026-11-22T10:00:00"): (
        "occurredAt must be an RFC 3339 timestamp with an offset or Z"
    ),
    body(requestId="p", occurredAt="9999-01-01T00:00:00Z"): (
        "occurredAt must not be more than 5 minutes in the future"
    ),
    body(requestId="p", occurredAt="0001-01-01T00:00:00+14:00"): (
        "occurredAt must be a date that exists, between the years 1 and 9999 in UTC"
    ),
    body("failed", requestId="p", signedUrl=SIGNED_URL): "signedUrl is allowed only with status completed",
}


def test_one_poison_message_among_ten_costs_its_neighbours_nothing(
    embedded_aws: EmbeddedAws, tmp_path: Path
) -> None:
    good = [body(requestId=f"r{number}") for number in range(9)]
    with running(embedded_aws, tmp_path, bodies=[*good[:4], "poison", *good[4:]]) as service:
        service.wait_until_empty()
        assert all(service.item(f"r{number}") is not None for number in range(9))
        [copy] = service.dead()
        assert (copy["body"], copy["rejectionOutcome"], copy["receiveCount"]) == ("poison", "invalid", "1")
        assert copy["rejectedAt"] == "2026-11-22T10:01:00.000Z"
        assert service.operations()["delete_message_batch"] == 1
        assert (service.count("Applied"), service.count("Invalid"), service.count("DeadLettered")) == (
            9,
            1,
            1,
        )


def test_every_kind_of_poison_is_dead_lettered_with_its_reason(
    embedded_aws: EmbeddedAws, tmp_path: Path
) -> None:
    good = [body(requestId=f"r{number}") for number in range(len(POISON))]
    mixed = [text for pair in zip(POISON, good, strict=True) for text in pair]
    with running(embedded_aws, tmp_path) as service:
        ids = [message_id for text in mixed for message_id in service.send(text)]
        service.wait_until_empty()
        assert all(service.item(f"r{number}") is not None for number in range(len(good)))
        copies = service.dead()
    assert {copy["body"]: copy["rejectionReason"] for copy in copies} == POISON
    assert {copy["sourceMessageId"] for copy in copies} == set(ids[::2])


def test_every_envelope_is_applied_and_what_is_too_long_is_cut(
    embedded_aws: EmbeddedAws, tmp_path: Path
) -> None:
    bare = fields("failed", createdAt=CREATED_AT, eventId="e" * 9_999, error="\u00e9" * 100_000)
    event_in = [{**bare, "requestId": name} for name in ("bare", "sns", "bridge", "both")]
    bodies = [
        json.dumps(event_in[0], ensure_ascii=False),
        sns(json.dumps(event_in[1], ensure_ascii=False)),
        event_bridge(event_in[2] | {"error": "e" * 5_000}),
        sns(event_bridge(event_in[3] | {"error": "e" * 5_000})),
    ]
    with running(embedded_aws, tmp_path, bodies=bodies) as service:
        service.wait_until_empty()
        for name, cut in (("bare", "\u00e9" * 2_048), ("sns", "\u00e9" * 2_048), ("bridge", "e" * 4_096)):
            assert service.item(name) == item("failed", requestId={"S": name}, error={"S": cut})
        assert service.item("both") is not None
        assert service.dead() == []


def test_orders_repeats_and_contradictions_end_as_the_contract_says(
    embedded_aws: EmbeddedAws, tmp_path: Path, logged: list[Any]
) -> None:
    bodies = [
        body("completed", createdAt=CREATED_AT, occurredAt=text_at(3), signedUrl=SIGNED_URL),
        body("pending", occurredAt=CREATED_AT),
        body("processing", createdAt=CREATED_AT, occurredAt=text_at(2), fileName="f"),
        body("completed", createdAt=CREATED_AT, occurredAt=text_at(3), signedUrl=SIGNED_URL),
        body("failed", occurredAt=text_at(4), error=f"no answer from {SIGNED_URL}"),
    ]
    with running(embedded_aws, tmp_path) as service:
        for text in bodies:
            service.send(text)
            service.wait_until_empty()
        assert service.item() == item(
            "completed", updatedAt={"S": text_at(3)}, fileName={"S": "f"}, signedUrl={"S": SIGNED_URL}
        )
        [copy] = service.dead()
        assert (copy["body"], copy["rejectionOutcome"]) == (bodies[-1], "conflict")
        assert copy["rejectionReason"] == "status contradicts the terminal status that was recorded first"
    outcomes = [line["outcome"] for line in logged if line["event"] == "event_outcome"]
    assert outcomes == ["applied", "stale", "stale", "duplicate", "conflict"]
    levels = {line["outcome"]: line["log_level"] for line in logged if line["event"] == "event_outcome"}
    assert levels["conflict"] == "warning"
    assert levels["applied"] == levels["stale"] == levels["duplicate"] == "debug"


def test_the_last_receive_dead_letters_an_early_event_with_its_outcome(
    embedded_aws: EmbeddedAws, tmp_path: Path
) -> None:
    text = body("completed")
    with running(embedded_aws, tmp_path, bodies=[text], max_receive_count=2, hooks=AT_ONCE) as service:
        service.wait_until_empty()
        [copy] = service.dead()
        assert (copy["body"], copy["rejectionOutcome"], copy["receiveCount"]) == (text, "early", "2")
        assert copy["rejectionReason"] == "createdAt is missing and no item exists yet"
        assert service.item() is None
        assert service.count("Early") == 2


def without_waiting(method: Any, arguments: dict[str, Any]) -> Any:
    entries = [{**entry, "VisibilityTimeout": 0} for entry in arguments["Entries"]]
    return method(**{**arguments, "Entries": entries})


AT_ONCE = {"change_message_visibility_batch": without_waiting}


def test_an_early_event_waits_for_its_first_one_and_is_applied_then(
    embedded_aws: EmbeddedAws, tmp_path: Path
) -> None:
    with running(embedded_aws, tmp_path, bodies=[body("completed", fileName="f")], hooks=AT_ONCE) as service:
        eventually(lambda: service.operations()["change_message_visibility_batch"] >= 2)
        assert service.item() is None
        service.send(body("pending", occurredAt=CREATED_AT))
        service.wait_until_empty()
        assert service.item() == item("completed", fileName={"S": "f"})
        assert service.dead() == []


def test_an_early_event_is_left_with_a_back_off_of_two_seconds_at_most_at_first(
    embedded_aws: EmbeddedAws, tmp_path: Path
) -> None:
    with running(embedded_aws, tmp_path, bodies=[body("completed")]) as service:
        name = "change_message_visibility_batch"
        [entry] = eventually(lambda: [arguments for call, arguments in service.aws.calls if call == name])[0][
            "Entries"
        ]
        assert entry["VisibilityTimeout"] in {1, 2}
        eventually(lambda: service.left() == 1)


def test_late_events_touch_nothing_and_are_told_at_warning(
    embedded_aws: EmbeddedAws, tmp_path: Path, logged: list[Any]
) -> None:
    def at_the_end(service: Running) -> None:
        service.clock.seconds = 1_000
        service.put(item("pending"))

    bodies = [
        body("completed", eventId="e-1", occurredAt=text_at(3)),
        body("completed", requestId="gone", occurredAt=text_at(3)),
        body("pending", requestId="gone too", occurredAt=CREATED_AT),
    ]
    with running(embedded_aws, tmp_path, bodies=bodies, before=at_the_end) as service:
        service.wait_until_empty()
        assert service.item() == item("pending")
        assert service.item("gone") is None
        assert service.item("gone too") is None
        assert service.dead() == []
        assert service.count("Expired") == 3
    told = {line["request_id"]: line for line in logged if line["event"] == "event_outcome"}
    assert {line["log_level"] for line in told.values()} == {"warning"}
    assert (told["req-1"]["item_present"], told["req-1"]["late_seconds"]) == (True, 100.0)
    assert (told["gone"]["item_present"], told["gone"]["late_seconds"]) == (False, 97.0)
    assert (told["gone too"]["item_present"], told["gone too"]["late_seconds"]) == (False, 100.0)
    assert told["req-1"]["event_id"] == "e-1"
    assert told["gone"]["event_id"] == told["gone"]["message_id"]


def test_a_hundred_messages_take_the_fewest_calls(embedded_aws: EmbeddedAws, tmp_path: Path) -> None:
    """Full pages are followed without waiting, up to fifty messages; deletes go in tens."""
    bodies = [body(requestId=f"r{number}") for number in range(100)]
    with running(embedded_aws, tmp_path, bodies=bodies) as service:
        service.wait_until_empty()
        operations = service.operations()
        assert operations["update_item"] == 100
        assert operations["delete_message_batch"] == 10
        full = [arguments for name, arguments in service.aws.calls if name == "receive_message"]
        assert len([arguments for arguments in full if arguments["WaitTimeSeconds"] == 0]) == 8
        assert all(arguments["MaxNumberOfMessages"] == 10 for arguments in full)


def test_events_of_one_export_in_hand_are_one_write(embedded_aws: EmbeddedAws, tmp_path: Path) -> None:
    bodies = [
        body("processing", fileName="f"),
        body("completed", occurredAt=text_at(3)),
        body("pending", occurredAt=CREATED_AT),
        body("processing"),
    ]
    with running(embedded_aws, tmp_path, bodies=bodies) as service:
        service.wait_until_empty()
        assert service.operations()["update_item"] == 1
        assert service.item() == item("completed", updatedAt={"S": text_at(3)}, fileName={"S": "f"})
        assert (service.count("Applied"), service.count("Stale")) == (1, 3)


def test_two_receives_of_a_message_in_one_page_are_one_event_and_the_newest_handle_deletes_it(
    embedded_aws: EmbeddedAws, tmp_path: Path
) -> None:
    def twice(method: Any, arguments: dict[str, Any]) -> Any:
        answer = method(**arguments)
        messages = answer.get("Messages", [])
        older = [{**message, "ReceiptHandle": "older"} for message in messages]
        return {**answer, "Messages": older + messages}

    with running(embedded_aws, tmp_path, bodies=[body()], hooks={"receive_message": twice}) as service:
        service.wait_until_empty()
        deletes = [arguments for name, arguments in service.aws.calls if name == "delete_message_batch"]
        assert [len(arguments["Entries"]) for arguments in deletes] == [1]
        assert deletes[0]["Entries"][0]["ReceiptHandle"] != "older"
        assert service.count("Applied") == 1
        assert service.count("Duplicate") == 0


def test_many_receivers_share_a_queue_and_each_event_has_one_effect(
    embedded_aws: EmbeddedAws, tmp_path: Path
) -> None:
    bodies = [
        body(status, requestId=f"r{number}", createdAt=CREATED_AT, occurredAt=text_at(when))
        for status, when in (("completed", 3), ("pending", 0), ("processing", 2), ("completed", 3))
        for number in range(25)
    ]
    with running(embedded_aws, tmp_path, bodies=bodies, settings={"EXPORT_RECEIVERS": "8"}) as service:
        service.wait_until_empty()
        for number in range(25):
            assert service.item(f"r{number}") == item(
                "completed", requestId={"S": f"r{number}"}, updatedAt={"S": text_at(3)}
            )
        assert service.dead() == []
        # Whoever comes second is told so by the condition.
        assert service.count("Retry") == service.count("Conflict") == 0
        assert 25 <= service.count("Applied") <= 75


def test_a_message_that_breaks_the_decoder_is_dead_lettered_and_no_thread_dies(
    embedded_aws: EmbeddedAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: list[Any]
) -> None:
    def defective(text: str, **more: Any) -> Any:
        raise ZeroDivisionError(SECRET)

    monkeypatch.setattr("processor.transitions.handling.decode", defective)
    with running(embedded_aws, tmp_path, bodies=[body()]) as service:
        service.wait_until_empty()
        [copy] = service.dead()
        assert copy["rejectionReason"] == "the body could not be read, which is a defect of the consumer"
    [line] = [line for line in logged if line["event"] == "decode_failed"]
    assert line["log_level"] == "error"
    assert isinstance(line["exc_info"], ZeroDivisionError)  # named by its type when it is written


# Stop


def test_stop_and_join_may_come_before_start_and_twice(embedded_aws: EmbeddedAws, tmp_path: Path) -> None:
    never_started = Running(embedded_aws, tmp_path, {}, {}, {})
    assert never_started.pipeline.join().clean
    assert never_started.stop()
    assert never_started.stop()
    never_started.pipeline.start(threading.Event())
    never_started.send(body())
    assert never_started.pipeline.join().clean
    assert never_started.left() == 1, "what is stopped before it starts receives nothing"
    with running(embedded_aws, tmp_path) as service:
        assert service.stop()
        assert service.stop()


def test_join_without_stop_waits_for_the_end(embedded_aws: EmbeddedAws, tmp_path: Path) -> None:
    with running(embedded_aws, tmp_path) as service:
        ended = threading.Event()

        def wait_for_the_end() -> None:
            service.pipeline.join()
            ended.set()

        waiter = threading.Thread(target=wait_for_the_end)
        waiter.start()
        service.stop()
        waiter.join(10)
        assert ended.is_set()
