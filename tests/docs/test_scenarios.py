"""Every scenario has its row in a map, and every test that a map or a law names lies in the file it names."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.docs.markdown import ROOT, codes, read

SCENARIOS = {
    "tests/transitions/SCENARIOS.md": set(range(1, 50)),
    "tests/streams/SCENARIOS.md": {*range(1, 52), *range(59, 64)},
    "tests/audit/SCENARIOS.md": {*range(52, 63)} - {60},  # of one poisonous record the audit's map tells
}


@cache
def functions_in(path: Path) -> frozenset[str]:
    return frozenset(re.findall(r"^(?:def|class) (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE))


def files(name: str, folder: Path) -> list[Path]:
    """What a map in this folder may mean by a file's name."""
    by_path = [path for path in (folder / name, ROOT / name) if path.is_file()]
    return by_path or [path for path in (ROOT / "tests").rglob(name) if "/" not in name]


def named(name: str) -> Iterator[tuple[str, str]]:
    """The tests in rows and lists of a page, each with the file that was named last before it."""
    for line in read(name).splitlines():
        file = ""
        for code in codes(line) if line.startswith(("|", "- ")) else ():
            before, _, test = code.rpartition("::")
            if before.endswith(".py") or code.endswith(".py"):
                file = before or code
            if (before or test.startswith("test_")) and not test.endswith(".py"):
                yield file, test.partition("[")[0]


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_has_a_row(name: str) -> None:
    rows = [line.split("|")[1].strip() for line in read(name).splitlines() if line.startswith("|")]
    numbers = [re.match(r"\d+(, \d+)*(?= |$)", row) for row in rows]
    found = [int(each) for row in numbers if row for each in row[0].split(", ")]
    assert sorted(found) == sorted(SCENARIOS[name])


@pytest.mark.parametrize("name", [*SCENARIOS, "docs/invariants.md"])
def test_every_test_of_a_page_lies_in_the_file_that_is_named(name: str) -> None:
    folder = (ROOT / name).parent
    tests = list(named(name))
    assert len(tests) > 10
    for file, test in tests:
        known = {each for path in files(file, folder) for each in functions_in(path)}
        beginning, ellipsis, _ = test.partition("…")
        matching = [each for each in known if each.startswith(beginning)] if ellipsis else known & {test}
        assert matching, f"{test} is not in {file}"
