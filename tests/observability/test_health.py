"""Health: a loop that is stuck, dead or spinning is found within its limit; one that only waits is not."""

import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from processor.observability.health import MAX_FILE_AGE_SECONDS, Diagnosis, Health, check
from tests.waiting import eventually

DEADLINE_SECONDS = 60


class Rig:
    """A health that must be able to write its file, and a clock that a test moves."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = 1_000.0
        self.health = Health(path, pytest.fail, lambda: self.now)

    def problems(self, *, passed: float = 0, late: float = 0) -> tuple[str, ...]:
        """What another process would say so late after a write, once this time has passed."""
        self.now += passed
        self.health.write()
        return check(self.path, lambda: self.now + late).problems


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "export-status.health"


@pytest.fixture
def rig(path: Path) -> Rig:
    return Rig(path)


@pytest.fixture
def health(path: Path) -> Health:
    """A health on the real clock."""
    return Health(path, pytest.fail)


def test_a_loop_that_does_not_go_on_is_unhealthy_until_it_does(rig: Rig) -> None:
    stuck, _ = rig.health.loop("receiver-3", 10), rig.health.loop("other", 60)
    assert rig.problems(passed=9) == ()
    assert rig.problems(passed=33) == ("receiver-3 has made no progress for 42 s (limit 10 s)",)
    stuck.beat()
    assert rig.problems() == ()


def test_a_loop_stays_healthy_however_long_it_backs_off(rig: Rig) -> None:
    heartbeat = rig.health.loop("receiver-1", 60)
    problems: list[str] = []

    class Passing(threading.Event):
        """Time passes while it is waited for."""

        def wait(self, timeout: float | None = None) -> bool:
            problems.extend(rig.problems(passed=timeout or 0.0))
            return False

    begun = rig.now
    heartbeat.wait(Passing(), 600)
    assert rig.now - begun == 600
    assert problems == []


def test_a_wait_ends_at_once_when_the_event_is_set_and_else_after_its_time(health: Health) -> None:
    stopping = threading.Event()
    heartbeat = health.loop("receiver-1", 3_600)
    assert heartbeat.wait(stopping, 0.01) is False
    assert heartbeat.wait(stopping, 0) is False
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(heartbeat.wait, stopping, 3_600)
        stopping.set()
        assert waiting.result(DEADLINE_SECONDS) is True


def test_a_closed_loop_is_expected_no_more(rig: Rig) -> None:
    shard, renewer = rig.health.loop("shard shardId-0001", 10), rig.health.loop("lease renewer", 1_000)
    shard.close()
    shard.close()
    assert rig.problems(passed=100) == ()
    renewer.close()
    assert rig.problems() == ("no loop is running",)


def test_two_loops_of_one_name_are_two_and_the_new_one_has_its_whole_limit(rig: Rig) -> None:
    old = rig.health.loop("shard shardId-0001", 10)
    rig.now += 11
    rig.health.loop("shard shardId-0001", 10)
    assert len(rig.problems(passed=9)) == 1
    old.close()
    assert rig.problems() == ()


def test_a_jump_of_the_wall_clock_changes_nothing(
    health: Health, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    health.loop("receiver-1", 60)
    health.write()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    os.utime(path, (0, 0))
    assert check(path).problems == ()


def test_a_degraded_component_is_shown_and_healthy(health: Health, path: Path) -> None:
    health.loop("receiver-1", 60)
    problem = "down for 12 s: PutRecords ProvisionedThroughputExceededException"
    health.report("sink kinesis", problem)
    health.write()
    assert check(path) == Diagnosis(problems=(), degraded=(f"sink kinesis: {problem}",))
    for _ in range(2):
        health.report("sink kinesis", None)
    health.write()
    assert check(path) == Diagnosis(problems=())


def test_a_service_that_was_stopped_or_killed_is_found_by_the_age_of_its_file(rig: Rig) -> None:
    rig.health.loop("receiver-1", 10)
    assert rig.problems(passed=9, late=MAX_FILE_AGE_SECONDS - 1) == (), "a late writer is no stuck loop"
    (old,) = rig.problems(late=MAX_FILE_AGE_SECONDS + 1)
    assert old.endswith("last written 16 s ago: the service is stopped or gone")
    (rebooted,) = rig.problems(late=-900)
    assert rebooted.endswith("is from before this machine was started")


def test_no_file_means_not_running(path: Path) -> None:
    assert check(path).problems == (f"no health file at {path}: the service is not running",)


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"7", b"{", b"\xff\xfe", b'{"written": 1}', b'{"written":"x","loops":[],"degraded":{}}'],
)
def test_a_file_of_another_program_is_unhealthy_in_one_line(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert check(path).problems == (f"{path} is not a health file",)


def test_a_path_that_cannot_be_read_is_unhealthy_in_one_line(tmp_path: Path) -> None:
    assert check(tmp_path).problems == (f"the health file {tmp_path} cannot be read: Is a directory",)


@pytest.mark.slow
def test_a_reader_sees_the_whole_file_or_none(health: Health, path: Path) -> None:
    for number in range(200):  # large, so that half of it would show
        health.loop(f"receiver-{number}", 3_600)
    health.write()
    with ThreadPoolExecutor(2) as pool:
        writing = [pool.submit(health.write) for _ in range(1_000)]
        while not all(each.done() for each in writing):
            assert check(path).problems == ()
            assert len(json.loads(path.read_text())["loops"]) == 200
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]  # no temporary file stays


@pytest.fixture(params=["missing/health", "full", "file/health"])
def unwritable(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A path whose folder is missing, that is a folder itself, or whose folder is a file."""
    (tmp_path / "full" / "x").mkdir(parents=True)
    (tmp_path / "file").touch()
    path: Path = tmp_path / request.param
    return path


def test_an_unwritable_file_is_reported_once_and_the_service_goes_on(unwritable: Path) -> None:
    warnings: list[str] = []
    health = Health(unwritable, warnings.append)
    heartbeat = health.loop("receiver-1", 60)
    health.start()
    for _ in range(3):
        heartbeat.beat()
        health.write()
    health.stop()
    (warning,) = warnings
    assert warning.startswith("the health file cannot be written (")
    assert warning.endswith("): healthcheck will fail")


def test_a_file_that_becomes_writable_is_written(tmp_path: Path) -> None:
    warnings: list[str] = []
    path = tmp_path / "later" / "health"
    health = Health(path, warnings.append)
    health.loop("receiver-1", 60)
    health.write()
    path.parent.mkdir()
    health.write()
    assert check(path).problems == ()
    assert len(warnings) == 1


def test_a_link_under_the_temporary_name_is_not_followed(path: Path) -> None:
    victim = path.with_name("victim")
    victim.write_text("precious")
    path.with_name(f".{path.name}.{os.getpid()}").symlink_to(victim)
    Health(path, lambda _problem: None).write()
    assert victim.read_text() == "precious"


def test_start_writes_at_once_and_stop_takes_the_file_away(health: Health, path: Path) -> None:
    health.loop("receiver-1", 60)
    health.start()
    assert check(path).problems == ()
    health.stop()
    health.stop()
    assert not path.exists()


@pytest.mark.slow
def test_the_file_is_kept_up_to_date(health: Health, path: Path) -> None:
    health.loop("receiver-1", 60)
    health.start()
    first = json.loads(path.read_text())["written"]
    eventually(lambda: json.loads(path.read_text())["written"] > first, DEADLINE_SECONDS)
    health.stop()


def test_stop_before_start_is_no_error(health: Health, path: Path) -> None:
    health.stop()
    assert not path.exists()
