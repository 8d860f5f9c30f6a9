"""One request at a time: moto's backends are plain dictionaries and lists without a lock.

Without turns, two conditional writes of one item can both pass their condition. A reader can see an item that
is not complete, or get the record of the reaper before it has its `userIdentity`.
"""

import threading
from collections.abc import Sequence
from contextlib import closing

from processor.localaws.http import Application, Environ

_CALLS_THAT_FEED_A_QUEUE = ("AmazonSQS.SendMessage", "AmazonSQS.ChangeMessageVisibility")


class Turns:
    """The only lock over all of moto; code that uses a backend does so in `with turns:`."""

    def __init__(self) -> None:
        self._condition = threading.Condition(threading.RLock())

    def __enter__(self) -> None:
        self._condition.acquire()

    def __exit__(self, *_: object) -> None:
        self._condition.release()

    def stand_aside(self, seconds: float) -> None:
        """Releases the turn until a queue gets a message, and acquires it again.

        Args:
            seconds: the longest wait.
        """
        self._condition.wait(seconds)

    def wrap(self, application: Application) -> Application:
        """The application with one request at a time, up to the last byte of its answer."""

        def in_turn(environ: Environ, start_response: object) -> Sequence[bytes]:
            with self, closing(application(environ, start_response)) as chunks:
                answer = list(chunks)
                if str(environ.get("HTTP_X_AMZ_TARGET")).startswith(_CALLS_THAT_FEED_A_QUEUE):
                    self._condition.notify_all()
            return answer

        return in_turn
