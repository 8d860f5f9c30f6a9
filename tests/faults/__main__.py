"""`python -m tests.faults`: runs seeded schedules; the exit status is 1 if one of them found anything."""

import argparse
import sys

from tests.engines.process import EngineError
from tests.faults.backends import Backends, backends
from tests.faults.run import Result, TooSlow, run
from tests.faults.schedule import SIZES, Schedule, draw

MOST_DETAILS = 5
ATTEMPTS = 2  # a machine that is too slow once may be fast enough afterwards


def main(arguments: list[str]) -> int:
    """Runs the schedules one after the other on the same emulators."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("--seed", type=int, default=1, help="of the first schedule")
    parser.add_argument("--schedules", type=int, default=1, help="how many, with the seeds that follow")
    parser.add_argument("--size", choices=list(SIZES), default="usual")
    options = parser.parse_args(arguments)
    failed: list[int] = []
    try:
        with backends() as at:
            for seed in range(options.seed, options.seed + options.schedules):
                schedule = draw(seed, SIZES[options.size])
                _say(schedule.describe())
                result = _run(schedule, at)
                if result is None or not result.report.is_clean:
                    failed.append(seed)
    except EngineError as missing:
        sys.stderr.write(f"{missing}\n")
        return 1
    for seed in failed:
        _say(f"failed: repeat with `python -m tests.faults --size {options.size} --seed {seed}`")
    if not failed:
        _say(f"{options.schedules} schedules: lost 0, wrong 0, unexplained dead-letter 0, missing audit 0")
    return 1 if failed else 0


def _run(schedule: Schedule, at: Backends) -> Result | None:
    for _ in range(ATTEMPTS):
        try:
            result = run(schedule, at, lambda phase: _say(f"  {phase} ..."))
        except TooSlow as slow:
            _say(f"  too slow: {slow}")
            continue
        _say(
            f"  {result.report.line()} ({result.seconds:.0f} s, {result.calls} calls, {result.faults} faults,"
            f" {result.tasks} tasks)"
        )
        for detail in result.report.details(MOST_DETAILS):
            _say(f"    {detail}")
        return result
    return None


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
