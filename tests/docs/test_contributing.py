"""CONTRIBUTING.md states the import rules that are checked."""

import tomllib

from tests.docs.markdown import ROOT, read

KNOW_BOTO3 = {"processor.aws", "processor.localaws"}


def test_every_module_but_the_two_that_know_boto3_is_kept_from_it() -> None:
    assert "only `processor/aws/` and `processor/localaws/` know boto3" in read("CONTRIBUTING.md")
    contracts = tomllib.loads(read("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    (kept,) = [
        each for each in contracts if {"boto3", "botocore", "moto"} == set(each.get("forbidden_modules", ()))
    ]
    modules = {
        f"processor.{path.stem}"
        for path in (ROOT / "processor").iterdir()
        if (path.suffix == ".py" or (path / "__init__.py").exists()) and not path.name.startswith("__")
    }
    assert set(kept["source_modules"]) == modules - KNOW_BOTO3
