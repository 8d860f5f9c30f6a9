"""Each law names tests, and each mention of a law or of the contract leads to its heading."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.markdown import ROOT, codes, read
from tests.words import tracked

INVARIANTS = read("docs/invariants.md")
CONTRACT = read("docs/contract.md")
LAWS = {
    int(number): body
    for number, body in re.findall(r"^## Law (\d+): (.*?)(?=^## |\Z)", INVARIANTS, re.MULTILINE | re.DOTALL)
}
SECTIONS = {int(number) for number in re.findall(r"^## (\d+)\. ", CONTRACT, re.MULTILINE)}


def test_the_laws_and_sections_stand_in_order_once_each() -> None:
    for text, pattern in ((INVARIANTS, r"^## Law (\d+): "), (CONTRACT, r"^## (\d+)\. ")):
        numbers = [int(number) for number in re.findall(pattern, text, re.MULTILINE)]
        assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("law", LAWS)
def test_every_law_names_a_test(law: int) -> None:
    assert [name for name in codes(LAWS[law]) if name.startswith("tests/")]


SOURCES = [ROOT / name for name in tracked(["*.py", "*.md", "*.yaml", "*.tf", "Makefile", "*.toml"])]

# A mention may be broken over two lines of a comment or docstring.
_GAP = r"(?:\s|\n\s*#)+"
_SECTION = re.compile(rf"docs/contract\.md,{_GAP}sections?{_GAP}(\d+)(?:(?:,|{_GAP}and){_GAP}(\d+))*")
_LAW = re.compile(rf"docs/invariants\.md,{_GAP}laws?{_GAP}(\d+)(?:(?:,|{_GAP}and|{_GAP}to){_GAP}(\d+))*")
_BARE = re.compile(rf"\b(?:contract(?:'s)?{_GAP}section|laws?){_GAP}\d+", re.IGNORECASE)
_THIS = Path(__file__).resolve()


def test_every_mention_leads_to_a_heading() -> None:
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        for pattern, known in ((_SECTION, SECTIONS), (_LAW, LAWS.keys())):
            for mention in pattern.finditer(text):
                numbers = {int(number) for number in re.findall(r"\d+", mention[0])}
                assert numbers <= known, f"{path.relative_to(ROOT)}: {mention[0]}"


def bare_mentions() -> Iterator[tuple[str, str]]:
    for path in SOURCES:
        name = path.relative_to(ROOT).as_posix()
        if name.startswith(("processor/", "handlers/", "tests/")) and path != _THIS:
            text = _LAW.sub("", path.read_text(encoding="utf-8"))
            yield from ((name, mention[0]) for mention in _BARE.finditer(text))


def test_no_law_and_no_section_is_mentioned_without_its_page() -> None:
    assert not list(bare_mentions())
