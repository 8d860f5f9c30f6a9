"""Waiting for a condition with a deadline: what tests do instead of sleeping."""

import time
from collections.abc import Callable
from threading import Event
from typing import TypeVar

Found = TypeVar("Found")


def eventually(
    condition: Callable[[], Found], deadline_seconds: float = 60.0, *, every_seconds: float = 0.05
) -> Found:
    """Calls the condition until its answer is true, and returns that answer.

    Raises:
        AssertionError: when the deadline has passed; the message holds the last answer.
    """
    pause = Event()
    deadline = time.monotonic() + deadline_seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() >= deadline:
            name = getattr(condition, "__name__", type(condition).__name__)
            raise AssertionError(
                f"{name} not met within {deadline_seconds} s; the last answer was {answer!r}"
            )
        pause.wait(every_seconds)
