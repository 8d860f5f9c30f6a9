"""What goes wrong in a world: windows of time in which calls fail, and moments at which a task is killed."""

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from tests.transitions.world.clock import SimulatedClock


class Killed(BaseException):
    """SIGKILL in the middle of whatever a task does."""


class Kind(Enum):
    """How a call fails."""

    UNREACHABLE = "unreachable"
    """No connection; nothing happens."""
    SILENT = "silent"
    """The request is lost; the caller waits until its time-out."""
    LOST_ANSWER = "lost answer"
    """The call takes effect; the caller waits until its time-out."""
    THROTTLED = "throttled"
    FAILED = "failed"
    DENIED = "denied"
    MISSING = "missing"


_CODES = {
    Kind.THROTTLED: ("ThrottlingException", 400),
    Kind.FAILED: ("InternalServerError", 500),
    Kind.DENIED: ("AccessDeniedException", 400),
    Kind.MISSING: ("ResourceNotFoundException", 400),
}
TIMEOUT_SECONDS = 3.0

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Window:
    """From `start` until before `end` (seconds), calls of these operations fail with a probability."""

    start: float
    end: float
    kind: Kind
    operations: Collection[str]
    probability: float = 1.0


class Faults:
    """Decides for each call how it ends.

    Args:
        clock: the world's time; a call moves it by its latency or time-out.
        rng: the world's randomness.
        latency_seconds: what a call takes at most.
    """

    def __init__(self, clock: SimulatedClock, rng: random.Random, latency_seconds: float = 0.01) -> None:
        self._clock = clock
        self._rng = rng
        self._latency_seconds = latency_seconds
        self.windows: list[Window] = []
        self.kill_after_calls: int | None = None

    def around(self, operation: str, effect: Callable[[], Answer]) -> Answer:
        """Makes a call's effect, or lets the call fail.

        Raises:
            ClientError, ReadTimeoutError, EndpointConnectionError: as a window says.
            Killed: if the task is killed before or after this call's effect.
        """
        self._clock.advance(self._rng.uniform(0.3, 1.0) * self._latency_seconds)
        killed = self._is_killed()
        if killed and self._rng.random() < 0.5:
            raise Killed
        kind = self._kind(operation)
        match kind:
            case Kind.UNREACHABLE:
                raise EndpointConnectionError(endpoint_url="simulated")
            case Kind.SILENT:
                self._clock.advance(TIMEOUT_SECONDS)
                raise ReadTimeoutError(endpoint_url="simulated")
            case Kind.THROTTLED | Kind.FAILED | Kind.DENIED | Kind.MISSING:
                raise client_error(operation, *_CODES[kind])
        answer = effect()
        if killed:
            raise Killed
        if kind is Kind.LOST_ANSWER:
            self._clock.advance(TIMEOUT_SECONDS)
            raise ReadTimeoutError(endpoint_url="simulated")
        return answer

    def _is_killed(self) -> bool:
        if self.kill_after_calls is None:
            return False
        self.kill_after_calls -= 1
        if self.kill_after_calls > 0:
            return False
        self.kill_after_calls = None
        return True

    def _kind(self, operation: str) -> Kind | None:
        for window in self.windows:
            if (
                window.start <= self._clock.time < window.end
                and operation in window.operations
                and self._rng.random() < window.probability
            ):
                return window.kind
        return None


def client_error(operation: str, code: str, status: int = 400, **members: object) -> ClientError:
    """What botocore raises for an error answer."""
    answer = {
        "Error": {"Code": code, "Message": code},
        "ResponseMetadata": {"HTTPStatusCode": status},
        **members,
    }
    return ClientError(answer, operation)  # type: ignore[arg-type]
