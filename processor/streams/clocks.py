"""The clocks of the engine, so that a simulated world can drive it on its own clocks."""

import time
from collections.abc import Callable
from dataclasses import dataclass


def suspend_aware_clock() -> float:
    """Seconds on a clock that never jumps and, where the system has one, goes on during suspension."""
    boot_clock: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot_clock is None else time.clock_gettime(boot_clock)


@dataclass(frozen=True, slots=True)
class Clocks:
    """Three clocks, all in seconds."""

    monotonic: Callable[[], float] = time.monotonic
    unix: Callable[[], float] = time.time
    trust: Callable[[], float] = suspend_aware_clock
    """For how long a lease is trusted: it counts the time in which the machine was suspended."""
