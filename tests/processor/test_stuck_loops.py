"""The service's own loops and the health check: stuck or dead ones are found in time, throttled ones are not.

The pipelines run whole, with their own threads; only the limits are a sixtieth of the real ones. The file
holds them, and each test measures from the moment when the loop stopped to the first failing check.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from processor.audit.pipeline import build_consumer
from processor.aws.clients import Aws
from processor.observability.health import Health, Heartbeat, check
from processor.observability.metrics import Metrics
from processor.settings import load_aws_settings, load_settings
from processor.streams.context import ConsumerSettings
from processor.transitions.context import PipelineContext
from processor.transitions.pipeline import TransitionsPipeline
from tests.benchmarks.standin_table import ACCOUNT, REGION, TABLE
from tests.benchmarks.standin_world import DLQ, QUEUE, World
from tests.simulated_stream.client import SimulatedStreamsClient, error
from tests.simulated_stream.model import SimulatedTable
from tests.simulated_stream.rows import SimulatedRows
from tests.waiting import eventually

HASTE = 60
DEADLINE_SECONDS = 30.0
WATCHED_SECONDS = 5.5  # twice the longest limit, as shortened
LONGEST_LIMIT_SECONDS = 180.0
"""Of a loop of the service, not shortened: after three minutes without progress the task is replaced."""


class PatientClock:
    """Counts at most half a second from one reading to the next: where all stands still, no loop is stuck."""

    def __init__(self) -> None:
        self._now = self._read_at = time.monotonic()
        self._lock = threading.Lock()

    def __call__(self) -> float:
        with self._lock:
            read_at = time.monotonic()
            self._now += min(read_at - self._read_at, 0.5)
            self._read_at = read_at
            return self._now


class HastyHealth(Health):
    """The service's health, with limits that a test can wait for."""

    def __init__(self, path: Path) -> None:
        self.clock = PatientClock()
        super().__init__(path, pytest.fail, self.clock)

    def loop(self, name: str, limit_seconds: float) -> Heartbeat:
        return super().loop(name, limit_seconds / HASTE)


class Defect(BaseException):
    """What nothing on the way takes for an answer of AWS."""


class Trouble:
    """What happens to the calls of some operations: nothing, no answer, a refusal, or a defect of ours."""

    def __init__(self, *operations: str) -> None:
        self.operations = operations
        self.hangs = False
        self.throttles = False
        self.breaks_once = False
        self.over = threading.Event()
        self.met = threading.Semaphore(0)

    def meet(self, operation: str) -> bool:
        """Called by each call before it is answered; whether it is to be throttled."""
        if operation not in self.operations or self.over.is_set():
            return False
        if self.breaks_once:
            self.breaks_once = False
            self.met.release()
            raise Defect
        if not (self.hangs or self.throttles):
            return False
        self.met.release()
        if self.hangs:
            self.over.wait(DEADLINE_SECONDS)
        return self.throttles

    def wait_until_met(self, times: int = 1) -> None:
        for _ in range(times):
            assert self.met.acquire(timeout=DEADLINE_SECONDS)


class TroubledClient:
    """A client whose calls meet the trouble first."""

    def __init__(self, client: object, trouble: Trouble) -> None:
        self._client = client
        self._trouble = trouble

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def called(**arguments: Any) -> Any:
            if self._trouble.meet(name):
                raise error(name, "ThrottlingException")
            return method(**arguments)

        return called


@pytest.fixture
def health(tmp_path: Path) -> HastyHealth:
    return HastyHealth(tmp_path / "health")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "health"


def problems(health: HastyHealth, path: Path) -> tuple[str, ...]:
    health.write()
    return check(path, health.clock).problems


def limits(path: Path) -> dict[str, float]:
    """The limit of each loop in seconds as in the health file, not shortened."""
    state = json.loads(path.read_text())
    return {loop["name"]: loop["limitSeconds"] * HASTE for loop in state["loops"]}


def first_problems(health: HastyHealth, path: Path, since: float, count: int = 1) -> tuple[str, ...]:
    """Waits until loops are found stuck, and asserts that this came within their limits.

    Args:
        health: of the service.
        path: the health file.
        since: when the loops stopped, by its clock.
        count: how many.
    """
    healthy_at = since

    def found() -> tuple[str, ...]:
        nonlocal healthy_at
        begun = health.clock()
        seen = problems(health, path)
        if len(seen) >= count:
            return seen
        healthy_at = begun
        return ()

    shown = eventually(found, DEADLINE_SECONDS, every_seconds=0.02)
    known = limits(path)
    assert all(0 < limit <= LONGEST_LIMIT_SECONDS for limit in known.values()), known
    stuck = [known[line.partition(" has made no progress for ")[0]] for line in shown]
    # No check that began after the limit found the loops healthy, however seldom a busy machine checks.
    assert healthy_at - since <= max(stuck) / HASTE
    return shown


def watch(health: HastyHealth, path: Path) -> set[str]:
    """Every problem that a check in quick succession finds in the next seconds."""
    found: set[str] = set()
    end, pause = time.monotonic() + WATCHED_SECONDS, threading.Event()
    while time.monotonic() < end:
        found |= set(problems(health, path))
        pause.wait(0.05)
    return found


# -- transitions


@pytest.fixture
def queue_trouble() -> Trouble:
    return Trouble("ReceiveMessage")


@pytest.fixture
def endpoint(queue_trouble: Trouble) -> Iterator[str]:
    """SQS and DynamoDB, with an empty queue and the trouble."""
    world = World()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            operation = self.headers["X-Amz-Target"].partition(".")[2]
            if queue_trouble.meet(operation):
                status, members = (
                    400,
                    {"__type": "com.amazonaws.sqs#RequestThrottled", "message": "slow down"},
                )
            else:
                status, members = world.call(operation, request)
                if operation == "ReceiveMessage":
                    threading.Event().wait(0.1)  # a long poll that is short
            body = json.dumps(members).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.0")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_request(self, code: object = "-", size: object = "-") -> None:
            """Nobody reads the server's log."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        queue_trouble.over.set()
        server.shutdown()
        thread.join(DEADLINE_SECONDS)


@pytest.fixture
def receiving(
    endpoint: str,
    queue_trouble: Trouble,
    health: HastyHealth,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[TransitionsPipeline]:
    """The transitions pipeline with one receiver that polls and one that is not needed."""
    monkeypatch.chdir(tmp_path)
    settings: Mapping[str, str] = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "DYNAMODB_EXPORT_STATUS_TABLE": TABLE,
        "SQS_EXPORT_EVENTS_QUEUE_URL": f"{endpoint}/{ACCOUNT}/{QUEUE}",
        "SQS_EXPORT_EVENTS_DLQ_URL": f"{endpoint}/{ACCOUNT}/{DLQ}",
        "EXPORT_RECEIVERS": "2",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    loaded = load_settings()
    aws = Aws(load_aws_settings(loaded), threads=loaded.receivers, poll_seconds=loaded.poll_seconds)
    context = PipelineContext(loaded, Metrics(), health)
    pipeline = TransitionsPipeline(aws, context, on_death=lambda name, _: pytest.fail(name))
    pipeline.start(threading.Event())
    yield pipeline
    queue_trouble.over.set()
    pipeline.stop(time.monotonic() + DEADLINE_SECONDS)
    assert pipeline.join().clean


def test_a_stuck_receiver_is_unhealthy_until_it_goes_on(
    receiving: TransitionsPipeline, queue_trouble: Trouble, health: HastyHealth, path: Path
) -> None:
    assert problems(health, path) == ()
    queue_trouble.hangs = True
    queue_trouble.wait_until_met()
    found = first_problems(health, path, health.clock())
    assert [line.partition(" has made no progress for ")[0] for line in found] == ["receiver-0"]
    queue_trouble.over.set()
    eventually(lambda: problems(health, path) == (), DEADLINE_SECONDS)


def test_receivers_that_sqs_throttles_stay_healthy(
    receiving: TransitionsPipeline, queue_trouble: Trouble, health: HastyHealth, path: Path
) -> None:
    queue_trouble.throttles = True
    queue_trouble.wait_until_met()
    assert watch(health, path) == set()
    queue_trouble.wait_until_met()


# -- audit


class AuditParts:
    """The audit pipeline over a simulated stream and leases table, one of whose calls can be in trouble."""

    def __init__(self, health: Health, *, streams: Trouble, leases: Trouble) -> None:
        self.table = SimulatedTable("export-status", time.time, shards=1)
        self.rows = SimulatedRows()
        self.deaths: list[str] = []
        self.expected_deaths: list[str] = []
        self.pipeline = build_consumer(
            TroubledClient(SimulatedStreamsClient(self.table), streams),
            TroubledClient(self.rows, leases),
            ConsumerSettings("export-status", "leases", failover_seconds=1.0),
            sinks=[],
            quarantine=None,
            metrics=Metrics(),
            health=health,
            on_death=lambda name, _: self.deaths.append(name),
        )

    def wait_until_reading(self) -> None:
        eventually(lambda: any("leaseOwner" in row for row in self.rows.rows.values()), DEADLINE_SECONDS)


@pytest.fixture
def audit(health: HastyHealth) -> Iterator[Callable[..., AuditParts]]:
    """Starts the audit pipeline with a trouble; it is over at the end."""
    started: list[tuple[AuditParts, list[Trouble]]] = []
    no_trouble = Trouble()

    def start(*, streams: Trouble = no_trouble, leases: Trouble = no_trouble) -> AuditParts:
        parts = AuditParts(health, streams=streams, leases=leases)
        started.append((parts, [streams, leases]))
        parts.pipeline.start()
        parts.wait_until_reading()
        return parts

    yield start
    for parts, troubles in started:
        for trouble in troubles:
            trouble.over.set()
        parts.pipeline.stop(time.monotonic() + DEADLINE_SECONDS)
        assert parts.pipeline.join().clean
        assert parts.deaths == parts.expected_deaths


def test_a_stuck_shard_reader_is_unhealthy_until_it_goes_on(
    audit: Callable[..., AuditParts], health: HastyHealth, path: Path
) -> None:
    trouble = Trouble("get_records")
    audit(streams=trouble)
    assert problems(health, path) == ()
    trouble.hangs = True
    trouble.wait_until_met()
    (problem,) = first_problems(health, path, health.clock())
    assert problem.startswith("stream-readers-")
    trouble.over.set()
    eventually(lambda: problems(health, path) == (), DEADLINE_SECONDS)


def test_a_stuck_lease_renewer_is_unhealthy(
    audit: Callable[..., AuditParts], health: HastyHealth, path: Path
) -> None:
    trouble = Trouble("update_item")
    audit(leases=trouble)
    trouble.hangs = True
    trouble.wait_until_met()
    found = first_problems(health, path, health.clock())
    assert any(problem.startswith("stream-renewals-") for problem in found)


def test_a_dead_lease_renewer_is_reported_and_unhealthy_while_the_other_threads_go_on(
    audit: Callable[..., AuditParts], health: HastyHealth, path: Path
) -> None:
    trouble = Trouble("update_item")
    parts = audit(leases=trouble)
    trouble.breaks_once = True  # what is due next is a renewal
    trouble.wait_until_met()
    (problem,) = first_problems(health, path, health.clock())
    (dead,) = parts.deaths
    parts.expected_deaths = [dead]
    assert dead.startswith("stream-renewals-")
    assert problem.startswith(f"{dead} has made no progress for ")


def test_an_audit_that_aws_throttles_stays_healthy(
    audit: Callable[..., AuditParts], health: HastyHealth, path: Path
) -> None:
    streams, leases = Trouble("get_records", "describe_stream"), Trouble("update_item", "scan")
    audit(streams=streams, leases=leases)
    streams.throttles = leases.throttles = True
    streams.wait_until_met()
    leases.wait_until_met()
    assert watch(health, path) == set()
