"""The costs of docs/deployments.md add up, and its alarms and queries are those of the templates."""

import pytest

from tests.docs.markdown import read, table
from tests.infra.cloudformation import of_type

PAGE = read("docs/deployments.md")


@pytest.mark.parametrize("deployment", ["ECS", "Lambda"])
def test_the_costs_add_up(deployment: str) -> None:
    rows = [row for row in table(PAGE, "| dollars a month |") if deployment in row[0]]
    *parts, total = ([float(cell.strip("*")) for cell in row[1:]] for row in rows)
    # Each cell is rounded by itself.
    assert total == pytest.approx([sum(column) for column in zip(*parts, strict=True)], abs=0.02)
    assert f" {read('infra/README.md').partition('5 ms: ')[2].split()[0]} events a second." in PAGE


@pytest.mark.parametrize("template", ["lambda.yaml", "archive.yaml"])
def test_the_page_has_each_alarm(template: str) -> None:
    alarms = of_type(template, "AWS::CloudWatch::Alarm").values()
    names = [alarm["AlarmName"].rpartition(">-")[2] for alarm in alarms]
    assert len(names) > 2
    assert [name for name in names if f"`{name}`" not in PAGE] == []


def test_the_page_names_each_query() -> None:
    queries = of_type("archive.yaml", "AWS::Athena::NamedQuery").values()
    assert [query["Name"] for query in queries if f"| {query['Name']} |" not in PAGE] == []
