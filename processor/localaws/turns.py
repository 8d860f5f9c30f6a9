"""One request at a time: moto's backends are plain dictionaries and lists without a lock.

Without turns two conditional writes of one item can both pass their condition, a reader can see an item
half made, and the reaper's record could be read before it has its `userIdentity`.
"""

import threading
from collections.abc import Iterable, Sequence

from processor.localaws.http import Application, Environ

_CALLS_THAT_FEED_A_QUEUE = ("AmazonSQS.SendMessage", "AmazonSQS.ChangeMessageVisibility")


class Turns:
    """The one lock over all of moto. Whoever touches a backend does so in `with turns:`."""

    def __init__(self) -> None:
        self._condition = threading.Condition(threading.RLock())

    def __enter__(self) -> None:
        self._condition.acquire()

    def __exit__(self, *_: object) -> None:
        self._condition.release()

    def stand_aside(self, seconds: float) -> None:
        """Gives up the turn until a queue was fed, at most for so long, and takes it again."""
        self._condition.wait(seconds)

    def wrap(self, application: Application) -> Application:
        """The application with every request in its turn, its answer written out to the end."""

        def in_turn(environ: Environ, start_response: object) -> Sequence[bytes]:
            with self:
                answer = _drain(application(environ, start_response))
                if str(environ.get("HTTP_X_AMZ_TARGET")).startswith(_CALLS_THAT_FEED_A_QUEUE):
                    self._condition.notify_all()
                return answer

        return in_turn


def _drain(chunks: Iterable[bytes]) -> Sequence[bytes]:
    try:
        return list(chunks)
    finally:
        if hasattr(chunks, "close"):
            chunks.close()
