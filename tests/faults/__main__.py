"""`python -m tests.faults`: runs seeded schedules; the exit status is 1 if one of them found anything."""

import argparse
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from tests.engines.process import EngineError
from tests.faults.backends import backends
from tests.faults.run import TooSlow, run
from tests.faults.schedule import SIZES, Size, draw

_saying = threading.Lock()


def main(arguments: list[str]) -> int:
    """Runs the schedules; their time is mostly waiting, so some may go side by side.

    Each has its own emulators: DynamoDB Local gets a hundred times slower in the course of some of them.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the first schedule")
    parser.add_argument("--schedules", type=int, default=1, help="how many, with the seeds that follow")
    parser.add_argument("--size", choices=list(SIZES), default="usual", help="how large each of them is")
    parser.add_argument("--at-once", type=int, default=1, help="how many run side by side")
    options = parser.parse_args(arguments)
    seeds = range(options.seed, options.seed + options.schedules)
    try:
        with ThreadPoolExecutor(options.at_once) as pool:
            runs = {seed: pool.submit(_is_clean, seed, SIZES[options.size]) for seed in seeds}
            failed = [seed for seed, each in runs.items() if not each.result()]
    except EngineError as missing:
        sys.stderr.write(f"{missing}\n")
        return 1
    for seed in failed:
        _say(f"failed: repeat with `python -m tests.faults --size {options.size} --seed {seed}`")
    if not failed:
        _say(f"{len(seeds)} x lost 0, wrong 0, unexplained dead-letter 0, missing audit 0")
    return 1 if failed else 0


def _is_clean(seed: int, size: Size) -> bool:
    schedule = draw(seed, size)
    _say(schedule.describe())
    try:
        report = run(schedule, backends, lambda phase: _say(f"seed {seed}: {phase} ..."))
    except TooSlow:
        return False
    _say(f"seed {seed}: {report.line()}", *(f"  {detail}" for detail in report.details()))
    return report.is_clean


def _say(*lines: str) -> None:
    with _saying:
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
