"""The process of the embedded AWS: `python -m processor.localaws.server --port P --reap-seconds S`.

It prints one line of JSON to standard output as soon as everything is deployed, and ends when its
standard input is closed: with whoever started it, however that one ended.
"""

import argparse
import contextlib
import json
import logging
import os
import signal
import sys
import threading
import time
import warnings
from dataclasses import asdict

import moto.awslambda.utils  # noqa: F401 - else moto imports it with the first stream record, a pause

from processor.localaws.deployment import deploy
from processor.localaws.dispatch import MotoApplication
from processor.localaws.http import LOOPBACK, http_server
from processor.localaws.moto_patches import apply_moto_patches
from processor.localaws.reaper import reap
from processor.localaws.turns import Turns


def main() -> None:
    """Serves until standard input ends; the exit status is 1 if the port is taken."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--reap-seconds", type=float, required=True)
    arguments = parser.parse_args()
    threading.Thread(target=_end_with_input, name="end of input", daemon=True).start()
    _hush()
    turns = Turns()
    apply_moto_patches(turns)
    try:
        server = http_server(turns.wrap(MotoApplication()), arguments.port)
    except OSError:
        _say({"error": f"port {arguments.port} on {LOOPBACK} is taken; choose another"})
        sys.exit(1)
    threading.Thread(target=server.serve_forever, name="http", daemon=True).start()
    endpoint_url = f"http://{LOOPBACK}:{server.server_address[1]}"
    _say({"endpoint_url": endpoint_url, **asdict(deploy(endpoint_url))})
    pause = threading.Event()
    while not pause.wait(arguments.reap_seconds):
        with turns:
            reap(time.time())


def _end_with_input() -> None:
    for pid in [int(line) for line in sys.stdin]:  # of processes that are to end with the starter, too
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    os._exit(0)  # nothing to save, and requests in hand are not waited for


def _hush() -> None:
    """moto warns of resource types that its CloudFormation skips (queue policies); that is known."""
    warnings.simplefilter("ignore")
    logging.getLogger().addHandler(logging.NullHandler())


def _say(answer: dict[str, str]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
