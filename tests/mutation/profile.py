"""A pytest plugin for the runs on mutants: fewer examples, the same in every run, and quick tests first.

The seed is fixed on pytest's command line (`[tool.mutmut]` in `pyproject.toml`). A failing example is not
shrunk or explained: that there is one is all that a mutant needs.
"""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

settings.register_profile(
    "mutants",
    max_examples=50,
    database=None,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("mutants")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first failure ends a mutant's run, and most fail in a quick test: those go first."""
    measured = Path("mutmut-stats.json")  # by mutmut's own run without a mutant, which has none yet
    if measured.is_file():
        seconds = json.loads(measured.read_text(encoding="utf-8"))["duration_by_test"]
        items.sort(key=lambda item: seconds.get(item.nodeid, 0.0))
