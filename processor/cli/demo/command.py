"""The command `demo`: the whole system on one machine, from the first event to the last audit entry."""

from threading import Event
from typing import Annotated

import typer

from processor.aws.errors import AwsError
from processor.cli.demo.display import display_for
from processor.cli.demo.report import print_report
from processor.cli.errors import CommandFailed
from processor.cli.signals import interrupt_on_signals
from processor.demo.demonstration import Demonstration, DemonstrationError
from processor.demo.scenario import MIN_TTL_SECONDS
from processor.demo.service_process import ServiceProcessError
from processor.localaws.embedded_aws import EmbeddedAwsError
from processor.settings import MAX_TTL_SECONDS

FRAME_SECONDS = 0.1


def demo(
    *,
    exports: Annotated[int, typer.Option(metavar="N", min=1, max=2_000, help="how many exports")] = 50,
    ttl_seconds: Annotated[
        int,
        typer.Option(
            metavar="S",
            min=MIN_TTL_SECONDS,
            max=MAX_TTL_SECONDS,
            help="how long an export lives after its request",
        ),
    ] = 12,
    seed: Annotated[int, typer.Option(metavar="K", help="the seed of all random choices")] = 1,
) -> None:
    """Show everything at work: exports live, expire and are audited. No AWS account, no network.

    The real service runs against an AWS emulated on 127.0.0.1. Producers send what they send in practice:
    failures, exports that never finish, events out of order, repeats, contradictions, garbage. At the end the
    demo compares the results with the list of sent events: exit status 0, or 1 if they differ.

    Example: export-status demo --exports 100 --seed 7
    """
    interrupt_on_signals()
    demonstration = Demonstration(exports=exports, ttl_seconds=ttl_seconds, seed=seed)
    display = display_for(demonstration.board, ttl_seconds=ttl_seconds, seed=seed)
    pause = Event()
    try:
        with demonstration, display:
            demonstration.start(display.phase)
            while not demonstration.is_over():
                display.show()
                pause.wait(FRAME_SECONDS)
            display.show()
            display.phase("stopping the service with SIGTERM, and comparing with what was sent")
            verdict = demonstration.judge()
            display.show()
    except AwsError as failure:
        raise CommandFailed(f"the embedded AWS does not answer ({failure})") from None
    except (EmbeddedAwsError, ServiceProcessError, DemonstrationError) as failure:
        raise CommandFailed(str(failure)) from None
    print_report(demonstration.board, verdict)
    raise typer.Exit(1 if verdict.failed else 0)
