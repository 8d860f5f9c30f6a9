"""One request at a time, and a waiting one releases its turn."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from processor.localaws.turns import Turns

RECEIVE = {"HTTP_X_AMZ_TARGET": "AmazonSQS.ReceiveMessage"}
SEND = {"HTTP_X_AMZ_TARGET": "AmazonSQS.SendMessage"}


def test_requests_take_turns_up_to_the_last_byte_of_their_answer() -> None:
    inside, most = [0], [0]
    pause = threading.Event()

    def application(_environ: dict[str, Any], _start: object) -> Iterator[bytes]:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        pause.wait(0.01)
        yield b"answer"
        pause.wait(0.01)
        inside[0] -= 1

    wrapped = Turns().wrap(application)
    with ThreadPoolExecutor(max_workers=8) as pool:
        answers = list(pool.map(lambda _: wrapped({}, None), range(24)))
    assert answers == [[b"answer"]] * 24
    assert most == [1]


def test_others_wait_while_the_turn_is_held() -> None:
    turns, entered = Turns(), threading.Event()

    def application(_environ: dict[str, Any], _start: object) -> Iterator[bytes]:
        entered.set()
        yield b""

    with turns:
        request = threading.Thread(target=turns.wrap(application), args=({}, None))
        request.start()
        assert not entered.wait(0.1)
    request.join(60)
    assert entered.is_set()


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
    receive.join(60)
    assert not receive.is_alive()
