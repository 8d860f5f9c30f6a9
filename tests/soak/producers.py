"""The producers of a soak: a thread that sends each wave's messages at their times, and the operator who
deletes some items by hand."""

import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from tests.faults.expected import Sent
from tests.faults.run import SQS_MAX_BATCH
from tests.faults.schedule import LATE_AFTER_SECONDS, REAPED_AFTER_SECONDS
from tests.faults.traffic import Message
from tests.faults.world import World
from tests.soak.course import Course
from tests.soak.ledger import Ledger

DRAWN_AHEAD_SECONDS = 1.0
SEND_EVERY_SECONDS = 0.1
"""Interval between sends: a call then carries several messages."""

DUE_AFTER_SECONDS = REAPED_AFTER_SECONDS + 3.0
"""From a wave's end until it is compared for the first time: its last items have been deleted."""

LAST_FIELDS = {"fileName", "signedUrl"}
"""Fields of the last event before a repeat: with both, the item is complete."""

AUDITED_WITHIN_SECONDS = 120.0
"""How much longer a wave has before what is missing counts as missing."""

_Planned = tuple[float, int, int, Message]
"""When (Unix seconds), a number that makes it unique, the wave's seed, and what."""


class Producers:
    """Sends everything that a course has. `stop` ends it early."""

    def __init__(self, course: Course, world: World, ledger: Ledger, begins: float) -> None:
        """Takes when the first wave begins (Unix seconds)."""
        self._course = course
        self._world = world
        self._ledger = ledger
        self._waves = deque((number, begins + number * course.wave_seconds) for number in range(course.waves))
        self._left: list[_Planned] = []
        self._retold: deque[tuple[float, int, Mapping[str, Message]]] = deque()
        self._numbers = itertools.count()
        self._failure: Exception | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="producers", daemon=True)
        self.sent = 0
        """How many messages the queue has accepted."""

    def start(self) -> None:
        """Begins to send."""
        self._thread.start()

    def stop(self) -> None:
        """Sends nothing any more; returns when that is so. May be called twice."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def are_done(self) -> bool:
        """Whether everything is sent.

        Raises:
            Exception: what went wrong in the thread.
        """
        if self._failure is not None:
            raise self._failure
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while (self._waves or self._left or self._retold) and not self._stopping.is_set():
                now = time.time()
                if self._waves and self._waves[0][1] - DRAWN_AHEAD_SECONDS <= now:
                    self._draw(*self._waves.popleft())
                if self._retold and self._retold[0][0] <= now:
                    self._retell(*self._retold.popleft()[1:])
                while self._left and self._left[0][0] <= now:
                    self._send_some(now)
                self._stopping.wait(SEND_EVERY_SECONDS)
        except Exception as failure:  # noqa: BLE001 - raised again by `are_done`
            self._failure = failure

    def _draw(self, number: int, begins: float) -> None:
        course, seed = self._course, self._course.seed_of(number)
        ends = begins + course.life_seconds
        due = ends + DUE_AFTER_SECONDS
        planned = course.traffic_of(number, begins)
        messages = len(planned.timely) + len(planned.late) + len(planned.retold)
        self._ledger.open(seed, messages, due=due, deadline=due + AUDITED_WITHIN_SECONDS)
        for message in planned.timely:
            self._plan(begins + message.after_seconds, seed, message)
        for message in planned.late:
            self._plan(ends + LATE_AFTER_SECONDS + message.after_seconds, seed, message)
        self._retold.append((begins + course.repeated_seconds, seed, planned.retold))

    def _plan(self, at: float, seed: int, message: Message) -> None:
        heapq.heappush(self._left, (at, next(self._numbers), seed, message))

    def _retell(self, seed: int, retold: Mapping[str, Message]) -> None:
        """Deletes complete items, and reports their exports again."""
        for request_id, message in retold.items():
            item = self._world.item(request_id)
            # An event that is still on its way would otherwise make another item than the one expected.
            if (
                item is not None
                and item["status"] == "completed"
                and {"fileName", "signedUrl"} <= item.keys()
            ):
                self._world.delete([request_id])
                self._ledger.note_deleted(item, time.time())
            self._plan(time.time(), seed, message)

    def _send_some(self, now: float) -> None:
        due: list[_Planned] = []
        while self._left and len(due) < SQS_MAX_BATCH and self._left[0][0] <= now:
            due.append(heapq.heappop(self._left))
        entries: Any = [
            {"Id": str(number), "MessageBody": message.body} for number, (*_, message) in enumerate(due)
        ]
        at = time.time()
        answer = self._world.sqs.send_message_batch(QueueUrl=self._world.queue_url, Entries=entries)
        ids = {int(each["Id"]): each["MessageId"] for each in answer["Successful"]}
        for number, (*_, seed, message) in enumerate(due):
            self._ledger.note_sent(seed, [Sent(ids[number], at, message.body, message.event)])
        self.sent += len(due)
