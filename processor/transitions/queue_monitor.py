"""The event queue's attributes that the pipeline works by: judged at the start, read again every few minutes.

An operator may change them while tasks run. A change that harms is an error and shown as degraded, but
never ends the process.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from handlers.events import CLOCK_TOLERANCE
from processor.aws.errors import AwsError
from processor.aws.sqs import SQS_MAX_RECEIVES
from processor.backoff import shortest
from processor.observability.log import get_logger
from processor.settings import SettingsError
from processor.startup_checks import MIN_VISIBILITY_SECONDS, QueueState, ask_queue
from processor.transitions.context import PipelineContext
from processor.transitions.event_queue import back_off_seconds

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

READ_AGAIN_SECONDS = 300.0
STRICT_FROM_TTL_SECONDS = 90  # with a shorter TTL (a demo's) no allowed visibility timeout is short enough
MOST_HANDLING_SECONDS = 300  # of a batch: a longer visibility timeout must not hide a stuck receiver
COMPONENT = "event queue attributes"


@dataclass(frozen=True, slots=True)
class QueueProblem:
    """What is wrong with the queue's attributes.

    Attributes:
        attribute: the attribute at fault.
        text: the value and the rule.
        ends_start: whether the service refuses to start with it.
        is_error: whether it harms events, rather than delays them, when it comes up later.
    """

    attribute: str
    text: str
    ends_start: bool = False
    is_error: bool = True


def queue_problems(state: QueueState, ttl_seconds: int) -> list[QueueProblem]:
    """Judges the queue's attributes.

    Args:
        state: the attributes.
        ttl_seconds: EXPORT_STATUS_TTL_SECONDS.
    """
    problems = visibility_problems(state.visibility_seconds, ttl_seconds)
    count, needed = state.redrive.max_receive_count, receives_needed(ttl_seconds)
    if count is not None and count < needed:
        rule = (
            f"must be at least {needed} for an early event to wait out the TTL of {ttl_seconds} s,"
            f" is {count}: it is dead-lettered before"
        )
        problems.append(QueueProblem("maxReceiveCount", rule))
    return problems


def visibility_problems(seconds: int, ttl_seconds: int) -> list[QueueProblem]:
    """Judges the visibility timeout.

    Args:
        seconds: the timeout.
        ttl_seconds: EXPORT_STATUS_TTL_SECONDS.
    """
    name = "VisibilityTimeout"
    if seconds < MIN_VISIBILITY_SECONDS:
        rule = f"must be at least {MIN_VISIBILITY_SECONDS} s for a batch to be settled in, is {seconds} s"
        return [QueueProblem(name, rule, ends_start=True)]
    if seconds >= ttl_seconds:
        rule = (
            f"must be below the TTL of {ttl_seconds} s, is {seconds} s:"
            " the messages of a killed task come back expired"
        )
        return [QueueProblem(name, rule, ends_start=ttl_seconds >= STRICT_FROM_TTL_SECONDS)]
    if seconds > max(MIN_VISIBILITY_SECONDS, ttl_seconds / 3):
        rule = (
            f"should be at most a third of the TTL of {ttl_seconds} s, is {seconds} s:"
            " the messages of a killed task come back late"
        )
        return [QueueProblem(name, rule, is_error=False)]
    return []


def shortest_wait_seconds(receives: int) -> int:
    """The least time from the first to the last receive of a message that is always `early`.

    It is the sum of the back-offs of docs/contract.md, section 3, each with its shortest jitter.

    Args:
        receives: maxReceiveCount.
    """
    return sum(back_off_seconds(receive, jitter=shortest) for receive in range(1, receives))


def receives_needed(ttl_seconds: int) -> int:
    """The least maxReceiveCount with which an `early` event waits longer than its export lives.

    A producer's clock may be ahead by the tolerance for future events.

    Args:
        ttl_seconds: the TTL.

    Returns:
        The count; SQS's maximum where no allowed count is enough.
    """
    must_wait = ttl_seconds + CLOCK_TOLERANCE.total_seconds()
    return next(
        (count for count in range(1, SQS_MAX_RECEIVES) if shortest_wait_seconds(count) > must_wait),
        SQS_MAX_RECEIVES,
    )


class QueueMonitor:
    """The queue's attributes as last read; `step` reads them again when that is due.

    Args:
        client: SQS.
        url: the event queue's.
        state: the attributes as read at the start.
        context: the pipeline's; its health shows what is wrong.
    """

    def __init__(self, client: "SQSClient", url: str, state: QueueState, context: PipelineContext) -> None:
        self._client = client
        self._url = url
        self._state = state
        self._context = context
        self._most_handling_seconds = _within_bounds(state.visibility_seconds)
        self._problems: Sequence[QueueProblem] = queue_problems(state, context.settings.ttl_seconds)
        self._due = context.clocks.monotonic() + READ_AGAIN_SECONDS

    def judge_start(self) -> None:
        """Warns of what the attributes do at the start.

        Raises:
            SettingsError: if the service cannot work with this queue.
        """
        for problem in self._problems:
            if problem.ends_start:
                queue = "SQS_EXPORT_EVENTS_QUEUE_URL must name a queue that fits"
                raise SettingsError(f"{queue}: {problem.attribute} {problem.text}")
            _log_problem(problem, is_error=False)

    @property
    def max_receive_count(self) -> int | None:
        """From the redrive policy; None where the queue has none."""
        return self._state.redrive.max_receive_count

    @property
    def handling_seconds(self) -> int:
        """How long a batch may take (seconds): the visibility timeout, within bounds. It never grows, because
        the receivers' heartbeats are made for the first one."""
        return min(_within_bounds(self._state.visibility_seconds), self._most_handling_seconds)

    def step(self) -> None:
        """Reads the attributes again if that is due. What cannot be read stays as it was."""
        now = self._context.clocks.monotonic()
        if now < self._due:
            return
        self._due = now + READ_AGAIN_SECONDS
        try:
            state = ask_queue(self._client, self._url)
        except AwsError as error:
            get_logger().warning(
                "queue_attributes_unknown", error=str(error), consequence="the last known are used"
            )
            return
        if state == self._state:
            return
        before, self._state = self._state, state
        get_logger().warning("queue_attributes_changed", **_shown(state), before=_shown(before))
        known, self._problems = self._problems, queue_problems(state, self._context.settings.ttl_seconds)
        for problem in self._problems:
            if problem not in known:
                _log_problem(problem, is_error=problem.is_error)
        texts = [f"{problem.attribute} {problem.text}" for problem in self._problems]
        self._context.health.report(COMPONENT, "; ".join(texts) or None)


def _within_bounds(visibility_seconds: int) -> int:
    return min(MOST_HANDLING_SECONDS, max(MIN_VISIBILITY_SECONDS, visibility_seconds))


def _shown(state: QueueState) -> dict[str, int | None]:
    return {
        "visibility_seconds": state.visibility_seconds,
        "max_receive_count": state.redrive.max_receive_count,
    }


def _log_problem(problem: QueueProblem, *, is_error: bool) -> None:
    log = get_logger()
    write = log.error if is_error else log.warning
    write("queue_attributes_wrong", attribute=problem.attribute, problem=problem.text)
