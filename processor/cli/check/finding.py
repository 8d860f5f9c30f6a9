"""One line of `check`: a thing, its state, and a remedy."""

from dataclasses import dataclass
from enum import Enum


class Verdict(Enum):
    """The result of a check; the values are those of `check --json`."""

    FINE = "fine"
    WRONG = "wrong"
    UNKNOWN = "unknown"  # the server does not answer this, or asking would do harm


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Attributes:
        verdict: fine, wrong or unknown.
        subject: the thing.
        text: its state.
        remedy: a command; where no command helps, a sentence.
    """

    verdict: Verdict
    subject: str
    text: str
    remedy: str | None = None


def fine(subject: str, text: str) -> Finding:
    """The finding for a thing that is right."""
    return Finding(Verdict.FINE, subject, text)


def wrong(subject: str, text: str, remedy: str) -> Finding:
    """The finding for a thing that the service cannot use."""
    return Finding(Verdict.WRONG, subject, text, remedy)


def unknown(subject: str, text: str) -> Finding:
    """The finding for a thing whose state is not known."""
    return Finding(Verdict.UNKNOWN, subject, text)
