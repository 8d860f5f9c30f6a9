"""A short soak goes from its first event to its verdict; a wrong option is one line."""

import csv
from pathlib import Path

import pytest

from processor.localaws.embedded_aws import EmbeddedAws
from tests.faults.backends import Backends
from tests.soak.__main__ import main


@pytest.mark.dynamodb_local
@pytest.mark.slow
def test_a_short_soak_loses_nothing_and_reports_what_it_measured(
    dynamodb_local: str,
    ministack: str,
    embedded_aws: EmbeddedAws,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    at = Backends(dynamodb_local, ministack, embedded_aws.endpoint_url)
    file = tmp_path / "soak.csv"
    options = ["--seconds", "16", "--rate", "15", "--sample-seconds", "1", "--csv", str(file)]
    status = main(options, at)
    shown = capsys.readouterr().out
    assert status == 0, shown
    lines = shown.splitlines()
    assert any(line.split()[:5] == ["seconds", "settled", "p50", "p95", "p99"] for line in lines), shown
    assert any(line.startswith("settled a second: lowest") for line in lines), shown
    assert any(
        line.startswith("ok   lost 0, wrong 0, unexplained dead-letter 0, missing audit 0") for line in lines
    ), shown
    assert any(line.startswith("-    growth: too short a run") for line in lines), shown
    assert "verdict: nothing lost in what was compared; not everything is judged" in shown
    with file.open(newline="") as samples:
        rows = list(csv.DictReader(samples))
    sending = [row for row in rows if row["sending"] == "1"]
    assert 1 <= len(sending) <= 17
    assert sum(float(row["settled_per_second"]) for row in rows) > 0
    assert sum(float(row["audit_entries_per_second"]) for row in rows) > 0
    for row in sending:
        assert float(row["memory_mib_sum"]) > float(row["memory_mib_max"]) > 10
        assert float(row["files_task_0"]) > 3
        assert float(row["threads_task_1"]) > 3


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--rate", "fast"], "argument --rate: must be a number from 1 to 2,000"),
        (["--rate", "0"], "argument --rate: must be a number from 1 to 2,000"),
        (["--seconds", "nan"], "argument --seconds: must be a number from 10 to 604,800"),
        (["--tasks", "-1"], "argument --tasks: must be a whole number from 1 to 8"),
        (["--seed", "1.5"], "argument --seed: must be a whole number from 0 to 1,000,000,000"),
        (["--sample-seconds", "0.1"], "argument --sample-seconds: must be a number from 1 to 600"),
        (["--csv", "/no/such/folder/a.csv"], "argument --csv: cannot be written (No such file or directory)"),
        (["--loud"], "unrecognized arguments: --loud"),
    ],
)
def test_a_wrong_option_is_one_line(
    options: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(options)
    assert ended.value.code == 2
    shown = capsys.readouterr().err
    assert shown.startswith(f"python -m tests.soak: {line}")
    assert shown.count("\n") == 1
