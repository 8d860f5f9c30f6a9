"""The real pipeline on the embedded AWS, with clients whose calls a test can count, change and break."""

import json
import threading
import time
from collections import ChainMap, Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from processor.localaws.embedded_aws import EmbeddedAws
from processor.observability.health import Health
from processor.observability.metrics import Metrics
from processor.settings import Settings
from processor.transitions.context import Clocks, Timing
from processor.transitions.pipeline import TransitionsPipeline
from tests.handlers.making import at
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


class Hooked:
    """A boto3 client whose calls are remembered and may be changed by operation."""

    def __init__(
        self, client: Any, hooks: Mapping[str, Hook], calls: list[tuple[str, dict[str, Any]]]
    ) -> None:
        self._client = client
        self._hooks = hooks
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def hooked(**arguments: Any) -> Any:
            self._calls.append((name, arguments))
            hook = self._hooks.get(name)
            return hook(method, arguments) if hook else method(**arguments)

        hooked.__name__ = name
        return hooked


class HookedAws:
    """Stands in for `processor.aws.clients.Aws`."""

    def __init__(self, embedded: EmbeddedAws, store: ClientFactory, hooks: Mapping[str, Hook]) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._embedded = embedded
        self._store = store
        self._hooks = hooks

    def settling(self) -> Any:
        """For all calls but receives that wait."""
        hooks = ChainMap({"receive_message": self._receive}, self._hooks)  # type: ignore[arg-type] # only read
        return Hooked(self._embedded.client("sqs"), hooks, self.calls)

    def dynamodb(self) -> Any:
        """For the status table."""
        return Hooked(self._store("dynamodb"), self._hooks, self.calls)

    def receiving(self) -> Any:
        """For receives, which wait a second at most."""
        hooks = {"receive_message": self._receive}
        return Hooked(self._embedded.client("sqs"), hooks, self.calls)

    def _receive(self, method: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        wait = min(POLL_SECONDS, arguments["WaitTimeSeconds"])
        arguments = {**arguments, "WaitTimeSeconds": wait}
        hook = self._hooks.get("receive_message")
        return hook(method, arguments) if hook else method(**arguments)


class Running:
    """A started pipeline with its queues and table."""

    def __init__(
        self,
        embedded: EmbeddedAws,
        directory: Path,
        hooks: Mapping[str, Hook],
        settings: Mapping[str, str],
        queue: Mapping[str, Any],
        *,
        store: ClientFactory | None = None,
        timing: Timing | None = None,
    ) -> None:
        self.embedded = embedded
        self.store = store or embedded.client
        self.sqs = embedded.client("sqs")
        self.queue_url, self.dlq_url = queue_pair(embedded.client, **queue)
        self.table = status_table(self.store, stream=False)
        self.clock = Clock(60)
        self.aws = HookedAws(embedded, self.store, hooks)
        self.metrics = Metrics()
        self.totals: Counter[str] = Counter()
        self.deaths: list[tuple[str, BaseException]] = []
        self.health_file = directory / "health"
        self.health = Health(self.health_file, warn=lambda _problem: None)
        whole: dict[str, Any] = {
            "DYNAMODB_EXPORT_STATUS_TABLE": self.table,
            "SQS_EXPORT_EVENTS_QUEUE_URL": self.queue_url,
            "EXPORT_WRITE_MODE": "single",
            "EXPORT_RECEIVERS": "1",
            "EXPORT_DRAIN_SECONDS": "10",
            **settings,
        }
        aws: Any = self.aws
        self.pipeline = TransitionsPipeline(
            settings=Settings(_env_file=None, **whole),
            aws=aws,
            metrics=self.metrics,
            health=self.health,
            on_death=lambda name, error: self.deaths.append((name, error)),
            clocks=Clocks(self.clock),
            timing=timing or SHORT,
        )

    def send(self, *bodies: str, group: str | None = None) -> list[str]:
        """Sends messages in this order, so that one receive can get ten of them; their ids."""
        ids: list[str] = []
        for start in range(0, len(bodies), 10):
            entries: list[dict[str, Any]] = [
                {"Id": str(number), "MessageBody": body}
                for number, body in enumerate(bodies[start : start + 10])
            ]
            for entry in entries if group else []:
                entry["MessageGroupId"] = group
                entry["MessageDeduplicationId"] = f"{group}-{start}-{entry['Id']}-{len(ids)}"
            answer = self.sqs.send_message_batch(QueueUrl=self.queue_url, Entries=entries)
            ids += [each["MessageId"] for each in answer["Successful"]]
        return ids

    def item(self, key: str = "req-1") -> dict[str, Any] | None:
        """The stored item."""
        return item_of(self.store, self.table, key)

    def put(self, item: Mapping[str, Any]) -> None:
        """Stores an item."""
        self.store("dynamodb").put_item(TableName=self.table, Item=item)

    def left(self) -> int:
        """How many messages the event queue holds, visible or in flight."""
        names = [
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesDelayed",
        ]
        answer = self.sqs.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=names)
        return sum(int(number) for number in answer["Attributes"].values())

    def visible(self) -> int:
        """How many messages of the event queue could be received now."""
        name = "ApproximateNumberOfMessages"
        answer = self.sqs.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=[name])
        return int(answer["Attributes"][name])

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
        for metric, value in line.items():
            if isinstance(value, int | float):
                self.totals[metric] += value  # type: ignore[assignment] # counters of floats
        return self.totals[name]

    def operations(self) -> Counter[str]:
        """How often each operation was called."""
        return Counter(name for name, _ in self.aws.calls)

    def wait_until_empty(self) -> None:
        """Waits until the event queue holds nothing."""
        eventually(lambda: self.left() == 0, 20)

    def stop(self) -> bool:
        """Asks for the end and waits for it; whether it ended as it should."""
        self.pipeline.stop(time.monotonic() + STOP_SECONDS)
        return self.pipeline.join().clean


@contextmanager
def running(
    embedded: EmbeddedAws,
    directory: Path,
    *,
    hooks: Mapping[str, Hook] | None = None,
    settings: Mapping[str, str] | None = None,
    bodies: Sequence[str] = (),
    before: Callable[[Running], object] = lambda _: None,
    store: ClientFactory | None = None,
    timing: Timing | None = None,
    **queue: Any,
) -> Iterator[Running]:
    """A pipeline that has started; it is stopped in the end, and no thread of it may have died.

    Args:
        embedded: the AWS.
        directory: for the health file.
        hooks: by operation, what is called in its place.
        settings: the service's, by variable.
        bodies: messages that are there before the start, so that one receive gets them.
        before: called before the start.
        store: clients of where the table is, if not on the embedded AWS.
        timing: how long the pipeline waits after failures.
        queue: see `queue_pair`.
    """
    made = Running(embedded, directory, hooks or {}, settings or {}, queue, store=store, timing=timing)
    made.send(*bodies)
    before(made)
    made.pipeline.start(threading.Event())
    try:
        yield made
    finally:
        ended = made.stop()
    assert ended
    assert made.deaths == []
