"""`make scheduled`: what a schedule should run each day (see the Makefile's help)."""

import subprocess

from tests.docs.markdown import ROOT


def test_it_looks_for_known_weaknesses_and_weak_spots_and_writes_the_parts_list() -> None:
    planned = subprocess.run(
        ["make", "--dry-run", "scheduled"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert all(tool in planned for tool in ("/pip-audit", "/cyclonedx-py", "/checkov"))
