"""`python -m tests.soak`: the service for a given time at a given rate with faults on, and what it does over
time. The exit status is 1 if something was lost, a task ended or memory, open files or threads grew.

Needs the engines (`make engines`) and Linux (/proc).
"""

import argparse
import math
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.status import Status

from processor.cli.signals import interrupt_on_signals
from tests.engines.process import EngineError
from tests.faults.backends import Backends, backends
from tests.soak.course import Course
from tests.soak.report import show_findings, show_plots, show_table, write_csv
from tests.soak.run import Result, soak

DEFAULT_RATE = 60.0
"""Two cores carry it together with the emulators and the proxy; at 160 the emulators are what is slow."""

INTERRUPTED = 130
SAY_EVERY_SECONDS = 30.0
"""How often a line is written to what is no terminal."""


def main(arguments: Sequence[str], at: Backends | None = None) -> int:
    """Runs a soak; the exit status: 0, 1 for a bad end, 2 for wrong options, 130 after Ctrl-C.

    Args:
        arguments: as on the command line.
        at: emulators to use; without them it starts its own.
    """
    options = _options(arguments)
    course = Course(
        seconds=options.seconds,
        rate=options.rate,
        tasks=options.tasks,
        seed=options.seed,
        sample_seconds=options.sample_seconds,
    )
    console = Console()
    try:
        with backends() if at is None else nullcontext(at) as emulators:
            result = _soaked(course, emulators, console)
    except EngineError as missing:
        sys.stderr.write(f"{missing}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("interrupted before anything was measured\n")
        return INTERRUPTED
    _show(result, console)
    if options.csv is not None:
        write_csv(options.csv, result.samples)
        console.print(f"every sample is in {options.csv}", markup=False, highlight=False, soft_wrap=True)
    if not result.is_good:
        return 1
    return 0 if result.is_whole else INTERRUPTED


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = _OneLineParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=_number(10, 7 * 86_400), default=600.0, help="how long events come")
    parser.add_argument("--rate", type=_number(1, 2_000), default=DEFAULT_RATE, help="events a second")
    parser.add_argument("--tasks", type=_whole(1, 8), default=2, help="tasks of the service")
    parser.add_argument("--seed", type=_whole(0, 10**9), default=1, help="of the traffic and the faults")
    parser.add_argument(
        "--sample-seconds", type=_number(1, 600), default=2.0, help="how far apart samples are"
    )
    parser.add_argument("--csv", type=_csv_file, metavar="FILE", help="where every sample goes")
    return parser.parse_args(arguments)


class _OneLineParser(argparse.ArgumentParser):
    """Says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        """Exits with 2."""
        self.exit(2, f"{self.prog}: {message}\n")


def _number(least: float, most: float) -> Callable[[str], float]:
    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"must be a number from {least:,.0f} to {most:,.0f}")
        return value

    return number


def _whole(least: int, most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"must be a whole number from {least:,} to {most:,}")
        return int(text)

    return number


def _csv_file(text: str) -> Path:
    """A file that can be written, found out before the soak and not after it."""
    path = Path(text)
    try:
        path.open("a").close()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"cannot be written ({error.strerror}): {text}") from None
    return path


def _soaked(course: Course, at: Backends, console: Console) -> Result:
    if console.is_terminal:
        with Status("the tasks start", console=console) as status:
            return soak(course, at, status.update)
    shown_at = -math.inf

    def say(text: str) -> None:
        nonlocal shown_at
        if time.monotonic() - shown_at >= SAY_EVERY_SECONDS:
            shown_at = time.monotonic()
            console.print(text, markup=False, highlight=False, soft_wrap=True)

    return soak(course, at, say)


def _show(result: Result, console: Console) -> None:
    console.print()
    sending = [sample for sample in result.samples if sample.is_sending]
    show_table(console, sending)
    console.print()
    show_plots(console, sending)
    console.print()
    show_findings(console, result.findings)
    if not result.is_whole:
        console.print("interrupted: what had not ended by then is in no verdict", style="bold yellow")
    if not result.is_good:
        console.print("verdict: not as it must be", style="bold red")
    elif any(finding.ok is None for finding in result.findings):
        console.print(
            "verdict: nothing lost in what was compared; not everything is judged", style="bold yellow"
        )
    else:
        console.print("verdict: nothing lost, everything flat", style="bold green")


if __name__ == "__main__":
    interrupt_on_signals()
    sys.exit(main(sys.argv[1:]))
