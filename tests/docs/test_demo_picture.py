"""The picture of the live demo in the README."""

import re
from html import unescape

from tests.docs.demo_picture import PICTURE
from tests.docs.markdown import read


def test_the_readme_shows_the_picture_of_a_demo_at_work() -> None:
    assert "](docs/demo.svg)" in read("README.md")
    svg = PICTURE.read_text(encoding="utf-8")
    shown = unescape(re.sub(r"<[^>]*>", "", svg)).replace("\N{NO-BREAK SPACE}", " ")
    for text in ("export-status demo", "life left", "audit log", "applied", "dead-lettered"):
        assert text in shown
    for status in ("pending", "processing", "completed", "failed", "expired"):
        assert re.search(rf"{status} [1-9]", shown), status


def test_the_picture_loads_nothing_from_elsewhere_and_shows_no_secret() -> None:
    svg = PICTURE.read_text(encoding="utf-8")
    assert not re.search(r"url\((?!#)|href=|@import|@font-face|<script", svg)
    assert "X-Amz" not in svg
