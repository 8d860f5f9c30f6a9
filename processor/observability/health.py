"""Health of the running service: a file that proves progress of every loop, and the check that reads it.

A loop beats after every iteration, also after one that failed and was handled. It waits with
`Heartbeat.wait`, which beats during the wait. So the service stays healthy while AWS throttles or fails: its
loops go on and back off. A call that never returns, a dead thread or a loop that spins inside one iteration
does not beat, and the check fails after the loop's limit.

All times are `time.monotonic()`, which is system-wide: two processes of one machine may compare them, and
a jump of the wall clock changes nothing.
"""

import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

WRITE_SECONDS = 2.0
MAX_FILE_AGE_SECONDS = 15.0  # seven writes missed: the process is stopped, stuck or gone


class Heartbeat:
    """The pulse of one loop, made by `Health.loop`. Starts with a beat."""

    def __init__(self, name: str, limit_seconds: float, clock: Callable[[], float]) -> None:
        self.name = name
        self.limit_seconds = limit_seconds
        self.closed = False
        self._clock = clock
        self.last = clock()

    def beat(self) -> None:
        """Notes that an iteration has ended."""
        self.last = self._clock()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Waits for an interval or a back-off of any length, and beats during the wait.

        Returns:
            Whether the event is set.
        """
        end = self._clock() + seconds
        while True:
            self.beat()
            left = end - self.last
            if left <= 0 or event.wait(min(left, self.limit_seconds / 3)):
                self.beat()
                return event.is_set()

    def close(self) -> None:
        """Ends the loop in order: no beat is expected any more. May be called twice."""
        self.closed = True


class Health:
    """Collects the heartbeats and what is degraded, and keeps the health file up to date.

    Args:
        path: the health file.
        warn: called once, with one sentence, when the file cannot be written.
        clock: monotonic (seconds).
    """

    def __init__(
        self, path: Path, warn: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._path = path
        self._warn = warn
        self._clock = clock
        self._lock = threading.Lock()
        self._loops: list[Heartbeat] = []
        self._degraded: dict[str, str] = {}
        self._unanswered: set[str] = set()
        self._writing = threading.Lock()
        self._writable = True
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="health", daemon=True)

    def loop(self, name: str, limit_seconds: float) -> Heartbeat:
        """A heartbeat for one loop, which is stuck once it has not beaten for the limit.

        The limit must be above the longest single call of the loop, read timeout and retries included.
        """
        heartbeat = Heartbeat(name, limit_seconds, self._clock)
        with self._lock:
            self._loops.append(heartbeat)
        return heartbeat

    def report(self, component: str, problem: str | None) -> None:
        """Reports what a component cannot do, or None once it can. Degraded is not unhealthy.

        The problem is shown to operators: it must hold no values of events.
        """
        with self._lock:
            if problem is None:
                self._degraded.pop(component, None)
            else:
                self._degraded[component] = problem

    def expect(self, part: str) -> None:
        """Makes the service unhealthy until AWS has answered a part's start (see `answered`)."""
        with self._lock:
            self._unanswered.add(part)

    def answered(self, part: str) -> None:
        """AWS has answered the part's start: from now on outages are degraded, not unhealthy."""
        with self._lock:
            self._unanswered.discard(part)

    def write(self) -> None:
        """Puts the file as things are now. Where that fails, it warns once and the service goes on."""
        with self._lock:
            self._loops = [heartbeat for heartbeat in self._loops if not heartbeat.closed]
            loops = [
                {"name": heartbeat.name, "beat": heartbeat.last, "limitSeconds": heartbeat.limit_seconds}
                for heartbeat in self._loops
            ]
            state = {
                "written": self._clock(),
                "loops": loops,
                "degraded": dict(self._degraded),
                "unanswered": sorted(self._unanswered),
            }
        with self._writing:
            try:
                _replace(self._path, json.dumps(state))
            except OSError as error:
                if self._writable:
                    self._warn(f"the health file cannot be written ({error.strerror}): healthcheck will fail")
                self._writable = False
            else:
                self._writable = True

    def start(self) -> None:
        """Writes the file now, and every two seconds from here on."""
        self.write()
        self._thread.start()

    def stop(self) -> None:
        """Ends the writing and takes the file away. May be called twice, and before `start`."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(WRITE_SECONDS)
            if self._writable:
                self._path.unlink(missing_ok=True)

    def _run(self) -> None:
        while not self._stopping.wait(WRITE_SECONDS):
            self.write()


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The health file's content: why the service is unhealthy, and what is degraded."""

    problems: tuple[str, ...]
    degraded: tuple[str, ...] = ()


def check(path: Path, clock: Callable[[], float] = time.monotonic) -> Diagnosis:
    """Judges the service by its health file.

    Args:
        path: what the service writes.
        clock: the one that the service writes by.

    Returns:
        The diagnosis; the service is healthy if it holds no problems.
    """
    try:
        state = json.loads(path.read_text())
        age = clock() - state["written"]  # read after the file, which may have been written a moment ago
        degraded = tuple(f"{component}: {problem}" for component, problem in state["degraded"].items())
        # Silence is measured at the time of writing: a late writer must not make its loops look stuck.
        loops = [
            (loop["name"], state["written"] - loop["beat"], loop["limitSeconds"]) for loop in state["loops"]
        ]
        problems = [f"AWS has not answered the start of {part} yet" for part in state["unanswered"]]
        problems += [
            f"{name} has made no progress for {silence:.0f} s (limit {limit:.0f} s)"
            for name, silence, limit in loops
            if silence > limit
        ]
    except FileNotFoundError:
        return Diagnosis((f"no health file at {path}: the service is not running",))
    except OSError as error:
        return Diagnosis((f"the health file {path} cannot be read: {error.strerror}",))
    except (ValueError, KeyError, TypeError, AttributeError):
        return Diagnosis((f"{path} is not a health file",))
    if age < 0:
        problems = [f"the health file {path} is from before this machine was started"]
    elif age > MAX_FILE_AGE_SECONDS:
        problems = [
            f"the health file {path} was last written {age:.0f} s ago: the service is stopped or gone"
        ]
    elif not loops:
        problems = ["no loop is running"]
    return Diagnosis(tuple(problems), degraded)


def _replace(path: Path, text: str) -> None:
    """Puts the text in one step: a reader sees the file before or after, never half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    # A shared /tmp may hold another user's link under that name: it is not followed.
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with open(os.open(temporary, flags, 0o644), "w") as file:
            file.write(text)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
