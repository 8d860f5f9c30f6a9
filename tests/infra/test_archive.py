"""The archive's table, view and queries answer rightly over real entries; DuckDB stands in for Athena.

The differences between them are listed in docs/deployments.md.
"""

import gzip
import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from handlers.audit import AuditEntry, entry_schema
from handlers.timestamps import format_timestamp
from tests.audit.entries import entry
from tests.infra.cloudformation import INFRA
from tests.infra.tool_venvs import commands_of
from tests.support.commands import finished

RESOURCES: dict[str, Any] = yaml.safe_load((INFRA / "archive.yaml").read_text())["Resources"]
RUNNER = Path(__file__).with_name("run_sql.py")
TYPES = {"int": "INTEGER", "string": "VARCHAR", "bigint": "BIGINT", "boolean": "BOOLEAN"}
FIELDS = {name.lower(): name for name in entry_schema()["properties"]}
ENTRIES = 10_000
REPEATS = 1_000
DAYS = 40


def columns(table: str) -> dict[str, str]:
    described = RESOURCES[table]["Properties"]["TableInput"]["StorageDescriptor"]["Columns"]
    return {each["Name"]: each["Type"] for each in described}


def duckdb_columns() -> dict[str, str]:
    """The table's columns with the names that the JSON has: DuckDB matches those exactly."""
    made = {}
    for name, kind in columns("AuditTable").items():
        if kind.startswith("struct<"):
            inner = entry_schema()["$defs"][{"actor": "Actor", "source": "AuditSource"}[name]]["properties"]
            given = dict(each.split(":") for each in kind[len("struct<") : -1].split(","))
            assert given == dict.fromkeys(map(str.lower, inner), "string")
            made[FIELDS[name]] = "STRUCT(" + ", ".join(f'"{each}" VARCHAR' for each in inner) + ")"
        else:
            made[FIELDS[name]] = TYPES[kind]
    return made


def entries(dice: random.Random, today: datetime) -> Iterator[AuditEntry]:
    """Entries of items that were deleted in the last 40 days."""
    for number in range(ENTRIES):
        deleted = format_timestamp(today - timedelta(seconds=dice.uniform(0, DAYS * 86_400)))
        status = dice.choice(("pending", "processing", "completed", "completed", "failed"))
        name = f"probe-{number}" if number % 97 == 0 else f"req-{number % 7_000}"
        more: dict[str, Any] = {"deletion_lag_seconds": dice.randrange(3_000)}
        if dice.random() > 0.98:
            more = {"action": "export.deleted", "deletion_lag_seconds": None, "actor": None}
        yield entry(
            f"{number:032x}",
            name,
            last_status=status,
            finished=status in {"completed", "failed"},
            deleted_at=deleted,
            file_name='größen "a",\n[1]',
            **more,
        )


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[AuditEntry]]:
    """The files as Firehose writes them, a tenth of the entries twice, up to 24 hours later."""
    dice = random.Random(7)
    folder = tmp_path_factory.mktemp("archive")
    made = list(entries(dice, datetime.now(UTC)))
    arrivals: dict[str, list[str]] = defaultdict(list)
    repeats = dice.sample(made, REPEATS)
    for each, most in [*((each, 600) for each in made), *((each, 86_400) for each in repeats)]:
        arrived = datetime.fromisoformat(each.deleted_at) + timedelta(seconds=dice.uniform(0, most))
        arrivals[f"{arrived:%Y-%m-%d}"].append(f"{each.to_json()}\n")
    for day, lines in arrivals.items():
        path = folder / "audit" / f"day={day}"
        path.mkdir(parents=True)
        for number in range(0, len(lines), 200):
            packed = gzip.compress("".join(lines[number : number + 200]).encode())
            (path / f"part-{number}.gz").write_bytes(packed)
    return f"{folder}/audit/*/*.gz", made


def run(files: str, *queries: tuple[str, list[str]]) -> list[list[dict[str, Any]]]:
    job = json.dumps({"files": files, "columns": duckdb_columns(), "queries": queries})
    done = finished(commands_of("duckdb") / "python", RUNNER, text=job, seconds=300)
    assert done.returncode == 0, done.stderr
    answers: list[list[dict[str, Any]]] = json.loads(done.stdout)
    return answers


def named(query: str) -> str:
    sql: str = RESOURCES[query]["Properties"]["QueryString"]
    return sql


def view() -> dict[str, Any]:
    """What the view's text will hold in base64."""
    text = RESOURCES["OnceView"]["Properties"]["TableInput"]["ViewOriginalText"]["Fn::Sub"]
    assert text[0] == "/* Presto View: ${View} */"
    found: dict[str, Any] = json.loads(text[1]["View"]["Fn::Base64"]["Fn::Sub"])
    return found


def test_the_table_has_the_fields_of_an_entry_and_the_view_all_that_are_plain() -> None:
    assert columns("AuditTable").keys() == FIELDS.keys()
    plain = {name: kind for name, kind in columns("AuditTable").items() if "<" not in kind}
    plain["day"] = "string"
    assert columns("OnceView") == plain
    presto = {"int": "integer", "string": "varchar"}
    wanted = [{"name": name, "type": presto.get(kind, kind)} for name, kind in plain.items()]
    assert view()["columns"] == wanted


def thirty_days_ago() -> str:
    return f"{datetime.now(UTC) - timedelta(days=30):%Y-%m-%d}"


def test_the_view_and_the_named_queries_answer_as_the_entries_say(
    archive: tuple[str, list[AuditEntry]],
) -> None:
    files, made = archive
    asked = next(entry for entry in made if entry.request_id == "req-11").request_id
    since = ""
    while since != thirty_days_ago():  # a run that crosses midnight is repeated
        since = thirty_days_ago()
        total, once, unfinished, deletions, lag, request = run(
            files,
            ("SELECT count(*) AS entries FROM audit", []),
            (
                f"SELECT count(*) AS entries, count(DISTINCT auditid) AS ids FROM ({view()['originalSql']})",
                [],
            ),
            (named("UnfinishedQuery"), []),
            (named("DeletionsQuery"), []),
            (named("LagQuery"), []),
            (named("RequestQuery"), [asked]),
        )
    assert total == [{"entries": ENTRIES + REPEATS}]
    assert once == [{"entries": ENTRIES, "ids": ENTRIES}]
    recent = [entry for entry in made if entry.deleted_at >= since]
    expired = [entry for entry in recent if entry.action == "export.expired"]
    assert 7_000 < len(recent) < ENTRIES
    counted = [entry for entry in expired if not entry.request_id.startswith("probe-")]
    days = Counter(entry.deleted_at[:10] for entry in counted)
    lost = Counter(entry.deleted_at[:10] for entry in counted if not entry.finished)
    assert unfinished == [
        {"deleted_on": day, "expired": days[day], "unfinished": lost[day]} for day in sorted(days)
    ]
    by_hand = sorted(
        (entry.deleted_at, entry.request_id) for entry in recent if entry.action == "export.deleted"
    )
    assert [(row["deletedat"], row["requestid"]) for row in deletions] == by_hand
    assert len(by_hand) > 100
    lags: dict[str, list[int]] = defaultdict(list)
    for each in expired:
        lags[each.deleted_at[:10]].append(each.deletion_lag_seconds or 0)
    assert [(row["deleted_on"], row["expired"], row["longest"]) for row in lag] == [
        (day, len(lags[day]), max(lags[day])) for day in sorted(lags)
    ]
    for row in lag:
        ordered = sorted(lags[row["deleted_on"]])
        assert row["half_within"] == ordered[(len(ordered) + 1) // 2 - 1]
        assert row["half_within"] <= row["most_within"] <= row["longest"]
    ours = sorted((e.deleted_at, e.audit_id) for e in recent if e.request_id == asked)
    assert [(row["deletedat"], row["auditid"]) for row in request] == ours


def test_each_query_reads_two_more_days_than_it_shows() -> None:
    names = [name for name, each in RESOURCES.items() if each["Type"] == "AWS::Athena::NamedQuery"]
    assert len(names) == 4
    for name in names:
        assert "day >= CAST(CAST(current_date - INTERVAL '32' DAY" in named(name)
        assert "deletedat >= CAST(CAST(current_date - INTERVAL '30' DAY" in named(name)
