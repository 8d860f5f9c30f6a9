"""The costs and the alarms of docs/deployments.md are those that the code and the templates give."""

import pytest

from tests.docs.deployment_costs import cost_table
from tests.docs.markdown import read
from tests.infra.cloudformation import of_type

PAGE = read("docs/deployments.md")


def test_the_table_of_costs_is_computed() -> None:
    assert cost_table() in PAGE, "run: python -m tests.docs.deployment_costs"


@pytest.mark.parametrize("template", ["lambda.yaml", "archive.yaml"])
def test_the_page_has_each_alarm(template: str) -> None:
    alarms = of_type(template, "AWS::CloudWatch::Alarm").values()
    names = [alarm["AlarmName"].rpartition(">-")[2] for alarm in alarms]
    assert len(names) > 2
    assert [name for name in names if f"`{name}`" not in PAGE] == []


def test_the_page_names_each_query() -> None:
    queries = of_type("archive.yaml", "AWS::Athena::NamedQuery").values()
    assert [query["Name"] for query in queries if f"| {query['Name']} |" not in PAGE] == []
