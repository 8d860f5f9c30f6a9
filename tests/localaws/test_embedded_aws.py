"""The embedded AWS starts with everything deployed, is alone with itself, and leaves nothing behind."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from processor.localaws.embedded_aws import EmbeddedAws, EmbeddedAwsError, isolated_environment
from tests.waiting import eventually

HOSTILE = {
    "AWS_PROFILE": "no-such-profile",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_ENDPOINT_URL_SQS": "http://127.0.0.1:9",
    "AWS_ENDPOINT_URL_CLOUDFORMATION": "http://127.0.0.1:9",
    "AWS_USE_FIPS_ENDPOINT": "true",
    "AWS_CA_BUNDLE": "/no/such/file",
    "AWS_DEFAULT_REGION": "eu-south-2",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "MOTO_ACCOUNT_ID": "999999999999",
}


def test_the_status_table_has_ttl_stream_and_point_in_time_recovery(embedded_aws: EmbeddedAws) -> None:
    dynamodb, name = embedded_aws.client("dynamodb"), embedded_aws.deployment.table
    ttl = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    assert ttl == {"TimeToLiveStatus": "ENABLED", "AttributeName": "ttl"}
    table = dynamodb.describe_table(TableName=name)["Table"]
    assert table["StreamSpecification"]["StreamViewType"] == "NEW_AND_OLD_IMAGES"
    recovery = dynamodb.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    assert recovery["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"


def test_the_event_queue_redrives_into_the_dead_letter_queue(embedded_aws: EmbeddedAws) -> None:
    sqs, deployment = embedded_aws.client("sqs"), embedded_aws.deployment
    [source] = sqs.list_dead_letter_source_queues(QueueUrl=deployment.dlq_url)["queueUrls"]
    assert source == deployment.queue_url
    attributes = sqs.get_queue_attributes(QueueUrl=deployment.queue_url, AttributeNames=["RedrivePolicy"])
    assert json.loads(attributes["Attributes"]["RedrivePolicy"])["maxReceiveCount"] == 60


def test_the_audit_stream_is_on_demand_and_encrypted(embedded_aws: EmbeddedAws) -> None:
    summary = embedded_aws.client("kinesis").describe_stream_summary(
        StreamName=embedded_aws.deployment.audit_stream
    )["StreamDescriptionSummary"]
    assert summary["StreamModeDetails"] == {"StreamMode": "ON_DEMAND"}
    assert summary["EncryptionType"] == "KMS"


def test_the_environment_leads_another_process_to_the_same_resources(embedded_aws: EmbeddedAws) -> None:
    program = (
        "import boto3, os\n"
        "region = os.environ['AWS_REGION']\n"
        "boto3.client('sqs', region).send_message("
        "QueueUrl=os.environ['SQS_EXPORT_EVENTS_DLQ_URL'], MessageBody='from elsewhere')\n"
    )
    subprocess.run([sys.executable, "-c", program], env=embedded_aws.service_environment(), check=True)
    sqs, dlq_url = embedded_aws.client("sqs"), embedded_aws.deployment.dlq_url
    [message] = sqs.receive_message(QueueUrl=dlq_url)["Messages"]
    sqs.delete_message(QueueUrl=dlq_url, ReceiptHandle=message["ReceiptHandle"])
    assert message["Body"] == "from elsewhere"


def test_it_starts_silently_whatever_aws_settings_the_caller_has() -> None:
    program = (
        "from processor.localaws.embedded_aws import EmbeddedAws\n"
        "with EmbeddedAws() as aws:\n"
        "    identity = aws.client('sts').get_caller_identity()\n"
        "    assert identity['Account'] == '123456789012', identity\n"
        "    assert aws.client('dynamodb').meta.region_name == aws.environment()['AWS_REGION']\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **HOSTILE}, capture_output=True, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b"")


def test_the_isolated_environment_holds_no_aws_address_profile_or_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in HOSTILE.items():
        monkeypatch.setenv(name, value)
    assert not set(HOSTILE) & set(isolated_environment())


def test_a_port_in_use_is_one_clear_line() -> None:
    with socket.socket() as used:
        used.bind(("127.0.0.1", 0))
        used.listen()
        port = used.getsockname()[1]
        with pytest.raises(EmbeddedAwsError, match=rf"^port {port} on 127.0.0.1 is in use; choose another$"):
            EmbeddedAws(port=port).start()


@pytest.mark.parametrize("command", ["local", "demo"])
def test_without_the_extra_the_error_names_the_command_to_install_it(command: str, tmp_path: Path) -> None:
    # Everything that only the extra brings is hidden from the interpreter.
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util, sys\n"
        "hidden = {'moto', 'flask', 'werkzeug', 'yaml'}\n"
        "class Hide:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in hidden:\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Hide())\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name in hidden else find(name, *rest)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-m", "processor", command],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    assert ran.stderr == (
        "export-status: the embedded AWS needs the extra `demo`: pip install 'export-status[demo]'\n"
    )


def test_stop_may_come_before_start_and_twice() -> None:
    aws = EmbeddedAws()
    aws.stop()
    aws.start()
    port = int(aws.endpoint_url.rpartition(":")[2])
    aws.stop()
    aws.stop()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks into /proc, which this system lacks")
def test_the_server_ends_when_its_owner_is_killed() -> None:
    program = (
        "import sys\nfrom processor.localaws.embedded_aws import EmbeddedAws\n"
        "aws = EmbeddedAws()\naws.start()\nprint(aws.endpoint_url, flush=True)\nsys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        port = int(owner.stdout.readline().rpartition(":")[2])
        owner.kill()

    def refuses() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) != 0

    eventually(refuses)
