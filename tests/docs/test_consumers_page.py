"""What infra/audit-consumers.md tells consumers to do works, and names what is there."""

import base64
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from handlers.audit import AuditEntry
from processor.audit.sinks.kinesis import TARGET_BYTES, KinesisSink
from processor.cli.schema import audit_schema
from processor.localaws.clients import REGION
from processor.localaws.embedded_aws import EmbeddedAws
from processor.observability.metrics import Metric
from tests.audit.entries import entry, put_all
from tests.audit.kinesis_standin import Kinesis
from tests.docs.markdown import ROOT
from tests.docs.pipes import linted
from tests.infra.cloudformation import of_type
from tests.resources import create_table

PAGE = ROOT / "infra" / "audit-consumers.md"
TEXT = PAGE.read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def lambda_event(entries: list[AuditEntry]) -> dict[str, Any]:
    """What Lambda hands over for the records that the sink puts."""
    kinesis = Kinesis()
    put_all(KinesisSink(kinesis, "export-audit", buckets=4), entries)
    return {
        "Records": [
            {
                "eventSource": "aws:kinesis",
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": record["PartitionKey"],
                    "sequenceNumber": str(number),
                    "approximateArrivalTimestamp": 1_795_000_000.0,
                    "data": base64.b64encode(record["Data"]).decode(),
                },
            }
            for number, record in enumerate(kinesis.records)
        ]
    }


@pytest.fixture
def function(embedded_aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The page's Lambda function, with its table on the embedded AWS."""
    create_table(embedded_aws.client, "audit-trail", "auditId")
    for name, value in embedded_aws.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    (code,) = blocks("python")
    names: dict[str, Any] = {}
    exec(compile(code, str(PAGE), "exec"), names)  # noqa: S102 - the page's own code
    return names


def test_the_lambda_function_keeps_each_entry_once(
    embedded_aws: EmbeddedAws, function: dict[str, Any]
) -> None:
    entries = [entry(f"id-{n}", f"req-{n % 7}", file_name="ñ.csv") for n in range(50)]
    function["handler"](lambda_event(entries), None)
    function["handler"](lambda_event(entries[20:40]), None)
    items = embedded_aws.client("dynamodb").scan(TableName="audit-trail")["Items"]
    kept = [msgspec.json.decode(item["entry"]["S"], type=AuditEntry) for item in items]
    assert sorted(kept, key=lambda it: it.audit_id) == sorted(entries, key=lambda it: it.audit_id)
    damaged = lambda_event(entries)
    whole = bytearray(base64.b64decode(damaged["Records"][0]["kinesis"]["data"]))
    whole[-1] ^= 1
    damaged["Records"][0]["kinesis"]["data"] = base64.b64encode(whole).decode()
    with pytest.raises(ValueError, match=r"decode|Expecting"):
        function["handler"](damaged, None)


def test_the_template_is_valid(tmp_path: Path) -> None:
    [template] = blocks("yaml")
    assert linted(template, tmp_path) == ""


COMMANDS = "fields filter stats sort desc dedup limit by as and like event"
FUNCTIONS = "count_distinct bin pct max min d h m"
NAMED_HERE = "expiries deletions p50 p99 most lag hours_left"
QUERY_WORDS = frozenset(f"{COMMANDS} {FUNCTIONS} {NAMED_HERE}".split())


def test_the_queries_name_fields_that_are_there() -> None:
    schema = audit_schema()
    known = set(schema["properties"]) | set(schema["$defs"]["Actor"]["properties"])
    known |= {metric.value for metric in Metric}
    queries = blocks("text")
    assert len(queries) == 7
    for query in queries:
        bare = re.sub(r'"[^"]*"|/[^/]*/|@\w+', "", query)
        words = set(re.findall(r"[A-Za-z_][A-Za-z_0-9]*", bare))
        assert words - QUERY_WORDS <= known


def test_the_unfinished_are_found_by_their_line() -> None:
    (pattern,) = re.findall(r"@message like /(.*)/", TEXT)
    assert re.search(pattern, entry("1", "a", finished=False, last_status="processing").to_json())
    assert not re.search(pattern, entry("1", "a").to_json())


def test_the_figures_are_those_of_the_code_and_the_template() -> None:
    assert TARGET_BYTES == 128 * 1_024
    assert "at most 128 KiB" in TEXT
    [stream] = of_type("data.yaml", "AWS::Kinesis::Stream").values()
    assert stream["RetentionPeriodHours"] == 7 * 24
