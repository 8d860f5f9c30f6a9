"""The table of costs in docs/deployments.md; `python -m tests.docs.deployment_costs` prints it.

The prices are list prices of us-east-1 in dollars, as of January 2026, and were not verified.
"""

import sys
from collections.abc import Callable
from datetime import UTC, datetime

from processor.observability.metrics import Metric, Metrics, Part
from tests.docs.generate import table

DAYS = 730 / 24
EXPORTS = (100, 10_000, 1_000_000)
EVENTS_PER_EXPORT = 3
LINGER_SECONDS = 0.2  # EXPORT_LINGER_SECONDS: events of one receive of `run`
WINDOW_SECONDS = 1.0  # BatchWindowSeconds of infra/lambda.yaml at 1,000,000 exports; 0 below
POLLERS = (
    5  # of a queue's mapping when it is quiet ("Configuring scaling behavior for SQS event source mappings")
)
MEMORY_GB = 0.5
TRANSITIONS_SECONDS = 0.04  # of an invocation; assumed: measured CPU at a third of a core, and two calls
AUDIT_SECONDS = 0.06
PLATFORM_LINE_BYTES = 350  # START, END and REPORT of an invocation

FARGATE_TASK_HOUR = 0.0395  # 1 vCPU and 2 GB, ARM
LAMBDA_GB_SECOND = 0.0000133334  # ARM
LAMBDA_MILLION = 0.20
SQS_MILLION = 0.40
LOG_GB = 0.50
DYNAMODB_WRITE_MILLION = 0.625
KINESIS_STREAM_HOUR, KINESIS_GB = 0.04, 0.08
METRIC = 0.30
LEASES_AND_STREAM = 1.30  # renewals, scans and reads of one idle shard a month, as in infra/README.md


def rows() -> list[tuple[str, ...]]:
    """The table's rows: dollars a month of 730 hours, by exports a day."""
    return [
        _row("ECS: one Fargate task of 1 vCPU and 2 GB", lambda _: 730 * FARGATE_TASK_HOUR),
        _row("ECS: SQS requests", _ecs_requests),
        _row("ECS: leases, and reads of the table's stream", lambda _: LEASES_AND_STREAM),
        _row("ECS: log lines of metrics", lambda _: _ecs_logs()),
        _row("**ECS, sum of these**", _ecs, bold=True),
        _row("Lambda: invocations", _lambda_requests),
        _row("Lambda: duration with 512 MB", _lambda_seconds),
        _row("Lambda: SQS requests of its pollers", _poller_requests),
        _row("Lambda: log lines of metrics and of the platform", _lambda_logs),
        _row("**Lambda, sum of these**", _lambda, bold=True),
        _row("both: table writes, audit stream, entries in the log, metrics", _both),
    ]


def cost_table() -> str:
    """The table in Markdown."""
    return table(("dollars a month", *(f"{each:,} exports a day" for each in EXPORTS)), rows())


def _row(name: str, cost: Callable[[int], float], *, bold: bool = False) -> tuple[str, ...]:
    cells = [f"{cost(exports):,.2f}" for exports in EXPORTS]
    return (name, *(f"**{cell}**" if bold else cell for cell in cells))


def _events(exports: int) -> float:
    return exports * EVENTS_PER_EXPORT * DAYS


def _rate(exports: int) -> float:
    return exports * EVENTS_PER_EXPORT / 86_400


def _gigabytes(count: float) -> float:
    return count / 1_000_000_000


def _metrics_bytes(*parts: Part) -> int:
    return len(Metrics(parts).flush(datetime.now(UTC)))


def _ecs_requests(exports: int) -> float:
    batch = min(10.0, max(1.0, _rate(exports) * LINGER_SECONDS))
    idle = 3 * 60 * 730  # one long poll of 20 s
    return (2 * _events(exports) / batch + idle) / 1e6 * SQS_MILLION


def _ecs(exports: int) -> float:
    return 730 * FARGATE_TASK_HOUR + _ecs_requests(exports) + LEASES_AND_STREAM + _ecs_logs()


def _ecs_logs() -> float:
    return _gigabytes(_metrics_bytes(*Part) * 60 * 730) * LOG_GB


def _transitions(exports: int) -> float:
    """Invocations a month."""
    window = WINDOW_SECONDS if exports == EXPORTS[-1] else 0.0
    return _events(exports) / max(1.0, _rate(exports) * window / POLLERS)


def _audits(exports: int) -> float:
    """Invocations a month; the mapping's window is a second."""
    return exports * DAYS / max(1.0, exports / 86_400)


def _lambda_requests(exports: int) -> float:
    return (_transitions(exports) + _audits(exports)) / 1e6 * LAMBDA_MILLION


def _lambda_seconds(exports: int) -> float:
    seconds = _transitions(exports) * TRANSITIONS_SECONDS + _audits(exports) * AUDIT_SECONDS
    return seconds * MEMORY_GB * LAMBDA_GB_SECOND


def _poller_requests(exports: int) -> float:
    idle = POLLERS * 3 * 60 * 730
    return (2 * _transitions(exports) + idle) / 1e6 * SQS_MILLION


def _lambda_logs(exports: int) -> float:
    lines = _transitions(exports) * (_metrics_bytes(Part.TRANSITIONS) + PLATFORM_LINE_BYTES)
    lines += _audits(exports) * (_metrics_bytes(Part.AUDIT) + PLATFORM_LINE_BYTES)
    return _gigabytes(lines) * LOG_GB


def _lambda(exports: int) -> float:
    return sum(each(exports) for each in (_lambda_requests, _lambda_seconds, _poller_requests, _lambda_logs))


def _both(exports: int) -> float:
    writes = _events(exports) / 1e6 * DYNAMODB_WRITE_MILLION
    stream = 730 * KINESIS_STREAM_HOUR + _gigabytes(exports * DAYS * 1_000) * KINESIS_GB
    entries = _gigabytes(exports * DAYS * 800) * LOG_GB
    return writes + stream + entries + len(Metric) * METRIC


if __name__ == "__main__":
    sys.stdout.write(cost_table() + "\n")
