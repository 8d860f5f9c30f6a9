"""The counter of idioms finds them wherever people read, and nowhere else."""

from pathlib import Path

import pytest

from tests import words

MODULE = '''"""A module that nobody reads.

The second paragraph says so.
"""

LIMIT = 3
"""How long it is borne."""

# The lease is
# over its head.


def give_up(inHand: int) -> str:
    whom = 1  # anew
    return f"{whom} is told {inHand:{LIMIT}}" + "so much" + f"as it is"
'''


def found(source: str, path: str = "a.py") -> set[tuple[int, str, str]]:
    return {*words.findings(words.texts_of(path, source))}


def test_idioms_are_found_in_comments_docstrings_strings_and_names() -> None:
    assert found(MODULE) == {
        (1, "nobody", "prose"),
        (3, "says", "prose"),
        (7, "borne", "prose"),
        (10, "over its head", "prose"),
        (13, "give up", "name"),
        (13, "in hand", "name"),
        (14, "whom", "name"),
        (14, "anew", "prose"),
        (15, "told", "string"),
        (15, "so much", "string"),
        (15, "as it is", "string"),
    }


def test_plain_words_and_code_are_no_idioms() -> None:
    assert found('"""Reads rows."""\n\nif row is None:\n    mender = besides = [1]  # retold\n') == set()


def test_an_idiom_over_two_lines_is_found_in_the_first() -> None:
    assert found("plain\nit stays so\nlong as it can\n", "a.md") == {(2, "so long", "prose")}


def test_the_list_names_the_place_and_the_rate_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(words, "ROOT", tmp_path)
    monkeypatch.setattr(words, "tracked", list)
    (tmp_path / "bad.md").write_text("the lease\nis told\n")
    (tmp_path / "good.py").write_text('"""Renews the lease."""\n')
    assert words.main(["--list", "bad.md"]) == 1
    assert "bad.md:2: told (prose)" in capsys.readouterr().out
    assert words.main(["good.py"]) == 0
