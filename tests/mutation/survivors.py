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
_DIFF = re.compile(r"^```diff\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_REASON = r"\n(?:(?!```)[^\n]+\n)+"
_SECTION = re.compile(rf"`([\w.]+)`\n(?:{_REASON}(?:\n```diff\n(?:[-+][^\n]*\n)+```\n)+)+\n?")
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
    title, *parts = re.split(r"^## ", document, flags=re.MULTILINE)
    found: list[Mutant] = []
    for part in parts:
        if (section := _SECTION.fullmatch(part)) is None:
            raise Unreadable(f"the part of {part.partition(chr(10))[0]}")
        found += [Mutant(section[1], _changed(diff.splitlines())) for diff in _DIFF.findall(part)]
    if "```" in title:
        raise Unreadable("a mutant before the first function's heading")
    return found


def _changed(lines: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{line[0]} {line[1:].strip()}" for line in lines if line.startswith(("-", "+")))
