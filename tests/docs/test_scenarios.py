"""Every test that a scenario map names exists."""

import re

import pytest

from tests.docs.markdown import codes, read, table

MAPS = ["tests/transitions/SCENARIOS.md", "tests/audit/SCENARIOS.md"]


@pytest.mark.parametrize("name", MAPS)
def test_every_test_of_a_scenario_map_exists(name: str) -> None:
    proofs = [
        code for row in table(read(name), "| scenario |") for code in codes(row[1]) if "::test_" in code
    ]
    assert len(proofs) > 40
    for proof in proofs:
        path, _, function = proof.partition("::")
        assert re.search(rf"^def {function}\(", read(f"tests/{path}"), re.MULTILINE), proof


def test_every_number_of_the_consumers_list_has_its_line() -> None:
    rows = table(read(MAPS[0]), "| scenario |")
    assert [int(row[0].split(" ")[0]) for row in rows] == list(range(1, 50))
