"""One line of `check`: what was looked at, how it is, and the command that mends it."""

from dataclasses import dataclass
from enum import Enum


class Verdict(Enum):
    """How a thing is; the values are those of `check --json`."""

    FINE = "fine"
    WRONG = "wrong"
    UNKNOWN = "unknown"  # the server cannot tell, or asking would do harm


@dataclass(frozen=True, slots=True)
class Finding:
    """`subject` is the thing, `text` how it is, `mend` a command or, where none can do it, what to do."""

    verdict: Verdict
    subject: str
    text: str
    mend: str | None = None


def fine(subject: str, text: str) -> Finding:
    """As it should be."""
    return Finding(Verdict.FINE, subject, text)


def wrong(subject: str, text: str, mend: str) -> Finding:
    """Not as the service needs it."""
    return Finding(Verdict.WRONG, subject, text, mend)


def unknown(subject: str, text: str) -> Finding:
    """Nobody can tell."""
    return Finding(Verdict.UNKNOWN, subject, text)
