"""The command `healthcheck`: whether the service of this machine is alive, for the container's HEALTHCHECK.

It reads one file and calls no service, so that a slow or throttling AWS cannot make it fail.
"""

import typer

from processor.observability.health import Diagnosis, check
from processor.settings import SettingsError, health_file


def healthcheck() -> None:
    """Exit 0 if the running service is alive: each of its loops makes progress.

    Example: export-status healthcheck && echo alive
    """
    try:
        diagnosis = check(health_file())
    except SettingsError as wrong:  # Docker keeps exit status 2 for itself
        diagnosis = Diagnosis(problems=(str(wrong),))
    if diagnosis.problems:
        typer.echo(f"unhealthy: {'; '.join(diagnosis.problems)}", err=True)
        raise typer.Exit(1)
    typer.echo("healthy" if not diagnosis.degraded else f"healthy, degraded: {'; '.join(diagnosis.degraded)}")
