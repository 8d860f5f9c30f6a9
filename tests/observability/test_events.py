"""The registry of log events (docs/logs.md) and the log calls of the service name the same events, levels
and fields."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.docs.markdown import ROOT, codes, log_events

OTHER_VOICES = {"cli", "demo", "localaws"}  # they write no log events, but a command's output
LEVELS = {"debug", "info", "warning", "error", "critical"}
HINT = "docs/logs.md lists every log event"
EVENTS = log_events()


@dataclass(frozen=True)
class LogCall:
    """A log call whose event name is written out."""

    where: str
    name: str
    level: str
    fields: frozenset[str]


def modules() -> list[Path]:
    wings = sorted((ROOT / "processor").rglob("*.py"))
    return [path for path in wings if not OTHER_VOICES & set(path.parts)]


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


def test_every_log_call_names_a_registered_event_level_and_fields() -> None:
    wrong = []
    for call in log_calls():
        if call.name not in EVENTS:
            wrong.append(f"{call.where} logs {call.name}")
            continue
        levels, _, fields = EVENTS[call.name]
        if call.level.upper() not in levels.split(", "):
            wrong.append(f"{call.where} logs {call.name} at {call.level}")
        unknown = call.fields - {*codes(fields), "exc_info"}
        if unknown:
            wrong.append(f"{call.where} gives {call.name} the fields {sorted(unknown)}")
        if "exc_info" in call.fields and "error_type" not in codes(fields):
            wrong.append(f"{call.where} gives {call.name} an exception: error_type, error_at")
    assert not wrong, HINT


def test_every_registered_event_is_logged_somewhere() -> None:
    assert not EVENTS.keys() - texts(), HINT


def test_names_are_unique_snake_case_and_each_has_a_sentence_and_different_fields() -> None:
    listed = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "logs.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(EVENTS)
    for name, (_, meaning, fields) in EVENTS.items():
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", name)
        assert re.fullmatch(r"[A-Z].*\.", meaning), name
        assert len(set(codes(fields))) == len(codes(fields)), name
