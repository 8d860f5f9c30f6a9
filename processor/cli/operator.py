"""What the operator's commands share: settings, clients, and AWS errors as one line."""

from collections.abc import Iterator
from contextlib import contextmanager

from processor.aws import Aws, AwsError, Misconfigured, NotFound
from processor.cli import CommandFailed
from processor.log import configure_logging
from processor.settings import Settings, load_aws_settings, load_settings


def connect() -> tuple[Settings, Aws]:
    """The settings and the clients of a command that an operator runs.

    Raises:
        SettingsError: if a setting is wrong.
    """
    settings = load_settings()
    configure_logging("ERROR")
    return settings, Aws(load_aws_settings(settings))


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
