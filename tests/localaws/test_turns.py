"""A request that waits releases its turn. That requests take turns is shown by `test_moto_patches`."""

import threading
from collections.abc import Iterator
from typing import Any

from processor.localaws.turns import Turns

RECEIVE = {"HTTP_X_AMZ_TARGET": "AmazonSQS.ReceiveMessage"}
SEND = {"HTTP_X_AMZ_TARGET": "AmazonSQS.SendMessage"}


def test_a_send_wakes_the_one_that_stands_aside() -> None:
    turns, aside = Turns(), threading.Event()

    def application(environ: dict[str, Any], _start: object) -> Iterator[bytes]:
        if environ == RECEIVE:
            aside.set()
            turns.stand_aside(30)
        yield b""

    receive = threading.Thread(target=turns.wrap(application), args=(RECEIVE, None))
    receive.start()
    assert aside.wait(60)
    turns.wrap(application)(SEND, None)
    receive.join(20)
    assert not receive.is_alive()
