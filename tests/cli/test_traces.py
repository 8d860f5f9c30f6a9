"""A trace that a producer starts is found wherever the service and the commands speak of its event."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from handlers.timestamps import format_timestamp
from tests.cli.commands import Command
from tests.support.service import ServiceProcess
from tests.waiting import eventually

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def traced(status: str, **more: str) -> bytes:
    now = format_timestamp(datetime.now(UTC))
    event = {"requestId": "req-1", "status": status, "occurredAt": now, "createdAt": now, **more}
    return json.dumps({"event": event, "attributes": {"traceparent": PARENT}}).encode() + b"\n"


def test_a_trace_id_given_to_publish_is_found_in_every_line_in_the_dead_letter_and_in_why(
    environment: dict[str, str], command: Command, tmp_path: Path
) -> None:
    environment["LOG_LEVEL"] = "DEBUG"
    (tmp_path / "service").mkdir()
    with ServiceProcess(environment, tmp_path / "service", "--only", "transitions") as service:
        service.wait_for("service_started")

        def outcomes() -> list[dict[str, Any]]:
            return service.lines("event_outcome")

        for number, status in enumerate(("completed", "failed"), 1):
            published = command("publish", "-", environment=environment, stdin=traced(status))
            assert published.status == 0, published.err
            eventually(lambda number=number: len(outcomes()) >= number)  # type: ignore[misc]
        assert [line["outcome"] for line in outcomes()] == ["applied", "conflict"]
        assert {line["trace_id"] for line in outcomes()} == {TRACE}
        assert "sender_id" in outcomes()[1]
        service.stop()
    [letter] = command("dlq", "list", "--json", environment=environment).lines
    assert json.loads(letter)["traceId"] == TRACE
    assert json.loads(letter)["attributes"]["traceparent"]["StringValue"] == PARENT
    assert f"trace {TRACE}" in command("why", "req-1", environment=environment).out
