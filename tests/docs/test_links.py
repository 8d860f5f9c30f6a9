"""Every link of a page leads to a file and a heading; every path that a page of docs/ names exists."""

import re
from pathlib import Path

import pytest

from tests.docs.markdown import ROOT, codes

PAGES = sorted(
    path
    for folder in ("", "docs", "docs/decisions", "infra", "examples", "tests")
    for path in (ROOT / folder).glob("*.md")
)
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)")
IN_THE_TREE = re.compile(r"(?:processor|handlers|tests|infra|docs)/[\w./-]+")


def without_blocks(page: Path) -> str:
    return re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", without_blocks(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for target, anchor in LINK.findall(without_blocks(page)):
        if "://" in target:
            continue
        path = page.parent / target if target else page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), f"{target}#{anchor}"


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.parts[-2] in {"docs", "decisions"}], ids=lambda page: page.name
)
def test_every_path_that_a_page_names_exists(page: Path) -> None:
    for code in codes(without_blocks(page)):
        named = IN_THE_TREE.match(code)
        if named is not None:
            assert (ROOT / named[0].rstrip(".")).exists(), code
