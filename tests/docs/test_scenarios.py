"""Every test that a scenario map names exists."""

import re

import pytest

from tests.docs.markdown import ROOT, codes, read

MAPS = ["tests/transitions/SCENARIOS.md", "tests/audit/SCENARIOS.md", "tests/kinesis/SCENARIOS.md"]


@pytest.mark.parametrize("name", MAPS)
def test_every_test_of_a_scenario_map_exists(name: str) -> None:
    known = {
        function
        for path in (ROOT / "tests").rglob("test_*.py")
        for function in re.findall(r"^def (test_\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    named = {code.split("::")[-1].split("[")[0] for code in codes(read(name))}
    named = {code.partition("…")[0] for code in named if code.startswith("test_") and ".py" not in code}
    assert len(named) > 10
    assert not {code for code in named if not any(function.startswith(code) for function in known)}
