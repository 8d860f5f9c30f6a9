"""What all commands have in common: help, version, completion, colours, and how they end."""

import os
import re
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread

import pytest
from typer.main import get_command

from handlers.export import Status
from processor.cli.app import app
from processor.cli.errors import flush_what_fits
from processor.localaws.embedded_aws import EmbeddedAws
from tests.cli.commands import Command, options_of
from tests.cli.conftest import Table
from tests.cli.processes import run, run_in_shell, run_in_terminal, start
from tests.resources import fresh_name

LEAVES = [path.split() for path in options_of(get_command(app))]
ASKING_AWS = [
    each.split()
    for each in (
        *("check", "publish events.jsonl", "get req-1", "list", "audit tail", "audit replay --since 1h"),
        *("dlq list", "dlq redrive", "dlq save letters.jsonl", "dlq drop --all"),
    )
]
COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-7]m")


@pytest.mark.parametrize("leaf", LEAVES, ids=" ".join)
def test_every_command_explains_itself_with_an_example(command: Command, leaf: Sequence[str]) -> None:
    ran = command(*leaf, "--help", environment={})
    assert (ran.status, ran.err) == (0, "")
    assert f"Usage: export-status {' '.join(leaf)}" in ran.out
    assert f"Example: export-status {' '.join(leaf)}" in re.sub(r"\s+", " ", ran.out)


def test_the_help_names_every_command_also_without_one(command: Command) -> None:
    for arguments, status in ((["--help"], 0), ([], 2)):
        ran = command(*arguments, environment={})
        assert ran.status == status
        named = re.findall(r"^│ (\w+) ", ran.out + ran.err, re.MULTILINE)
        assert set(named) >= {leaf[0] for leaf in LEAVES}


def test_the_version_is_shown(command: Command) -> None:
    ran = command("--version", environment={})
    assert (ran.status, ran.err) == (0, "")
    assert re.fullmatch(r"export-status \d+\.\d+\.\d+\n", ran.out)


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("export-status ch", {"check"}),
        ("export-status dlq ", {"list", "redrive", "save", "drop"}),
        ("export-status dlq redrive --dr", {"--dry-run"}),
        ("export-status list --status p", {"pending", "processing"}),
    ],
)
def test_a_shell_is_helped_to_complete(tmp_path: Path, words: str, offered: set[str]) -> None:
    """Asks as the completion script of bash does."""
    position = {"COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    asked = run(environment={"_EXPORT_STATUS_COMPLETE": "complete_bash", **position}, cwd=tmp_path)
    assert (asked.returncode, asked.stderr, set(asked.stdout.split())) == (0, "", offered)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_completion_script(tmp_path: Path, shell: str) -> None:
    shown = run(environment={"_EXPORT_STATUS_COMPLETE": f"source_{shell}"}, cwd=tmp_path)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert f"_EXPORT_STATUS_COMPLETE=complete_{shell}" in shown.stdout


@pytest.mark.parametrize("arguments", [*ASKING_AWS, ["run"]], ids=" ".join)
@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"EXPORT_STATUS_TTL_SECONDS": "soon"}, "must be a whole number from 1 to 31536000"),
        ({"AWS_ENDPOINT_URL": "here"}, "must be an http or https URL without a query"),
        ({"AWS_REGION": ""}, "must be set to the region of the table, such as us-east-1"),
        ({"AWS_SECRET_ACCESS_KEY": ""}, "must be set together with AWS_ACCESS_KEY_ID"),
    ],
)
def test_a_wrong_setting_is_one_line_and_exit_2(
    embedded_aws: EmbeddedAws, command: Command, arguments: Sequence[str], wrong: dict[str, str], line: str
) -> None:
    Path("events.jsonl").write_bytes(b"")
    ran = command(*arguments, environment=embedded_aws.environment() | wrong)
    (name,) = wrong
    assert (ran.status, ran.out, ran.err) == (2, "", f"export-status: {name} {line}\n")


@pytest.mark.parametrize(
    "arguments", [each for each in ASKING_AWS if each[0] != "audit"], ids=" ".join
)  # those retry for minutes: audit/test_command.py tests them
def test_an_aws_that_is_not_there_is_exit_1_without_a_traceback(
    embedded_aws: EmbeddedAws, command: Command, arguments: Sequence[str]
) -> None:
    now = datetime.now(UTC).isoformat()
    Path("events.jsonl").write_text(f'{{"requestId":"a","status":"pending","occurredAt":"{now}"}}\n')
    nowhere = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    ran = command(*arguments, environment=embedded_aws.environment() | nowhere)
    assert ran.status == 1
    if arguments == ["check"]:
        assert ran.err == ""
        assert "no answer at http://127.0.0.1:1" in ran.out
    else:
        (line,) = ran.err.splitlines()
        assert line.startswith("export-status: ")


@pytest.mark.parametrize(("settings", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
@pytest.mark.parametrize("arguments", ["get one", "list", "dlq list", "check"])
def test_a_terminal_gets_colours_unless_no_color_is_set(
    embedded_aws: EmbeddedAws,
    table: Table,
    tmp_path: Path,
    arguments: str,
    settings: dict[str, str],
    *,
    coloured: bool,
) -> None:
    table.put("one")
    dlq_url = table.environment["SQS_EXPORT_EVENTS_DLQ_URL"]
    embedded_aws.client("sqs").send_message(QueueUrl=dlq_url, MessageBody="x")
    _, shown = run_in_terminal(arguments.split(), environment=table.environment | settings, cwd=tmp_path)
    assert "Traceback" not in shown
    assert bool(COLOUR.search(shown)) is coloured


def test_what_is_written_is_utf_8_in_every_locale(environment: dict[str, str], tmp_path: Path) -> None:
    ran = run(
        "check", environment=environment | {"PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}, cwd=tmp_path
    )
    assert ran.stderr == ""
    assert "✓ region: us-east-1" in ran.stdout.splitlines()


def test_a_reader_that_leaves_ends_a_command_without_a_traceback(table: Table, tmp_path: Path) -> None:
    for number in range(400):  # more than a pipe holds
        table.put(f"{number}-{'x' * 200}")
    with start("list", "--json", environment=table.environment, cwd=tmp_path) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


@pytest.mark.parametrize("arguments", ["get one", "list", "list --json", "check"])
def test_a_full_disk_is_one_line_and_exit_1(table: Table, tmp_path: Path, arguments: str) -> None:
    table.put("one")
    with (
        open("/dev/full", "wb") as full,
        start(
            *arguments.split(), environment=table.environment, cwd=tmp_path, stdout=full.fileno()
        ) as process,
    ):
        _, err = process.communicate(timeout=300)
    assert process.returncode == 1
    assert err == b"export-status: input or output failed: No space left on device\n"


@pytest.mark.parametrize("arguments", ["get one --watch", "list", "check", "dlq list"])
def test_closed_outputs_do_no_harm(table: Table, tmp_path: Path, arguments: str) -> None:
    table.put("one", Status.FAILED)
    done = run_in_shell(arguments, "<&- >&- 2>&-", environment=table.environment, cwd=tmp_path)
    assert done.returncode == (1 if arguments == "check" else 0)


def test_ctrl_c_ends_a_live_watch_and_gives_the_cursor_back(table: Table, tmp_path: Path) -> None:
    table.put("one")
    interrupted: list[bool] = []

    def interrupt(shown: str, process: "subprocess.Popen[bytes]") -> None:
        if "hadSignedUrl" in shown and not interrupted:
            interrupted.append(True)
            process.send_signal(signal.SIGINT)

    arguments = ("get", "one", "--watch")
    status, shown = run_in_terminal(
        arguments, environment=table.environment, cwd=tmp_path, on_output=interrupt
    )
    assert status == 130
    assert "Traceback" not in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")


def test_dotenv_leads_every_command_to_its_endpoint(table: Table, command: Command, tmp_path: Path) -> None:
    table.put("one")
    lines = (f"{name}={value}\n" for name, value in table.environment.items())
    (tmp_path / ".env").write_text("".join(lines))
    assert command("get", "one", environment={}).status == 0
    ran = command("check", "--only", "permissions", environment={})
    assert ran.lines[1] == "✓ credentials: arn:aws:sts::123456789012:user/moto"


def test_an_absent_resource_is_never_made(embedded_aws: EmbeddedAws, command: Command) -> None:
    absent = fresh_name("absent")
    settings = embedded_aws.environment() | {
        "DYNAMODB_EXPORT_STATUS_TABLE": absent,
        "SQS_EXPORT_EVENTS_QUEUE_URL": f"{embedded_aws.endpoint_url}/123456789012/{absent}",
        "SQS_EXPORT_EVENTS_DLQ_URL": f"{embedded_aws.endpoint_url}/123456789012/{absent}-dlq",
    }
    Path("events.jsonl").write_bytes(b"")
    for arguments in ASKING_AWS:
        command(*arguments, environment=settings)
    assert absent not in embedded_aws.client("dynamodb").list_tables()["TableNames"]
    assert "QueueUrls" not in embedded_aws.client("sqs").list_queues(QueueNamePrefix=absent)


def test_the_end_of_an_interrupted_command_writes_what_fits_and_waits_for_no_reader() -> None:
    reading, writing = os.pipe()
    stream = open(writing, "w", encoding="utf-8")  # noqa: SIM115 - closed below, as at the interpreter's end
    stream.write("a line\n")
    flush_what_fits(stream)
    assert os.read(reading, 100) == b"a line\n"
    assert os.get_blocking(writing)
    os.set_blocking(writing, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writing, bytes(4_096))
    os.set_blocking(writing, True)
    stream.write("a line for which there is no room\n")

    def end() -> None:
        flush_what_fits(stream)
        stream.close()

    ending = Thread(target=end, daemon=True)
    ending.start()
    ending.join(30)
    is_waiting = ending.is_alive()
    os.close(reading)
    assert not is_waiting
