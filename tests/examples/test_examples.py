"""The examples, run as in their README, on the embedded AWS with the service behind its queue."""

import json
import os
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote
from urllib.request import urlopen

import pytest

from handlers.events import decode
from handlers.export import Export, Status
from processor.localaws.embedded_aws import EmbeddedAws, isolated_environment
from tests.infra.tool_venvs import commands_of
from tests.resources import drained_messages, item_of, queue_pair, status_table
from tests.support.service import ServiceProcess
from tests.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)
# Version 1 of the CLI does not take AWS_ENDPOINT_URL for SQS.
PREAMBLE = 'aws() { command aws --endpoint-url "$AWS_ENDPOINT_URL" "$@"; }\n'


@pytest.fixture(scope="module")
def environment(embedded_aws: EmbeddedAws) -> dict[str, str]:
    queue_url, dlq_url = queue_pair(embedded_aws.client)
    return embedded_aws.environment() | {
        "DYNAMODB_EXPORT_STATUS_TABLE": status_table(embedded_aws.client),
        "SQS_EXPORT_EVENTS_QUEUE_URL": queue_url,
        "SQS_EXPORT_EVENTS_DLQ_URL": dlq_url,
    }


def run_module(name: str, *arguments: str, environment: dict[str, str]) -> str:
    """What an example prints."""
    done = subprocess.run(
        [sys.executable, "-m", f"examples.{name}", *arguments],
        cwd=ROOT,
        env={**isolated_environment(), **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.slow
def test_every_way_of_sending_ends_in_the_table(
    embedded_aws: EmbeddedAws, environment: dict[str, str], tmp_path: Path
) -> None:
    blocks = [text for text in BLOCK.findall((ROOT / "examples" / "README.md").read_text()) if "ID=" in text]
    assert len(blocks) == 3
    script = PREAMBLE + "".join(f'{text}\necho "$ID"\n' for text in blocks)
    path = os.pathsep.join([str(Path(sys.executable).parent), str(commands_of("awscli")), "/usr/bin:/bin"])
    settings = isolated_environment() | environment
    with ServiceProcess(settings, tmp_path, "--only", "transitions") as service:
        done = subprocess.run(
            ["sh", "-eu", "-c", script],
            cwd=ROOT,
            env={**settings, "PATH": path, "AWS_DEFAULT_REGION": environment["AWS_REGION"]},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        ids = done.stdout.split()
        assert len(set(ids)) == 3

        def statuses() -> dict[str, str]:
            table = environment["DYNAMODB_EXPORT_STATUS_TABLE"]
            items = {each: item_of(embedded_aws.client, table, each) for each in ids}
            return {each: item["status"]["S"] for each, item in items.items() if item is not None}

        everywhere = dict.fromkeys(ids, "completed")
        eventually(lambda: not service.is_running or statuses() == everywhere)
        assert statuses() == everywhere, service.last_words(10**6)
        assert service.stop()[0] == 0
    assert drained_messages(embedded_aws.client, environment["SQS_EXPORT_EVENTS_DLQ_URL"]) == []


@pytest.mark.parametrize("program", ["send_to_sqs", "send_cloud_events"])
@pytest.mark.parametrize("fifo", [False, True])
def test_what_is_sent_keeps_the_contract(embedded_aws: EmbeddedAws, program: str, *, fifo: bool) -> None:
    url, _ = queue_pair(embedded_aws.client, fifo=fifo)
    request_id = run_module(program, url, environment=embedded_aws.environment())
    messages = drained_messages(embedded_aws.client, url)
    events = [decode(message["Body"], now=datetime.now(UTC), fifo=fifo) for message in messages]
    assert sorted(event.status.value for event in events) == ["completed", "pending", "processing"]
    assert {event.request_id for event in events} == {request_id}
    assert len({event.created for event in events}) == 1
    if fifo:
        assert {message["Attributes"]["MessageGroupId"] for message in messages} == {request_id}


def test_the_reader_serves_until_ctrl_c_ends_it_without_a_traceback(
    embedded_aws: EmbeddedAws, environment: dict[str, str]
) -> None:
    table, now = environment["DYNAMODB_EXPORT_STATUS_TABLE"], datetime.now(UTC)
    export = Export("año 1/2", Status.COMPLETED, now, now, int(now.timestamp()) + 3_600)
    embedded_aws.client("dynamodb").put_item(TableName=table, Item=export.to_item())
    with subprocess.Popen(
        [sys.executable, "-m", "examples.reader_api", table, "0", "example.org"],
        cwd=ROOT,
        env={**isolated_environment(), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            with urlopen(f"{address}/exports/{quote('año 1/2', safe='')}") as answer:  # noqa: S310 - http
                body = json.load(answer)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (body["requestId"], body["status"]) == ("año 1/2", "completed")
    assert (process.returncode, "Traceback" in err) == (0, False)
