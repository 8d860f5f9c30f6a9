"""The one way out to standard output: whole lines, and logs whose every string is masked.

Log lines, audit lines and metrics share one stream (docs/contract.md, section 5), so each is written whole
under one lock.
"""

import io
import logging
import sys
import threading
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO

import structlog

from handlers.masking import mask_urls

_NOISY_LOGGERS = ("boto3", "botocore", "urllib3", "s3transfer")  # their DEBUG lines hold headers and bodies
MAX_FIELD_CHARS = 2_000
LogEvent = MutableMapping[str, Any]


class LineOutput:
    """Writes whole lines to a text stream (standard output by default), flushed before the call returns."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self.lost_lines = 0
        """How many log lines could not be written since the start."""
        self._torn = False

    def write_line(self, line: str) -> None:
        """Writes the line and flushes it.

        Raises:
            OSError: if the line may not have been written whole (also for a closed stream).
        """
        with self._lock:
            # What a failed write left behind must not be glued to this line.
            text = f"\n{line}\n" if self._torn else f"{line}\n"
            self._torn = True
            try:
                _write_whole(self._stream or sys.stdout, text)
            except ValueError as closed:  # "I/O operation on closed file"
                raise OSError("standard output is closed") from closed
            self._torn = False

    def write_log_line(self, line: str) -> None:
        """As `write_line`, but a line that cannot be written is counted instead of raised: a log that
        cannot be written must not change the outcome of an event."""
        try:
            self.write_line(line)
        except OSError:
            self.lost_lines += 1


def _write_whole(stream: TextIO, text: str) -> None:
    """Writes and flushes; an unbuffered output may take a part at a time and call that a success."""
    binary = getattr(stream, "buffer", None)
    if binary is None:
        stream.write(text)
        stream.flush()
        return
    stream.flush()
    left = memoryview(text.encode(errors="backslashreplace"))
    while left:
        taken = binary.write(left)
        if not taken:
            raise BlockingIOError("standard output takes nothing at the moment")
        left = left[taken:]
    binary.flush()


_stdout = LineOutput()


def stdout_lines() -> LineOutput:
    """The output that logs, audit lines and metrics share."""
    return _stdout


def configure_logging(
    level: str = "INFO", log_format: str = "json", output: LineOutput | None = None
) -> None:
    """Sets up structlog and the standard library's root logger to write to the shared output.

    Args:
        level: DEBUG, INFO, WARNING, ERROR or CRITICAL.
        log_format: `json` (one object a line) or `console` (for people at a terminal).
        output: where lines go; standard output by default.
    """
    lines = output or stdout_lines()
    if output is None and isinstance(sys.stdout, io.TextIOWrapper):
        # JSON is UTF-8 in every locale; else one file name could hold up an audit line without end.
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    processors: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        name_exception,
        mask_event,
    ]
    if log_format == "console":
        console = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        processors += [escape_controls, console]
    else:
        named = structlog.processors.JSONRenderer(
            ensure_ascii=False, default=lambda value: mask_urls(type(value).__name__)
        )
        processors.append(named)
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level)),
        logger_factory=lambda *_: _LineLogger(lines),
        cache_logger_on_first_use=False,
    )
    handler = _ForeignHandler()
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _NOISY_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)


def get_logger(**fields: object) -> structlog.typing.FilteringBoundLogger:
    """A logger whose lines carry the given fields; the first argument of a call is the stable event name."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(**fields)
    return logger


def debug_is_on() -> bool:
    """Whether DEBUG lines are written: what they show need not be put together otherwise."""
    return logging.getLogger().isEnabledFor(logging.DEBUG)


def name_exception(_logger: object, _method: str, event: LogEvent) -> LogEvent:
    """Replaces an exception by its type: it may hold a producer's data (docs/contract.md, section 4)."""
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, BaseException):
        event.setdefault("error_type", type(error).__name__)
        frame = error.__traceback__
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        if frame is not None:
            code = frame.tb_frame.f_code
            event.setdefault("error_at", f"{code.co_qualname}:{frame.tb_lineno}")
    return event


def mask_event(_logger: object, _method: str, event: LogEvent) -> LogEvent:
    """Masks every string of a log line, bounds its length, and puts the fields that all lines have first."""
    leading = {name: event.pop(name) for name in ("timestamp", "level", "event") if name in event}
    return {name: _masked(value) for name, value in {**leading, **event}.items()}


def escape_controls(_logger: object, _method: str, event: LogEvent) -> LogEvent:
    """Escapes control characters, which a terminal would act on. Values within lists are shown as `repr`."""
    return {
        _escaped(name): _escaped(value) if isinstance(value, str) else value for name, value in event.items()
    }


def _escaped(text: str) -> str:
    return text if text.isprintable() else repr(text)[1:-1]


def _masked(value: object) -> object:
    match value:
        case str():
            return mask_urls(value[:MAX_FIELD_CHARS]).encode(errors="replace").decode()
        case bool() | int() | float() | None:
            return value
        case Mapping():
            return {mask_urls(str(key)): _masked(inner) for key, inner in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_masked(inner) for inner in value]
        case BaseException():
            return type(value).__name__
        case _:
            return mask_urls(str(value))


class _LineLogger:
    """What structlog calls with a finished line, whatever the level's name."""

    def __init__(self, lines: LineOutput) -> None:
        self._lines = lines

    def msg(self, line: str) -> None:
        self._lines.write_log_line(line)

    debug = info = warning = error = critical = exception = log = fatal = warn = msg


class _ForeignHandler(logging.Handler):
    """Brings what libraries log into our lines: level, logger's name and the text, masked."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except (TypeError, ValueError, KeyError):  # its arguments do not fit: no reason to fail its caller
            message = str(record.msg)
        fields: dict[str, object] = {"logger": record.name, "message": message}
        if record.exc_info and record.exc_info[0]:
            fields["error_type"] = record.exc_info[0].__name__
        get_logger().log(record.levelno, "library_log", **fields)
