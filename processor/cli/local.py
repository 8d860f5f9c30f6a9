"""The command `local`: the embedded AWS alone, for trials and for development."""

import shlex
from typing import Annotated

import typer

from handlers.export import DEFAULT_TTL_SECONDS
from processor.cli.errors import CommandFailed
from processor.cli.signals import interrupt_on_signals
from processor.localaws.embedded_aws import CALLERS_VARIABLES, EmbeddedAws, EmbeddedAwsError
from processor.settings import MAX_TTL_SECONDS


def local(
    *,
    port: Annotated[
        int, typer.Option(metavar="P", min=0, max=65_535, help="the port on 127.0.0.1; 0 takes a free one")
    ] = 0,
    ttl_seconds: Annotated[
        int,
        typer.Option(
            metavar="S", min=1, max=MAX_TTL_SECONDS, help="how long an export lives after its request"
        ),
    ] = DEFAULT_TTL_SECONDS,
) -> None:
    """Run an AWS of your own on 127.0.0.1, with queue, tables and streams, until Ctrl-C.

    It prints the environment lines for another shell; there, `run`, `publish`, `get` and every AWS tool use
    it. It reads none of your AWS settings, touches no AWS account, and keeps nothing when it ends.

    Example: export-status local --ttl-seconds 60
    """
    interrupt_on_signals()
    try:
        with EmbeddedAws(port=port, ttl_seconds=ttl_seconds) as aws:
            # As in deployments: without the sink kinesis, `audit tail` would show nothing.
            settings = aws.environment() | {"EXPORT_AUDIT_SINKS": "kinesis,log"}
            lines = [f"export {name}={shlex.quote(value)}" for name, value in settings.items()]
            typer.echo("# Paste into another shell:")
            typer.echo("\n".join([f"unset {' '.join(CALLERS_VARIABLES)}", *lines]))
            typer.echo(f"# Ready at {aws.endpoint_url}. Ctrl-C ends it and keeps nothing.")
            aws.wait()
    except KeyboardInterrupt:
        return
    except EmbeddedAwsError as failure:
        raise CommandFailed(str(failure)) from None
