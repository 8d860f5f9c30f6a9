"""Fixtures that every test may ask for: the emulators, each started once, and clients for them."""

import functools
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from processor.localaws.clients import emulator_client
from processor.localaws.embedded_aws import EmbeddedAws
from tests.engines.dynamodb_local import DynamoDbLocal
from tests.engines.ministack import Ministack
from tests.resources import ClientFactory

# An example has no deadline: machines that run these tests may be busy. Each run has the same examples.
busy = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("busy", busy)
settings.register_profile("quick", busy, max_examples=20)

# A process that a shell starts in the background ignores Ctrl-C, and so would each process that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

TESTS = Path(__file__).parent
PROCESS_MODULES = {
    "tests.aws.hostile_server",
    "tests.cli.processes",
    "tests.docs.pipes",
    "tests.docs.shell",
    "tests.support.commands",
    "tests.support.service",
}
"""Helpers that start processes, and a server whose tests wait for its silence."""

ENGINES = {"embedded_aws", "dynamodb_local", "ministack", "moto"}
"""Fixtures, and parameters of tests, that stand for an emulator."""

PROCESS_FOLDERS = (
    "aws_lambda",
    "benchmarks",
    "conformance",
    "engines",
    "examples",
    "faults",
    "infra",
    "localaws",
    "soak",
)
"""Folders whose tests start emulators or processes by themselves."""


def pytest_configure(config: pytest.Config) -> None:
    """`make quick` tries fewer examples."""
    settings.load_profile("quick" if _only_quick(config) else "busy")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """`make quick` does not even import the tests of these folders."""
    if _only_quick(config) and collection_path.parent == TESTS and collection_path.name in PROCESS_FOLDERS:
        return True
    return None


@pytest.hookimpl(tryfirst=True)  # before pytest selects tests by their marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks the tests of `make quick`: those that start no emulator and no process, and are not slow.

    A test of `make quick` that starts a process fails: its mark is wrong.
    """
    for item in items:
        if isinstance(item, pytest.Function) and _is_quick(item):
            item.add_marker("quick")
    # A long file that starts last would keep one process busy and the others waiting.
    long_files = {item.path for item in items if not item.get_closest_marker("quick")}
    items.sort(key=lambda item: item.path not in long_files)
    if _only_quick(config):
        sys.addaudithook(_refuse_processes)


def _only_quick(config: pytest.Config) -> bool:
    return bool(config.getoption("markexpr") == "quick")


def _is_quick(item: pytest.Function) -> bool:
    callspec = getattr(item, "callspec", None)
    parameters = [each for each in callspec.params.values() if isinstance(each, str)] if callspec else []
    starts_engine = not ENGINES.isdisjoint([*item.fixturenames, *parameters])
    starts_process = item.path.relative_to(TESTS).parts[0] in PROCESS_FOLDERS or any(
        each is subprocess or getattr(each, "__module__", None) in PROCESS_MODULES
        for each in vars(item.module).values()
    )
    return not (starts_engine or starts_process or item.get_closest_marker("slow"))


def _refuse_processes(event: str, _: tuple[object, ...]) -> None:
    if event in {"subprocess.Popen", "os.posix_spawn", "os.fork", "os.exec"}:
        raise RuntimeError(
            "a test of `make quick` starts a process: mark it as slow, or see tests/conftest.py"
        )


@pytest.fixture(scope="session")
def embedded_aws() -> Iterator[EmbeddedAws]:
    """The embedded AWS, shared by all tests. Expired items go within 0.2 s, where a table has TTL enabled."""
    with EmbeddedAws(reap_seconds=0.2) as aws:
        yield aws


@pytest.fixture(scope="session")
def clients() -> Callable[[str], ClientFactory]:
    """`clients(endpoint_url)("sqs")`: a boto3 client of an emulator. Each is made once."""

    @functools.cache
    def at(endpoint_url: str) -> ClientFactory:
        return functools.cache(functools.partial(emulator_client, endpoint_url=endpoint_url))

    return at


@pytest.fixture(scope="session")
def dynamodb_local() -> Iterator[str]:
    """The endpoint URL of a DynamoDB Local. Tests that ask for it carry the mark `dynamodb_local`."""
    with DynamoDbLocal().require() as engine:
        yield engine.endpoint_url


@pytest.fixture(scope="session")
def ministack() -> Iterator[str]:
    """The endpoint URL of a ministack without authorization."""
    with Ministack().require() as engine:
        yield engine.endpoint_url
