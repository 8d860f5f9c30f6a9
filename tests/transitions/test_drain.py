"""The stop: at once from a pause, within its budget with messages in hand, and it says so if it was not."""

import threading
import time
from collections.abc import Callable
from typing import Any

from processor.transitions.context import Timing
from tests.transitions.rig import service_error, timeout
from tests.transitions.running import Make, Run, Switch, bodies_of
from tests.waiting import eventually


def test_a_stop_while_a_receiver_backs_off_ends_it_at_once(run: Run) -> None:
    refused = Switch(service_error("OverLimit"), on=False)
    with run(
        *bodies_of(1),
        hooks={"receive_message": refused},
        timing=Timing(receive_back_off_seconds=30.0),
    ) as service:
        service.wait_until_empty()
        refused.on = True
        eventually(lambda: refused.stopped == 1)
        began = time.monotonic()
        assert service.stop()
        assert time.monotonic() - began < 10, "a back-off lasts 15 s or more"


def test_a_drain_gives_back_at_once_what_a_silent_table_keeps_from_being_applied(make: Make) -> None:
    """The write does not answer; the stop comes; within the budget the messages can be received again."""
    asked, answer = threading.Event(), threading.Event()

    def hang(method: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        asked.set()
        answer.wait(1)
        raise timeout()

    made = make({"update_item": hang})
    made.send(*bodies_of(10))
    made.start()
    assert asked.wait(60)
    made.pipeline.stop(time.monotonic() + 9)
    assert made.pipeline.join().clean, "within the budget"
    answer.set()
    eventually(lambda: made.visible() == 10)
    assert made.dead() == []
