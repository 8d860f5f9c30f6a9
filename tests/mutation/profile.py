"""A pytest plugin for the runs on mutants: hypothesis with fewer examples, the same in every run.

The seed is fixed on pytest's command line (`[tool.mutmut]` in `pyproject.toml`). A failing example is not
shrunk or explained: that there is one is all that a mutant needs.
"""

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
