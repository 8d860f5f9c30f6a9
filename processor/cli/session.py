"""What the operator's commands share: settings, AWS clients, retries, and AWS errors as one line."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any, TypeVar

import typer

from processor import backoff
from processor.aws.calls import call
from processor.aws.clients import Aws
from processor.aws.errors import AwsError, Misconfigured, NotFound, Transient
from processor.cli.errors import EXIT_USAGE, CommandFailed, complain
from processor.cli.output import prepare_outputs
from processor.observability.log import LineOutput, configure_logging
from processor.settings import Settings, load_aws_settings, load_settings

TRIES = 4

T = TypeVar("T")


def connect() -> tuple[Settings, Aws]:
    """Loads the settings and makes the AWS clients of an operator's command.

    Raises:
        SettingsError: if a setting is wrong.
    """
    settings = load_settings()
    prepare_outputs()
    configure_logging("ERROR", "console", LineOutput(sys.stderr))  # standard output carries results only
    return settings, Aws(load_aws_settings(settings))


def retry(method: Callable[..., T], /, **arguments: Any) -> T:
    """Calls a client's method, and retries where AWS throttled, failed or timed out.

    Raises:
        AwsError: as `processor.aws.calls.call` does.
    """
    return backoff.retry(lambda: call(method, **arguments), on=Transient, tries=TRIES, wait=Event().wait)


@contextmanager
def aws_errors(what: str) -> Iterator[None]:
    """Turns an AWS error into one line with the cause.

    Args:
        what: what the calls act on, such as `the table export-status`.

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
    """Prints what is wrong with an argument as one line.

    Returns:
        The exception to raise; it ends the command with status 2.
    """
    complain(problem)
    return typer.Exit(EXIT_USAGE)
