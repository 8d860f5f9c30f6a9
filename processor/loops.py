"""Threads that repeat a step until they are stopped, show their progress, and never die silently."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from processor.observability.health import Health, Heartbeat

Death = Callable[[str, BaseException], None]


@dataclass(frozen=True, slots=True)
class StopReport:
    """How a stop ended.

    Attributes:
        clean: everything was finished or released in time.
        hung: a thread was still in a call that did not end.
    """

    clean: bool
    hung: bool


class Loop:
    """One named thread. Its step returns how long to wait before the next one, or None to end the loop.

    Args:
        name: the thread's.
        step: one iteration; must not wait.
        health: where its progress is shown.
        limit_seconds: how long one step may take before the loop counts as stuck.
        on_death: called with the name and the error if a step raises.
        wake: set by others when the next step should not wait.
        ended: called when the loop is over, except after an error.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], float | None],
        *,
        health: Health,
        limit_seconds: float,
        on_death: Death,
        wake: threading.Event | None = None,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self._name = name
        self._step = step
        self._health = health
        self._limit_seconds = limit_seconds
        self._heartbeat: Heartbeat | None = None
        self._on_death = on_death
        self._wake = wake or threading.Event()
        self._ended = ended
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def beat(self) -> None:
        """Shows progress inside a long step."""
        if self._heartbeat is not None:
            self._heartbeat.beat()

    def wake(self) -> None:
        """Lets the next step not wait any longer."""
        self._wake.set()

    def start(self) -> None:
        """Starts the thread."""
        self._heartbeat = self._health.loop(self._name, self._limit_seconds)
        self._thread.start()

    def stop(self) -> None:
        """Asks for an end after the step that runs. May be called twice, and before `start`."""
        self._stopping.set()
        self._wake.set()

    def join(self, timeout_seconds: float) -> bool:
        """Waits for the end; returns whether it has come. A thread that never started has ended."""
        if self._thread.ident is not None:
            self._thread.join(max(0.0, timeout_seconds))
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._repeat()
            self._ended()
        except BaseException as error:  # noqa: BLE001 - the service must end with its thread
            self._on_death(self._name, error)

    def _repeat(self) -> None:
        heartbeat = self._heartbeat
        if heartbeat is None:
            raise RuntimeError("a loop runs in the thread that start() made")
        while not self._stopping.is_set():
            wait = self._step()
            heartbeat.beat()
            if wait is None:
                break
            if wait > 0 and heartbeat.wait(self._wake, wait):
                self._wake.clear()
        heartbeat.close()
