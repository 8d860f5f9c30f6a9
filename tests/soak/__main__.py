"""`python -m tests.soak`: the service for a given time at a given rate with faults on. The exit status is 1
if something was lost, a task ended, or memory, open files or threads grew, and 130 after Ctrl-C.

Needs the engines (`make engines`) and Linux (/proc).
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import nullcontext

from processor.cli.signals import interrupt_on_signals
from tests.engines.process import EngineError
from tests.faults.backends import Backends, backends
from tests.soak.run import Asked, soak

INTERRUPTED = 130


def main(arguments: Sequence[str], at: Backends | None = None) -> int:
    """Runs a soak.

    Args:
        arguments: as on the command line.
        at: emulators to use; without them it starts its own.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="no round begins after them")
    # Two cores carry it together with the emulators and the proxy; at 160 the emulators are what is slow.
    parser.add_argument("--rate", type=float, default=60.0, help="events a second")
    parser.add_argument("--tasks", type=int, default=2, help="tasks of the service")
    parser.add_argument("--seed", type=int, default=1, help="of the traffic and the faults")
    parser.add_argument("--lead-seconds", type=float, default=30.0, help="a round's time to settle")
    options = parser.parse_args(arguments)
    if min(options.seconds, options.rate, options.tasks, options.lead_seconds) <= 0:
        parser.error("every number must be more than 0")
    try:
        with backends() if at is None else nullcontext(at) as emulators:
            result = soak(Asked(**vars(options)), emulators, lambda line: print(line, flush=True))
    except EngineError as missing:
        sys.stderr.write(f"{missing}\n")
        return 1
    is_good, line = result.verdict()
    print(line)
    if not is_good:
        return 1
    return 0 if result.is_whole else INTERRUPTED


if __name__ == "__main__":
    interrupt_on_signals()
    sys.exit(main(sys.argv[1:]))
