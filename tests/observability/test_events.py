"""The registry of log events and the log calls of the service name the same events, levels and fields."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from processor.observability.events import LOG_EVENTS, SECTIONS, Level
from tests.docs.markdown import ROOT

REGISTRY = ROOT / "processor" / "observability" / "events.py"
OTHER_VOICES = {"cli", "demo", "localaws"}  # they write no log events, but a command's output
LEVELS = {level.value for level in Level}
HINT = "processor/observability/events.py lists every log event; then run python -m tests.docs.generate"


@dataclass(frozen=True)
class LogCall:
    """A log call whose event name is written out."""

    where: str
    name: str
    level: str
    fields: frozenset[str]


def modules() -> list[Path]:
    wings = sorted((ROOT / "processor").rglob("*.py"))
    return [path for path in wings if not OTHER_VOICES & set(path.parts) and path != REGISTRY]


def log_calls() -> Iterator[LogCall]:
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Attribute(attr=level), args=[ast.Constant(value=str(name)), *_]):
                    if level in LEVELS:
                        fields = frozenset(each.arg for each in node.keywords if each.arg)
                        yield LogCall(f"{path.relative_to(ROOT)}:{node.lineno}", name, level, fields)


def texts() -> set[str]:
    """Every string in the service's code: some event names reach their call by a variable."""
    return {
        node.value
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def test_every_log_call_names_a_registered_event() -> None:
    unknown = [f"{call.where} logs {call.name}" for call in log_calls() if call.name not in LOG_EVENTS]
    assert not unknown, HINT


def test_every_log_call_has_a_registered_level_and_registered_fields() -> None:
    wrong = []
    for call in log_calls():
        event = LOG_EVENTS.get(call.name)
        if event is None:
            continue
        if call.level not in {level.value for level in event.levels}:
            wrong.append(f"{call.where} logs {call.name} at {call.level}")
        unknown = call.fields - {*event.fields, "exc_info"}
        if unknown:
            wrong.append(f"{call.where} gives {call.name} the fields {sorted(unknown)}")
        if "exc_info" in call.fields and "error_type" not in event.fields:
            wrong.append(f"{call.where} gives {call.name} an exception: error_type, error_at")
    assert not wrong, HINT


def test_every_registered_event_is_logged_somewhere() -> None:
    assert not LOG_EVENTS.keys() - texts(), HINT


def test_names_are_unique_snake_case_and_each_has_a_sentence() -> None:
    listed = [event.name for events in SECTIONS.values() for event in events]
    assert sorted(listed) == sorted(LOG_EVENTS)
    for event in LOG_EVENTS.values():
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", event.name)
        assert re.fullmatch(r"[A-Z].*\.", event.meaning), event.name


@pytest.mark.parametrize("name", sorted(LOG_EVENTS))
def test_fields_are_named_once(name: str) -> None:
    fields = LOG_EVENTS[name].fields
    assert len(set(fields)) == len(fields)
