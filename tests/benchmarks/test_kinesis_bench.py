"""The benchmark of the sink runs, and what does not depend on the machine holds."""

import pytest

from tests.benchmarks.kinesis_bench import main


def test_a_short_run_makes_one_call_a_page_of_a_fiftieth_of_the_records(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["--entries", "4000"])
    shown = capsys.readouterr().out
    assert "ok   calls a page: 1 " in shown
    assert "ok   Kinesis records an entry: 0.016 " in shown
    assert "| sink kinesis, aggregated | 4,000 | 1.0 | 16 |" in shown
