"""An ordinary day on the stand-in: events arrive by themselves, and SQS gives short pages.

Below a thousand waiting messages a receive gives fewer than asked, at random, and a short poll misses some,
as the real service does ("Amazon SQS short and long polling"). Each event's time from arrival to its write
is kept.
"""

import asyncio
import json
import random
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tests.benchmarks.standin_table import FILE_NAME, RANKS, Item
from tests.benchmarks.standin_world import HANDLE_PADDING, SIGNED_URL, STATUSES, World, number_of

FULL_PAGES_FROM = 1_000
SHORT_POLL_MISSES = 0.3
REPEATS = 0.05
STEP_SECONDS = 1.0
"""On average from one status of an export to the next."""


@dataclass(frozen=True, slots=True)
class DayPlan:
    """How events arrive.

    Attributes:
        events_per_second: on average.
        seconds: how long.
        even: one export's first event at equal distances, instead of Poisson arrivals of whole exports.
        held_seconds: how long nothing can be received at first, while events arrive.
        seed: of the randomness.
    """

    events_per_second: float
    seconds: float
    even: bool = False
    held_seconds: float = 0.0
    seed: int = 1


@dataclass(slots=True)
class Waiting:
    """A message that was not deleted yet."""

    number: int
    key: str
    status: str
    body: str
    arrived: float
    sent_at: float
    receive_count: int = 0


class Day(World):
    """A queue whose events arrive by the clock, and the table."""

    def __init__(self) -> None:
        super().__init__()
        self.latencies: list[float] = []
        self.late_latencies: list[float] = []
        """Of the events that arrived after the queue was held."""
        self.sent = 0
        self._table.on_move = self._moved
        self._rng = random.Random(1)
        self._messages: dict[int, Waiting] = {}
        self._visible: deque[int] = deque()
        self._unwritten: dict[str, list[Waiting]] = {}
        self._created: dict[str, str] = {}
        self._held_until = 0.0
        self._ends_at = 0.0

    def begin(self, plan: DayPlan) -> None:
        """Lets the day's events arrive from now on."""
        self._rng = random.Random(plan.seed)
        loop, now = asyncio.get_running_loop(), time.monotonic()
        self.latencies, self.late_latencies = [], []
        self._held_until, self._ends_at = now + plan.held_seconds, now
        loop.call_later(plan.held_seconds, self._serve_polls)
        run = f"{self.sent}"
        for delay, export, status in self._arrivals(plan):
            self._ends_at = max(self._ends_at, now + delay)
            loop.call_later(delay, self._arrive, f"bench-{run}-{export}", status)

    def state(self) -> dict[str, Any]:
        """The counts, and the times from arrival to write (seconds)."""
        return super().state() | {
            "sent": self.sent,
            "waiting": len(self._messages),
            "arriving": time.monotonic() <= self._ends_at,
            "latencies": self.latencies,
            "late_latencies": self.late_latencies,
        }

    def _arrivals(self, plan: DayPlan) -> Iterator[tuple[float, int, str]]:
        at, export = 0.0, 0
        while True:
            gap = len(STATUSES) / plan.events_per_second
            at += 1 / plan.events_per_second if plan.even else self._rng.expovariate(1 / gap)
            if at >= plan.seconds:
                return
            export += 1
            if plan.even:
                yield at, export, STATUSES[0]
                continue
            step = at
            for status in STATUSES:
                yield step, export, status
                if self._rng.random() < REPEATS:
                    yield step + self._rng.expovariate(1 / STEP_SECONDS), export, status
                step += self._rng.expovariate(1 / STEP_SECONDS)

    def _arrive(self, key: str, status: str) -> None:
        now = datetime.now(UTC)
        stamp = now.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
        created = self._created.setdefault(key, stamp)
        event = {"eventId": f"event-{self.sent}", "requestId": key, "status": status}
        event |= {"occurredAt": stamp, "createdAt": created}
        if status == STATUSES[-1]:
            event |= {"fileName": FILE_NAME, "signedUrl": SIGNED_URL}
        message = Waiting(self.sent, key, status, json.dumps(event), time.monotonic(), now.timestamp())
        self.sent += 1
        self._messages[message.number] = message
        self._visible.append(message.number)
        item = self._table.item(key)
        if item is None or RANKS[item["status"]["S"]] < RANKS[status]:
            self._unwritten.setdefault(key, []).append(message)
        self._serve_polls()

    def _moved(self, key: str, item: Item) -> None:
        """An export moved forward: of its events that had arrived, those up to its status are written."""
        now = time.monotonic()
        rank = RANKS[item["status"]["S"]]
        written = [each for each in self._unwritten.get(key, ()) if RANKS[each.status] <= rank]
        self._unwritten[key] = [each for each in self._unwritten.get(key, ()) if RANKS[each.status] > rank]
        for each in written:
            self.latencies.append(now - each.arrived)
            if each.arrived >= self._held_until:
                self.late_latencies.append(now - each.arrived)

    def _receive_message(self, request: Mapping[str, Any]) -> dict[str, Any]:
        waiting = len(self._visible)
        most = min(int(request.get("MaxNumberOfMessages", 1)), waiting)
        if not most or time.monotonic() < self._held_until:
            return {}
        if waiting < FULL_PAGES_FROM:
            if not request.get("WaitTimeSeconds") and self._rng.random() < SHORT_POLL_MISSES:
                return {}
            most = self._rng.choice((most, most, self._rng.randint(1, most)))
        messages = []
        for _ in range(most):
            message = self._messages[self._visible.popleft()]
            message.receive_count += 1
            messages.append(
                {
                    "MessageId": f"00000000-0000-4000-8000-{message.number:012d}",
                    "ReceiptHandle": f"{HANDLE_PADDING}{message.number}",
                    "MD5OfBody": "0" * 32,
                    "Body": message.body,
                    "Attributes": {
                        "ApproximateReceiveCount": str(message.receive_count),
                        "SentTimestamp": str(int(message.sent_at * 1_000)),
                    },
                }
            )
        return {"Messages": messages}

    def _delete_message(self, request: Mapping[str, Any]) -> dict[str, Any]:
        if self._messages.pop(number_of(request), None) is not None:
            self.deleted += 1
        return {}

    def _change_message_visibility(self, request: Mapping[str, Any]) -> dict[str, Any]:
        number = number_of(request)
        if number in self._messages:
            asyncio.get_running_loop().call_later(float(request["VisibilityTimeout"]), self._back, number)
        return {}

    def _back(self, number: int) -> None:
        if number in self._messages:
            self._visible.append(number)
            self._serve_polls()
