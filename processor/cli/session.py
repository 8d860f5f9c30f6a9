"""What the operator's commands share: settings, clients, patience, and AWS errors as one line."""

import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import Event
from typing import Any, TypeVar

import typer

from processor.aws.calls import call
from processor.aws.clients import Aws
from processor.aws.errors import AwsError, Misconfigured, NotFound, Transient
from processor.cli import EXIT_USAGE, CommandFailed, complain
from processor.cli.output import prepare_outputs
from processor.observability.log import LineOutput, configure_logging
from processor.settings import AwsSettings, Settings, load_aws_settings, load_settings

TRIES = 4
_TRY_AGAIN_SECONDS = 0.2

T = TypeVar("T")


def connect() -> tuple[Settings, Aws]:
    """The settings and the clients of a command that an operator runs.

    Raises:
        SettingsError: if a setting is wrong.
    """
    settings = load_settings()
    prepare_outputs()
    configure_logging("ERROR", "console", LineOutput(sys.stderr))  # standard output is the command's own
    return settings, Aws(aws_settings(settings))


def aws_settings(settings: Settings) -> AwsSettings:
    """Where AWS is, for the services of an operator too: AWS_ENDPOINT_URL leads to all of them, also where
    it stands in `.env`, which botocore does not read.

    Raises:
        SettingsError: if the credentials are half there.
    """
    found = load_aws_settings(settings)
    if not found.endpoints or not settings.endpoint_url:
        return found
    return replace(
        found, endpoints={"sts": settings.endpoint_url, "iam": settings.endpoint_url, **found.endpoints}
    )


def patiently(method: Callable[..., T], /, **arguments: Any) -> T:
    """Calls a client's method, and again where AWS throttled, failed or timed out.

    Raises:
        AwsError: as `processor.aws.calls.call` does.
    """
    for attempt in range(TRIES - 1):
        try:
            return call(method, **arguments)
        except Transient:
            pause(attempt)
    return call(method, **arguments)


def pause(attempt: int) -> None:
    """Waits before the next try: 0.2 s, four times as long each time, the last half of it at random."""
    Event().wait(_TRY_AGAIN_SECONDS * 4**attempt * random.uniform(0.5, 1))


@contextmanager
def aws_errors(what: str) -> Iterator[None]:
    """Turns an AWS error into one line that says what to do.

    Args:
        what: the thing that the calls are about, such as `the table export-status`.

    Raises:
        CommandFailed: for every AwsError.
    """
    try:
        yield
    except NotFound as error:
        raise CommandFailed(f"{what} does not exist in this region and account ({error})") from None
    except Misconfigured as error:
        raise CommandFailed(f"{what}: AWS refuses, check credentials and permissions ({error})") from None
    except AwsError as error:
        raise CommandFailed(f"{what}: AWS did not answer as it should ({error})") from None


def usage_error(problem: str) -> typer.Exit:
    """Says what is wrong with an argument, in one line; to be raised, it ends the command with status 2."""
    complain(problem)
    return typer.Exit(EXIT_USAGE)


@contextmanager
def ended_like_ctrl_c() -> Iterator[None]:
    """While the block runs, SIGTERM and a closed terminal end the command as Ctrl-C does: what it holds is
    given back first."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
