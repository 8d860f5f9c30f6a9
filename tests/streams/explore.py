"""`python -m tests.streams.explore`: the state machine of `test_no_loss` with new seeds, for a long look.

The gate runs a fixed set of histories; this runs as many others as the time allows and stops at the first
that breaks a law, which it prints. `--seed` goes on from there; `--shrink` looks for a shorter history that
breaks the same law, for some minutes.
"""

import argparse
import sys
import time

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.streams.test_no_loss import AuditMachine

HISTORIES_PER_SEED = 200


def main() -> int:
    """Explores; the exit status is 1 if a law was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.streams.explore", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shrink", action="store_true")
    options = parser.parse_args()
    number, end = options.seed, time.monotonic() + options.seconds
    while time.monotonic() < end:
        machine = seed(number)(type("Explored", (AuditMachine,), {}))
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=HISTORIES_PER_SEED,
                stateful_step_count=40,
                deadline=None,
                derandomize=False,
                database=None,
                phases=[Phase.generate, *([Phase.shrink] if options.shrink else [])],
                print_blob=True,
                suppress_health_check=list(HealthCheck),
            ),
        )
        print(f"seed {number}: {HISTORIES_PER_SEED} histories, no law broken", flush=True)
        number += 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
