"""Reads what the documents say, so that tests can hold it against the code."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def read(name: str) -> str:
    """A document's text, by its path from the project's folder."""
    return (ROOT / name).read_text(encoding="utf-8")


def fenced(text: str, after: str) -> str:
    """The first fenced block after a marker, without its fences."""
    block = re.search(re.escape(after) + r".*?\n```[a-z]*\n(.*?)```", text, re.DOTALL)
    assert block is not None, f"no block after {after!r}"
    return block[1]


def table(text: str, header: str) -> list[list[str]]:
    """The rows below the table header that begins with these cells, each as its cells."""
    lines = text.splitlines()
    start = next((number for number, line in enumerate(lines) if line.startswith(header)), None)
    assert start is not None, f"no table {header!r}"
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return rows


def codes(cell: str) -> list[str]:
    """What a cell has in backquotes."""
    return re.findall(r"`([^`]+)`", cell)


def log_events() -> dict[str, list[str]]:
    """By name the levels, the meaning and the fields of every log event (docs/logs.md)."""
    page = read("docs/logs.md")
    rows = [row for part in page.split("\n## ")[1:] for row in table(part, "| event |")]
    return {codes(row[0])[0]: row[1:] for row in rows}
