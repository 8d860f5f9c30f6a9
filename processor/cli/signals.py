"""Signals for commands that run in the foreground and clean up behind themselves."""

import signal


def interrupt_on_signals() -> None:
    """Makes SIGTERM and a closed terminal end the command as Ctrl-C does: by KeyboardInterrupt.

    Ctrl-C itself is set as well, since a shell's background jobs start with it ignored.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
