"""A short soak goes from its first event to its verdict."""

import pytest

from processor.localaws.embedded_aws import EmbeddedAws
from tests.faults.backends import Backends
from tests.soak.__main__ import main


@pytest.mark.dynamodb_local
@pytest.mark.slow
def test_a_short_soak_loses_nothing_and_shows_what_its_tasks_take(
    dynamodb_local: str, ministack: str, embedded_aws: EmbeddedAws, capsys: pytest.CaptureFixture[str]
) -> None:
    at = Backends(dynamodb_local, ministack, embedded_aws.endpoint_url)
    status = main(["--seconds", "4", "--rate", "25", "--lead-seconds", "45"], at)
    shown = capsys.readouterr().out
    assert status == 0, shown
    _head, first_round, verdict = shown.splitlines()
    number, messages, p50, p99, _faults, cpu, mib, files, threads, *report = first_round.split()
    assert (number, messages) == ("1", "100")
    assert 0 < float(p50) <= float(p99)
    assert min(map(float, (cpu, mib, files, threads))) > 0
    assert " ".join(report) == "lost 0, wrong 0, unexplained dead-letter 0, missing audit 0"
    assert verdict == "verdict: nothing lost of 100 messages; too few rounds to tell growth"


@pytest.mark.parametrize("options", [["--rate", "fast"], ["--rate", "0"], ["--tasks", "-1"], ["--loud"]])
def test_a_wrong_option_is_refused_before_anything_starts(options: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(options)
    assert ended.value.code == 2
