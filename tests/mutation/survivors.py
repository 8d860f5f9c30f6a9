"""The mutants that survive, compared with the list of those that may.

A mutant is known by its function and by what changed in it. mutmut's own numbers will not do: they move
with every change of the code.
"""

import re
import signal
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import dropwhile

_NAME = re.compile(r"(?P<module>[\w.]+)\.x(?:_|ǁ(?P<owner>\w+)ǁ)(?P<function>\w+)__mutmut_\d+")
_HEADING = re.compile(r"## `(?P<function>[\w.]+)`")
_TESTS_FAILED = 1
_NOTHING_FAILED = {0, 33}  # every test passed; no test reaches the function (mutmut's own number)
_CPU_LIMIT = {signal.SIGXCPU, signal.SIGKILL}  # a warning first, and a second later the end


class Fate(Enum):
    """What became of a mutant."""

    KILLED = "killed"
    SURVIVED = "survived"
    NOT_TESTED = "not tested"


class Unreadable(ValueError):
    """The list, or what mutmut printed, is malformed; the message names the place."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: the function, and the lines of the diff that begin with `-` or `+`, without indentation."""

    function: str
    change: tuple[str, ...]

    def __str__(self) -> str:
        return "\n    ".join((self.function, *self.change))


def beyond(some: Iterable[Mutant], others: Iterable[Mutant]) -> Sequence[Mutant]:
    """Those of some that are not among others; a change that a function allows twice counts twice."""
    return [*(Counter(some) - Counter(others)).elements()]


def fate(exit_code: int | None) -> Fate:
    """What the end of a mutant's test run shows. `None`: it had none.

    Only a test that failed, or never ended, has killed a mutant. pytest also ends with an error where it ran
    no test at all, for example because it did not find one; mutmut itself calls that a timeout.
    """
    if exit_code == _TESTS_FAILED or (exit_code is not None and -exit_code in _CPU_LIMIT):
        return Fate.KILLED
    return Fate.SURVIVED if exit_code in _NOTHING_FAILED else Fate.NOT_TESTED


def mutant(name: str, shown: str) -> Mutant:
    """The mutant of that name.

    Args:
        name: mutmut's, for example `handlers.export.xǁExportǁto_item__mutmut_4`.
        shown: what `mutmut show` prints for it: a line with its status, then a unified diff.

    Raises:
        Unreadable: if the name is of another form, or nothing changed.
    """
    match = _NAME.fullmatch(name)
    # The file's names, which also begin with `-` and `+`, stand before the first hunk.
    hunks = dropwhile(lambda line: not line.startswith("@@"), shown.splitlines())
    change = _changed(hunks)
    if match is None or not change:
        raise Unreadable(f"mutmut show {name}: {shown}")
    return Mutant(".".join(filter(None, (match["module"], match["owner"], match["function"]))), change)


def listed(document: str) -> list[Mutant]:
    """The mutants of the list, which has `##` headings with the function's name, and under each for every
    reason one paragraph, followed by one `diff` block for each mutant that it holds for.

    Raises:
        Unreadable: if a mutant has no function or no reason, or a reason no mutant.
    """
    found: list[Mutant] = []
    function, reason, diff = "", "", list[str]()
    inside, reason_used = False, True
    for number, line in enumerate(document.splitlines(), 1):
        heading = _HEADING.fullmatch(line)
        if inside and line == "```":
            found.append(Mutant(function, _changed(diff)))
            inside, reason_used = False, True
        elif inside:
            diff.append(line)
        elif line == "```diff":
            if not reason or not function:
                raise Unreadable(f"line {number}: a mutant without a reason under its function's heading")
            inside, diff = True, []
        elif heading:
            if not reason_used:
                raise Unreadable(f"line {number}: the reason before it belongs to no mutant")
            function, reason = heading["function"], ""
        elif line and function:
            reason = line if reason_used else f"{reason} {line}"
            reason_used = False
    if inside or not reason_used:
        raise Unreadable("the end: a mutant or a reason is not complete")
    return found


def _changed(lines: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{line[0]} {line[1:].strip()}" for line in lines if line.startswith(("-", "+")))
