"""Logs: whole JSON lines through one output, every string masked, exceptions named and never quoted."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog

from processor.observability.log import LineOutput, configure_logging, debug_is_on, get_logger, stdout_lines
from tests.handlers.making import SECRET, SIGNED_URL

LEVELS = ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]


@pytest.fixture(autouse=True)
def _defaults_afterwards() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in ("boto3", "botocore", "urllib3", "s3transfer"):
        logging.getLogger(name).setLevel(logging.NOTSET)


class Written(io.StringIO):
    """What is logged, as text and as JSON objects."""

    def __init__(self, level: str = "DEBUG", log_format: str = "json") -> None:
        super().__init__()
        self.output = LineOutput(self)
        configure_logging(level, log_format, self.output)

    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]


@pytest.fixture
def written() -> Written:
    """What is logged as JSON, from DEBUG on, unless the test sets up another output."""
    return Written()


def test_a_line_is_json_with_timestamp_level_and_event(written: Written) -> None:
    get_logger().info("something_happened", number=7, text="\u00fc", nothing=None, flag=True)
    [line] = written.objects()
    assert abs((datetime.now(UTC) - datetime.fromisoformat(line.pop("timestamp"))).total_seconds()) < 60
    fields = {"number": 7, "text": "\u00fc", "nothing": None, "flag": True}
    assert line == {"level": "info", "event": "something_happened", **fields}


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize("level", LEVELS)
def test_no_signed_url_is_in_any_line_wherever_it_was_put(level: str, log_format: str) -> None:
    written = Written(level, log_format)
    log = get_logger(bound=SIGNED_URL)
    values: dict[str, Any] = {
        "text": SIGNED_URL,
        "long": "x" * 1_990 + SIGNED_URL,
        "inside": {"list": [SIGNED_URL, {"deep": (SIGNED_URL,)}], SIGNED_URL: 1, "set": {SIGNED_URL}},
        "error": ValueError(SIGNED_URL),
        "path": Path(SIGNED_URL),
        "other": object(),
    }
    for method in (log.debug, log.info, log.warning, log.error, log.critical):
        method("event", **values)
    try:
        int(SIGNED_URL)
    except ValueError as error:
        log.critical("died", exc_info=error)
        log.exception("died too")
        logging.getLogger("some.library").critical("bad: %s", SIGNED_URL, exc_info=True)
    logging.getLogger("botocore.endpoint").critical("request to %s", SIGNED_URL)
    assert written.getvalue().count("\n") >= 4
    assert SECRET not in written.getvalue()


def test_an_exception_is_named_by_type_and_place_and_not_quoted(written: Written) -> None:
    try:
        int("not a number")
    except ValueError as error:
        get_logger().error("failed", exc_info=error)
    [line] = written.objects()
    assert line["error_type"] == "ValueError"
    assert line["error_at"].startswith("test_an_exception_is_named_by_type_and_place_and_not_quoted:")
    assert "not a number" not in written.getvalue()


def test_what_libraries_log_becomes_lines_of_ours() -> None:
    written = Written("INFO")
    get_logger().debug("not this")
    logging.getLogger("some.library").info("count %d", 3)
    logging.getLogger("some.library").debug("not this")
    logging.getLogger("some.library").warning("%d", "no number")
    lines = written.objects()
    assert [(line["event"], line["logger"], line["level"], line["message"]) for line in lines] == [
        ("library_log", "some.library", "info", "count 3"),
        ("library_log", "some.library", "warning", "%d"),
    ]


@pytest.mark.parametrize("level", LEVELS)
def test_the_sdk_s_loggers_never_go_below_warning(level: str) -> None:
    Written(level)
    for name in ("boto3", "botocore", "urllib3", "botocore.endpoint", "urllib3.connectionpool"):
        assert not logging.getLogger(name).isEnabledFor(logging.INFO)
    assert debug_is_on() == (level == "DEBUG")


def test_the_console_format_escapes_what_a_terminal_would_act_on() -> None:
    written = Written("INFO", "console")
    get_logger().info("odd", request_id="a\x1b[2Jb\x9bc\u202ed", text="one\ntwo\u2028three", parts=["\x1b"])
    shown = written.getvalue()
    assert r"a\x1b[2Jb\x9bc\u202ed" in shown
    assert shown.count("\n") == 1
    assert not {"\x9b", "\u202e", "\u2028"} & set(shown)
    assert "\x1b[2J" not in shown


def test_a_lone_surrogate_and_a_very_long_text_are_still_a_line(written: Written) -> None:
    get_logger().info("odd", text="\ud800", long="x" * 100_000)
    [line] = written.objects()
    assert line["text"] == "?"
    assert len(line["long"]) == 2_000


def test_lines_of_many_threads_are_whole(written: Written) -> None:
    def write(number: int) -> None:
        for turn in range(200):
            get_logger().info("turn", thread=number, turn=turn, filler="x" * 100)
            written.output.write_line(json.dumps({"event": "audit", "thread": number, "turn": turn}))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    lines = [(line["thread"], line["turn"]) for line in written.objects() if line["event"] == "audit"]
    assert len(written.objects()) == 2 * len(lines)
    for number in range(8):
        assert [turn for thread, turn in lines if thread == number] == list(range(200))


class Broken(Written):
    """A stream whose reader has gone."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_a_log_line_that_cannot_be_written_is_counted_and_raises_nothing() -> None:
    output = Broken().output
    get_logger().error("lost")
    get_logger().error("lost too")
    assert output.lost_lines == 2
    with pytest.raises(OSError):  # noqa: PT011 - any kind of it
        output.write_line("an audit line must know")


def test_a_closed_stream_is_an_os_error() -> None:
    stream = io.StringIO()
    stream.close()
    output = LineOutput(stream)
    with pytest.raises(OSError, match="standard output is closed"):
        output.write_line("x")
    output.write_log_line("x")
    assert output.lost_lines == 1


def test_standard_output_is_utf_8_whatever_the_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    configure_logging("INFO", "json")
    get_logger().info("named", file_name="Gr\u00f6\u00dfe \U0001f600.csv")
    stdout_lines().write_line("\u00fc")
    first, second = raw.getvalue().decode().splitlines()
    assert json.loads(first)["file_name"] == "Gr\u00f6\u00dfe \U0001f600.csv"
    assert second == "\u00fc"
    assert stdout_lines().lost_lines == 0
