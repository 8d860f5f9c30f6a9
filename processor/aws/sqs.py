"""SQS's quotas, its batch calls and its redrive policy, each in one place."""

import json
import math
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from processor.aws.calls import api_name, call
from processor.aws.errors import AwsError, Misconfigured, Rejected, Transient
from processor.backoff import BackOff, short_back_off

SQS_MAX_BATCH = 10  # entries of a batch call, messages of a receive ("Amazon SQS message quotas")
SQS_MAX_BATCH_BYTES = 256 * 1_024  # of one batch call: every queue takes these, whatever its own limit
SQS_MAX_RECEIVES = 1_000  # maxReceiveCount ("SetQueueAttributes")
NOT_IN_SQS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
"""Characters that SQS refuses in bodies and attributes ("SendMessage")."""

BATCH_TRIES = 3

Entry = Mapping[str, Any]
"""An entry of a batch call without its `Id`, which is its position."""


@dataclass(frozen=True, slots=True)
class BatchResult:
    """SQS's answers for the entries of a batch, by position.

    Attributes:
        done: what is done; the new message's id, or an empty text for calls that make none.
        refused: SQS's error code for what no further try can help.
        left: neither; the same call may work later.
        answered: whether SQS answered the last call, also with a refusal.
        error: why the last call failed as a whole; None if it did not.
    """

    done: Mapping[int, str]
    refused: Mapping[int, str]
    left: Sequence[int] = ()
    answered: bool = True
    error: AwsError | None = None

    @property
    def not_taken(self) -> list[int]:
        """The positions of all entries that are not done."""
        return sorted([*self.refused, *self.left])


def batch_call(
    method: Callable[..., Any],
    url: str,
    entries: Sequence[Entry],
    *,
    stop: threading.Event,
    deadline: float = math.inf,
    tries: int = BATCH_TRIES,
    on_retry: Callable[[int], None] = lambda _entries: None,
    monotonic: Callable[[], float] = time.monotonic,
    back_off: Callable[[], BackOff] = short_back_off,
) -> BatchResult:
    """Makes a batch call for any number of entries, and repeats it for those that failed for SQS's reasons.

    A queue that does not answer gets all tries for the first call only, then one for each call, because each
    costs a time-out. If SQS refuses a whole call, its entries are sent one by one: that shows which is at
    fault.

    Args:
        method: a batch method of an SQS client, such as `client.delete_message_batch`.
        url: the queue's URL.
        entries: without `Id`.
        stop: once set, nothing is waited for: no call is repeated, and a silent queue gets no further call.
        deadline: no call begins after it (`monotonic()` seconds).
        tries: how often one entry is sent at most.
        on_retry: called before each repeated call with its number of entries.
        monotonic: the clock of the deadline.
        back_off: makes the back-off of one call.

    Returns:
        What became of each entry. AWS's errors are in it: nothing is raised for them.
    """
    batch = _Batch(method, url, entries, stop, deadline, on_retry, monotonic, back_off)
    for positions in runs(entries):
        if not batch.answered and stop.is_set():
            break
        batch.send(positions, tries if batch.answered else 1)
    return batch.result()


def runs(entries: Sequence[Entry]) -> Iterator[range]:
    """Cuts entries into runs that one call takes, by number and by bytes; an entry beyond the limit of bytes
    goes alone."""
    start = size = 0
    for index, entry in enumerate(entries):
        length = payload_bytes(entry)
        if index > start and (index - start == SQS_MAX_BATCH or size + length > SQS_MAX_BATCH_BYTES):
            yield range(start, index)
            start, size = index, 0
        size += length
    if start < len(entries):
        yield range(start, len(entries))


def payload_bytes(entry: Entry) -> int:
    """The bytes that SQS counts of a message: its body, and names, types and values of its attributes. System
    attributes do not count ("Amazon SQS message metadata")."""
    attributes: Mapping[str, Mapping[str, Any]] = entry.get("MessageAttributes", {})
    return len(entry.get("MessageBody", "").encode()) + sum(
        len(name.encode())
        + len(value["DataType"].encode())
        + len(value.get("StringValue", "").encode())
        + len(value.get("BinaryValue", b""))
        for name, value in attributes.items()
    )


@dataclass(slots=True)
class _Batch:
    method: Callable[..., Any]
    url: str
    entries: Sequence[Entry]
    stop: threading.Event
    deadline: float
    on_retry: Callable[[int], None]
    monotonic: Callable[[], float]
    make_back_off: Callable[[], BackOff]
    answered: bool = True
    called: bool = False
    error: AwsError | None = None
    done: dict[int, str] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)

    def send(self, positions: Sequence[int], tries: int) -> None:
        """Sends the entries of one call, at most `tries` times."""
        left = list(positions)
        back_off = self.make_back_off()
        for attempt in range(tries):
            if attempt:
                if self.stop.wait(back_off.failed()):
                    return
                self.on_retry(len(left))
            if self.monotonic() >= self.deadline:
                return
            self.called, self.answered, self.error = True, True, None
            try:
                self._call(left)
            except Misconfigured as error:
                self.error = error
                return
            except Rejected as error:
                self._each_alone(left, error, tries)
                return
            except AwsError as error:
                self.answered, self.error = False, error
                continue
            left = [index for index in left if index not in self.done and index not in self.refused]
            if not left:
                return

    def result(self) -> BatchResult:
        """What has become of the entries."""
        known = self.done.keys() | self.refused.keys()
        left = [index for index in range(len(self.entries)) if index not in known]
        answered = self.answered and (self.called or not left)
        return BatchResult(self.done, self.refused, left, answered, self.error)

    def _call(self, positions: Sequence[int]) -> None:
        entries = [{"Id": str(index), **self.entries[index]} for index in positions]
        answer = call(self.method, QueueUrl=self.url, Entries=entries)
        sent = frozenset(positions)
        try:
            done = {int(each["Id"]): str(each.get("MessageId", "")) for each in answer.get("Successful", [])}
            refused = {
                int(each["Id"]): str(each.get("Code", ""))
                for each in answer.get("Failed", [])
                if each.get("SenderFault")
            }
        except (LookupError, TypeError, ValueError, AttributeError):
            raise Transient(api_name(self.method), "UnreadableAnswer") from None
        self.done |= {index: message_id for index, message_id in done.items() if index in sent}
        self.refused |= {index: code for index, code in refused.items() if index in sent}

    def _each_alone(self, positions: Sequence[int], error: Rejected, tries: int) -> None:
        if len(positions) == 1:
            self.refused[positions[0]] = error.code
            return
        for index in positions:
            self.send([index], tries)
            if not self.answered or isinstance(self.error, Misconfigured):
                return


@dataclass(frozen=True, slots=True)
class RedrivePolicy:
    """Where a queue moves what was received too often; both None where it has no policy."""

    dead_letter_arn: str | None = None
    max_receive_count: int | None = None


def redrive_policy(attributes: Mapping[Any, str]) -> RedrivePolicy:
    """Reads the redrive policy from a queue's attributes."""
    policy: dict[str, Any] = json.loads(attributes.get("RedrivePolicy") or "{}")
    count = policy.get("maxReceiveCount")
    return RedrivePolicy(policy.get("deadLetterTargetArn"), None if count is None else int(count))
