"""The real pipeline on the embedded AWS, with clients whose calls a test can count, change and break."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from processor.localaws.embedded_aws import EmbeddedAws
from processor.observability.health import Diagnosis, Health, check
from processor.observability.metrics import Metrics
from processor.settings import Settings
from processor.transitions.context import Clocks, PipelineContext, Timing
from processor.transitions.pipeline import TransitionsPipeline
from tests.handlers.making import at, body, text_at
from tests.resources import ClientFactory, drained_messages, item_of, queue_pair, status_table
from tests.transitions.rig import Clock
from tests.waiting import eventually

Hook = Callable[[Callable[..., Any], dict[str, Any]], Any]
"""Called instead of a client's method, with that method and the arguments."""

SHORT = Timing(
    receive_back_off_seconds=0.05,
    breaker_pause_seconds=0.05,
    breaker_pause_most_seconds=0.2,
    breaker_look_seconds=0.05,
    queue_retry_seconds=0.01,
)
"""Outages of tests are short, so the pauses between tries are."""
POLL_SECONDS = 1  # so that a pipeline that polls ends soon
STOP_SECONDS = 20.0


class Switch:
    """A hook that raises while it is on, and counts what it stopped."""

    def __init__(self, error: Exception, *, on: bool = True) -> None:
        self._error = error
        self.on = on
        self.stopped = 0

    def __call__(self, method: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        """Raises or passes on."""
        if self.on:
            self.stopped += 1
            raise self._error
        return method(**arguments)


def without_waiting(method: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """A hook: what is left in the queue can be received again at once."""
    entries = [{**entry, "VisibilityTimeout": 0} for entry in arguments["Entries"]]
    return method(**{**arguments, "Entries": entries})


AT_ONCE: Mapping[str, Hook] = {"change_message_visibility_batch": without_waiting}


def bodies_of(number: int) -> list[str]:
    """The first events of so many exports."""
    return [body(requestId=f"r{index}", createdAt=text_at(0)) for index in range(number)]


class HookedAws:
    """Stands in for `processor.aws.clients.Aws`. Its clients remember their calls, and call hooks instead."""

    def __init__(self, sqs: Any, dynamodb: Any, hooks: Mapping[str, Hook]) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._hooks = hooks
        self.settling = self.receiving = lambda: _Hooked(sqs, self._called)
        self.dynamodb = lambda: _Hooked(dynamodb, self._called)

    def _called(self, method: Callable[..., Any], name: str, arguments: dict[str, Any]) -> Any:
        self.calls.append((name, arguments))
        if "WaitTimeSeconds" in arguments:
            wait = min(POLL_SECONDS, arguments["WaitTimeSeconds"])
            arguments = {**arguments, "WaitTimeSeconds": wait}
        hook = self._hooks.get(name)
        return hook(method, arguments) if hook else method(**arguments)


class _Hooked:
    def __init__(self, client: Any, called: Callable[..., Any]) -> None:
        self._client = client
        self._called = called

    def __getattr__(self, name: str) -> Any:
        def hooked(**arguments: Any) -> Any:
            return self._called(getattr(self._client, name), name, arguments)

        hooked.__name__ = name
        return hooked


class Running:
    """A pipeline with its queues and table, not started yet.

    Args:
        embedded: the AWS.
        directory: for the health file.
        hooks: by operation, what is called in its place.
        settings: the service's, by variable.
        store: clients of where the table is, if not on the embedded AWS.
        timing: how long the pipeline waits after failures.
        queue: see `queue_pair`.
    """

    def __init__(
        self,
        embedded: EmbeddedAws,
        directory: Path,
        hooks: Mapping[str, Hook] | None = None,
        settings: Mapping[str, str] | None = None,
        *,
        store: ClientFactory | None = None,
        timing: Timing = SHORT,
        **queue: Any,
    ) -> None:
        self.embedded = embedded
        self.store = store or embedded.client
        self.sqs = embedded.client("sqs")
        self.queue_url, self.dlq_url = queue_pair(embedded.client, **queue)
        self.table = status_table(self.store, stream=False)
        self.clock = Clock(60)
        self.aws = HookedAws(self.sqs, self.store("dynamodb"), hooks or {})
        self.metrics = Metrics()
        self.totals: Counter[str] = Counter()
        self.deaths: list[tuple[str, BaseException]] = []
        self._health_file = directory / "health"
        self._health = Health(self._health_file, warn=lambda _problem: None)
        whole: dict[str, Any] = {
            "DYNAMODB_EXPORT_STATUS_TABLE": self.table,
            "SQS_EXPORT_EVENTS_QUEUE_URL": self.queue_url,
            "EXPORT_WRITE_MODE": "single",
            "EXPORT_RECEIVERS": "1",
            "EXPORT_DRAIN_SECONDS": "10",
            **(settings or {}),
        }
        aws: Any = self.aws
        self.pipeline = TransitionsPipeline(
            aws,
            PipelineContext(
                Settings(_env_file=None, **whole), self.metrics, self._health, Clocks(self.clock), timing
            ),
            on_death=lambda name, error: self.deaths.append((name, error)),
        )

    def start(self) -> None:
        """Starts the pipeline."""
        self.pipeline.start(threading.Event())

    def send(self, *bodies: str, group: str | None = None) -> list[str]:
        """Sends messages in this order, so that one receive can get ten of them; their ids."""
        ids: list[str] = []
        for start in range(0, len(bodies), 10):
            entries: list[dict[str, Any]] = [
                {"Id": str(number), "MessageBody": text}
                for number, text in enumerate(bodies[start : start + 10])
            ]
            for entry in entries if group else []:
                entry["MessageGroupId"] = group
                entry["MessageDeduplicationId"] = f"{group}-{start}-{entry['Id']}"
            answer = self.sqs.send_message_batch(QueueUrl=self.queue_url, Entries=entries)
            ids += [each["MessageId"] for each in answer["Successful"]]
        return ids

    def item(self, key: str = "req-1") -> dict[str, Any] | None:
        """The stored item."""
        return item_of(self.store, self.table, key)

    def put(self, item: Mapping[str, Any]) -> None:
        """Stores an item."""
        self.store("dynamodb").put_item(TableName=self.table, Item=item)

    def visible(self, *others: str) -> int:
        """How many messages of the event queue could be received now, or are in another state."""
        names: Any = [
            "ApproximateNumberOfMessages",
            *(f"ApproximateNumberOfMessages{each}" for each in others),
        ]
        answer = self.sqs.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=names)
        return sum(int(number) for number in answer["Attributes"].values())

    def left(self) -> int:
        """How many messages the event queue holds, visible or in flight."""
        return self.visible("NotVisible", "Delayed")

    def dead(self) -> Sequence[dict[str, Any]]:
        """Takes all copies out of the dead-letter queue: body, attributes by name, system attributes."""
        return [
            {
                "body": message["Body"],
                **{
                    name: value["StringValue"] for name, value in message.get("MessageAttributes", {}).items()
                },
                "system": message["Attributes"],
            }
            for message in drained_messages(self.embedded.client, self.dlq_url)
        ]

    def count(self, name: str) -> float:
        """A metric's total since the start, by its name in the metrics line."""
        line = json.loads(self.metrics.flush(at(0)))
        self.totals.update({name: value for name, value in line.items() if isinstance(value, int | float)})
        return self.totals[name]

    def diagnosis(self) -> Diagnosis:
        """What a health check would say now."""
        self._health.write()
        return check(self._health_file)

    def operations(self) -> Counter[str]:
        """How often each operation was called."""
        return Counter(name for name, _ in self.aws.calls)

    def wait_until_empty(self) -> None:
        """Waits until the event queue holds nothing."""
        eventually(lambda: self.left() == 0, 180)

    def stop(self) -> bool:
        """Asks for the end and waits for it; whether it ended as it should."""
        self.pipeline.stop(time.monotonic() + STOP_SECONDS)
        return self.pipeline.join().clean


@contextmanager
def running(
    make: Callable[..., Running],
    *bodies: str,
    before: Callable[[Running], object] = lambda _: None,
    **arguments: Any,
) -> Iterator[Running]:
    """A pipeline that has started; it is stopped in the end, and no thread of it may have died.

    Args:
        make: makes it.
        bodies: messages that are there before the start, so that one receive gets them.
        before: called before the start.
        arguments: `Running`'s.
    """
    made = make(**arguments)
    made.send(*bodies)
    before(made)
    made.start()
    try:
        yield made
    finally:
        ended = made.stop()
    assert ended
    assert made.deaths == []


Make = Callable[..., Running]
Run = Callable[..., AbstractContextManager[Running]]
