"""Survivors are compared with listed ones by what they change, not by mutmut's numbers."""

import signal

import pytest

from tests.mutation.__main__ import LIST
from tests.mutation.survivors import Fate, Mutant, Unreadable, beyond, fate, listed, mutant

SHOWN = """# handlers.export.xǁExportǁto_item__mutmut_4: survived
--- handlers/export.py
+++ handlers/export.py
@@ -1,4 +1,4 @@
 def to_item(self):
     item = {
-        "status": 1,
+        "status": 2,
     }
"""
TO_ITEM = Mutant("handlers.export.Export.to_item", ('- "status": 1,', '+ "status": 2,'))
CUT = Mutant("handlers.expiry._cut", ("- x = 1", "+ x = 2"))
DOCUMENT = """# Title

About the list.

## `handlers.export.Export.to_item`

Nobody can
tell.

```diff
-        "status": 1,
+        "status": 2,
```

## `handlers.expiry._cut`

It only saves time.

```diff
- x = 1
+ x = 2
```

```diff
- x = 1
+ x = 2
```
"""


def test_a_mutant_is_known_by_its_function_and_the_lines_that_changed() -> None:
    assert mutant("handlers.export.xǁExportǁto_item__mutmut_4", SHOWN) == TO_ITEM
    assert mutant("handlers.expiry.x__cut__mutmut_12", "@@ -1 +1 @@\n-x = 1\n+x = 2") == CUT


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("handlers.export.xǁExportǁto_item__mutmut_4", ""),
        ("handlers.export.xǁExportǁto_item__mutmut_4", "--- handlers/export.py\n+++ handlers/export.py"),
        ("handlers.export.to_item", SHOWN),
    ],
)
def test_a_diff_without_a_change_or_with_another_name_is_an_error(name: str, shown: str) -> None:
    with pytest.raises(Unreadable):
        mutant(name, shown)


@pytest.mark.parametrize(
    ("end", "exit_codes"),
    [
        (Fate.KILLED, (1, -signal.SIGXCPU, -signal.SIGKILL)),
        (Fate.SURVIVED, (0, 33)),
        (Fate.NOT_TESTED, (None, 2, 4, 5, 255, -signal.SIGSEGV)),
    ],
)
def test_only_a_test_that_failed_or_never_ended_has_killed_a_mutant(
    end: Fate, exit_codes: tuple[int | None, ...]
) -> None:
    assert {fate(each) for each in exit_codes} == {end}


def test_the_list_is_read_with_every_mutant_of_a_reason() -> None:
    assert listed(DOCUMENT) == [TO_ITEM, CUT, CUT]


@pytest.mark.parametrize(
    "document",
    [
        DOCUMENT.replace("It only saves time.", ""),
        DOCUMENT.replace("## `handlers.export.Export.to_item`", ""),
        DOCUMENT + "\nA reason for nothing.\n",
        DOCUMENT.replace("## `handlers.expiry._cut`", "A reason for nothing.\n\n## `handlers.expiry._cut`"),
        DOCUMENT.rstrip().removesuffix("```"),
    ],
    ids=["no reason", "no function", "no mutant", "no mutant before the next function", "no end"],
)
def test_a_list_with_a_gap_is_an_error(document: str) -> None:
    with pytest.raises(Unreadable):
        listed(document)


def test_a_survivor_beyond_the_list_and_a_listed_one_that_was_killed_are_found() -> None:
    other = Mutant("handlers.expiry._cut", ("- x = 1", "+ x = 3"))
    survived, may_survive = [CUT, CUT, CUT, other], listed(DOCUMENT)
    assert beyond(survived, may_survive) == [CUT, other]
    assert beyond(may_survive, survived) == [TO_ITEM]
    assert beyond([CUT, TO_ITEM, CUT], may_survive) == []


def test_the_list_in_this_folder_can_be_read() -> None:
    assert all(each.function.startswith("handlers.") for each in listed(LIST.read_text(encoding="utf-8")))
