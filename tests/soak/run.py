"""Runs a soak: the same tasks from the first message to the last audit entry, and a sample every few seconds.

No task is killed here, that is for `tests.faults`: what memory, files and threads do over time shows only in
processes that stay.
"""

import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.faults.backends import Backends
from tests.faults.fleet import Fleet, logged_entries
from tests.faults.schedule import REAPED_AFTER_SECONDS
from tests.faults.world import Reaper, World
from tests.soak.course import Course
from tests.soak.judgement import Finding, judge_events, judge_growth, judge_tasks
from tests.soak.ledger import Ledger
from tests.soak.producers import Producers
from tests.soak.sampling import Sample, Sampler

SHARDS = 4
"""Of the table's stream, so that tasks share them."""

VISIBILITY_SECONDS = 8
"""What is received and never answered comes back soon, so that it can be settled before its export's end."""

RECEIVERS = 4
FAILOVER_SECONDS = 10
METRICS_SECONDS = 1
"""A task gives at most 100 latencies a line: each second, they are all there are at the usual rates."""

TICK_SECONDS = 0.2
KEPT_SECONDS = 180.0
"""How long the stream keeps its records; tasks read them within seconds."""

EMPTY_WITHIN_SECONDS = 30.0
"""After the last wave was compared: repeats of late messages may still wait out their back-off."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a soak."""

    samples: Sequence[Sample]
    findings: Sequence[Finding]
    is_whole: bool
    """Whether it went to its end, and was not interrupted."""

    @property
    def is_good(self) -> bool:
        """Whether nothing that was judged failed."""
        return all(finding.ok is not False for finding in self.findings)


def soak(course: Course, at: Backends, say: Callable[[str], None]) -> Result:
    """Runs a course on its own emulators. Ctrl-C (KeyboardInterrupt) ends it early, with a result.

    Args:
        course: what to do.
        at: the emulators.
        say: called with the progress, as text.
    """
    with ExitStack() as stack:
        home = stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-"))
        world = stack.enter_context(World(at, shards=SHARDS, visibility_seconds=VISIBILITY_SECONDS))
        course_of_events = _Soak(course, world, Path(home), say)
        stack.callback(course_of_events.kill)
        return course_of_events.run()


class _Soak:
    def __init__(self, course: Course, world: World, home: Path, say: Callable[[str], None]) -> None:
        self._course = course
        self._world = world
        self._say = say
        self._ledger = Ledger()
        self._samples: list[Sample] = []
        self._rolls = deque(course.rolls())
        self._pause = threading.Event()
        self._fleet = Fleet(
            size=course.tasks,
            command=["processor", "run"],
            environment=world.environment()
            | {
                "EXPORT_RECEIVERS": str(RECEIVERS),
                "EXPORT_LEASE_FAILOVER_SECONDS": str(FAILOVER_SECONDS),
                "EXPORT_METRICS_SECONDS": str(METRICS_SECONDS),
            },
            home=home,
            seed=course.seed,
        )

    def run(self) -> Result:
        """From the start of the tasks to the verdict."""
        self._say("the tasks start")
        self._fleet.start()
        self._world.proxy.set_plan(self._course.plan())
        self._begin = time.monotonic()
        self._sampler = Sampler()
        self._producers = Producers(self._course, self._world, self._ledger, time.time())
        reaper = Reaper(self._world, late_seconds=REAPED_AFTER_SECONDS, taking=self._ledger.note_ended)
        reaper.start()
        self._producers.start()
        try:
            self._go_on_to_the_end()
            is_whole = True
            self._say("the tasks stop")
            self._fleet.stop()
        except KeyboardInterrupt:
            is_whole = False
        self._producers.stop()
        reaper.stop()
        self._take_sample(is_sending=False)
        return Result(self._samples, self._findings(is_whole), is_whole)

    def kill(self) -> None:
        """Leaves no process behind, whatever happened."""
        self._fleet.kill()

    def _go_on_to_the_end(self) -> None:
        next_sample = self._course.sample_seconds
        empty_by = float("inf")
        while True:
            self._pause.wait(TICK_SECONDS)
            self._fleet.tend()
            elapsed = time.monotonic() - self._begin
            if self._rolls and self._rolls[0] <= elapsed:
                self._rolls.popleft()
                self._world.proxy.control({"roll_all": True})
            if elapsed < next_sample:
                continue
            next_sample += self._course.sample_seconds
            self._take_sample(is_sending=elapsed <= self._course.seconds + TICK_SECONDS)
            self._ledger.close_waves(time.time())
            if not self._producers.are_done() or self._ledger.open_waves:
                continue
            empty_by = min(empty_by, elapsed + EMPTY_WITHIN_SECONDS)
            if self._samples[-1].queue == 0 or elapsed >= empty_by:
                return

    def _take_sample(self, *, is_sending: bool) -> None:
        report = self._world.proxy.control({"forget_seconds": KEPT_SECONDS})
        lines = self._fleet.new_lines()
        sample = self._sampler.take(
            lines,
            self._fleet.tasks,
            queue=self._world.messages_in_queue(),
            faults=sum(
                count
                for kinds in report["faults"].values()
                for kind, count in kinds.items()
                if kind != "none"
            ),
            is_sending=is_sending,
        )
        self._samples.append(sample)
        self._ledger.note_entries(logged_entries(lines))
        self._ledger.note_entries(self._world.new_entries())
        self._ledger.note_letters(self._world.dead_letters())
        self._ledger.note_expired(line["message_id"] for line in lines if line.get("outcome") == "expired")
        phase = "sending" if is_sending else "until every export is over"
        self._say(
            f"{sample.end:.0f} s, {phase}: {sample.rate(sample.settled):.0f} settled a second,"
            f" {sample.queue:.0f} in the queue, {self._ledger.open_waves} waves open"
        )

    def _findings(self, is_whole: bool) -> list[Finding]:
        ledger = self._ledger
        if is_whole:
            ledger.close()
            if left := self._world.messages_in_queue():
                ledger.report.lost.append(f"{left} messages are still in the queue")
            ledger.report.wrong += [f"{key} is still in the table" for key in sorted(self._world.items())]
            ledger.report.wrong += [
                f"the lease {key} was not released by {owner}"
                for key, owner in self._world.lease_owners().items()
                if self._fleet.should_have_released(key, owner)
            ]
        sending = [sample for sample in self._samples if sample.is_sending]
        is_long_enough = self._course.can_show_growth and (
            is_whole or bool(sending and sending[-1].end / 4 >= self._course.life_seconds)
        )
        return [
            *judge_events(
                ledger.report,
                messages=ledger.messages,
                exports=ledger.exports,
                too_late=ledger.too_late,
            ),
            *judge_tasks(self._fleet.problems, self._sampler.unwanted),
            *judge_growth(sending, self._course.rate, is_long_enough=is_long_enough),
        ]
