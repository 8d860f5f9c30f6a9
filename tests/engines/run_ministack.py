"""Runs ministack until standard input ends. For the interpreter of ministack's own virtual environment."""

import os
import signal
import sys
import threading

from ministack.app import main  # type: ignore[import-not-found] # lives in its own environment


def end_with_input() -> None:
    """SIGTERM lets ministack remove its files."""
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


threading.Thread(target=end_with_input, daemon=True).start()
sys.argv = ["ministack"]
main()
