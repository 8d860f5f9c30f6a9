"""The command `demo`: the whole system on one machine, from the first event to the last audit entry."""

from threading import Event
from typing import Annotated

import typer

from processor.cli.demo.display import display_for
from processor.cli.demo.report import print_report
from processor.cli.errors import CommandFailed
from processor.cli.signals import interrupt_on_signals
from processor.demo.demonstration import Demonstration, DemonstrationError
from processor.demo.scenario import MIN_TTL_SECONDS
from processor.demo.service_process import ServiceProcessError
from processor.localaws.embedded_aws import EmbeddedAwsError
from processor.settings import MAX_TTL_SECONDS

DEFAULT_EXPORTS, FAST_EXPORTS = 50, 20
DEFAULT_TTL_SECONDS, FAST_TTL_SECONDS = 12, 8
FRAME_SECONDS = 0.1


def demo(
    *,
    exports: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, max=2_000, help="how many exports", show_default=str(DEFAULT_EXPORTS)
        ),
    ] = None,
    ttl_seconds: Annotated[
        int | None,
        typer.Option(
            metavar="S",
            min=MIN_TTL_SECONDS,
            max=MAX_TTL_SECONDS,
            help="how long an export lives after its request",
            show_default=str(DEFAULT_TTL_SECONDS),
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="K", help="the seed of all random choices")] = 1,
    fast: Annotated[
        bool,
        typer.Option("--fast", help=f"{FAST_EXPORTS} exports that live {FAST_TTL_SECONDS} s, for CI"),
    ] = False,
) -> None:
    """Show everything at work: exports live, expire and are audited. No AWS account, no network.

    The real service runs against an AWS emulated on 127.0.0.1. Producers send what they send in practice:
    failures, exports that never finish, events out of order, repeats, contradictions, garbage. At the end the
    demo compares the results with the list of sent events: exit status 0, or 1 if they differ.

    Example: export-status demo --exports 100 --seed 7
    """
    interrupt_on_signals()
    lives = ttl_seconds or (FAST_TTL_SECONDS if fast else DEFAULT_TTL_SECONDS)
    demonstration = Demonstration(
        exports=exports or (FAST_EXPORTS if fast else DEFAULT_EXPORTS), ttl_seconds=lives, seed=seed
    )
    display = display_for(ttl_seconds=lives, seed=seed)
    pause = Event()
    try:
        with demonstration, display:
            demonstration.start(display.phase)
            while not demonstration.is_over():
                display.show(demonstration.view())
                pause.wait(FRAME_SECONDS)
            display.show(demonstration.view())
            display.phase("stopping the service with SIGTERM, and comparing with what was sent")
            judgement = demonstration.judge()
            display.show(judgement.view)
    except (EmbeddedAwsError, ServiceProcessError, DemonstrationError) as failure:
        raise CommandFailed(str(failure)) from None
    print_report(judgement)
    raise typer.Exit(0 if judgement.passed else 1)
