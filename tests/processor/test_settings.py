"""Settings: every variable, its default and its bounds; errors of one line; who we are on AWS."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from processor.aws.clients import Aws
from processor.settings import (
    AwsSettings,
    Settings,
    SettingsError,
    health_file,
    load_aws_settings,
    load_settings,
)

OURS = ("AWS_", "EXPORT_", "SQS_", "DYNAMODB_", "KINESIS_", "LOG_")
QUEUE_URL = "https://sqs.eu-central-1.amazonaws.com/123456789012/export-events"
SECRET = "c0ffee"

Environment = Callable[..., None]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Environment:
    """An empty working directory and no settings; `environment(NAME="value")` sets some."""
    for name in os.environ:
        if name.startswith(OURS):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.chdir(tmp_path)

    def put(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return put


def refusal() -> str:
    with pytest.raises(SettingsError) as refused:
        Aws(load_aws_settings(load_settings())).sqs()
    line = str(refused.value)
    assert "\n" not in line
    assert SECRET not in line
    return line


def test_without_any_setting_the_contract_s_defaults_hold() -> None:
    settings = load_settings()
    assert settings == Settings.model_construct(
        table="export-status",
        leases_table="export-status-leases",
        queue_url=None,
        dlq_url=None,
        audit_sinks=("log",),
        audit_stream=None,
        ttl_seconds=900,
        receivers=8,
        write_mode="auto",
        drain_seconds=25,
        audit_buckets=16,
        lease_failover_seconds=10,
        metrics_seconds=60,
        health_file=Path("/tmp/export-status.health"),
        log_level="INFO",
        log_format=None,
    )
    assert settings.poll_seconds == 20


def test_every_variable_reaches_its_setting(environment: Environment) -> None:
    environment(
        DYNAMODB_EXPORT_STATUS_TABLE="status",
        DYNAMODB_EXPORT_LEASES_TABLE="leases",
        SQS_EXPORT_EVENTS_QUEUE_URL=QUEUE_URL,
        SQS_EXPORT_EVENTS_DLQ_URL=QUEUE_URL + "-dlq",
        EXPORT_AUDIT_SINKS="kinesis, log",
        KINESIS_EXPORT_AUDIT_STREAM="audit",
        EXPORT_STATUS_TTL_SECONDS="60",
        EXPORT_RECEIVERS="3",
        EXPORT_SERVICE_NAME="exports-eu",
        EXPORT_WRITE_MODE="single",
        EXPORT_DRAIN_SECONDS="12",
        EXPORT_AUDIT_BUCKETS="4",
        EXPORT_LEASE_FAILOVER_SECONDS="20",
        EXPORT_METRICS_SECONDS="0",
        EXPORT_HEALTH_FILE="/run/health",
        LOG_LEVEL="debug",
        LOG_FORMAT="console",
    )
    settings = load_settings()
    assert (settings.table, settings.leases_table) == ("status", "leases")
    assert (settings.queue_url, settings.dlq_url) == (QUEUE_URL, QUEUE_URL + "-dlq")
    assert (settings.audit_sinks, settings.audit_stream) == (("kinesis", "log"), "audit")
    assert (settings.ttl_seconds, settings.receivers, settings.write_mode) == (60, 3, "single")
    assert settings.service_name == "exports-eu"
    assert (settings.drain_seconds, settings.poll_seconds) == (12, 7)
    assert (settings.audit_buckets, settings.lease_failover_seconds) == (4, 20)
    assert (settings.metrics_seconds, settings.health_file) == (0, Path("/run/health"))
    assert (settings.log_level, settings.log_format) == ("DEBUG", "console")


URL = "must be an http or https URL without a query"
REGION = "must be an AWS region such as us-east-1"
NAME = "must be a name of letters, digits, '_', '-' and '.', at most 255 characters"
WRONG = {
    ("EXPORT_RECEIVERS", "must be a whole number from 1 to 64"): ("many", "0", "65", "2.5"),
    ("EXPORT_STATUS_TTL_SECONDS", "must be a whole number from 1 to 31536000"): ("0", "-5"),
    ("EXPORT_DRAIN_SECONDS", "must be a whole number from 10 to 3600"): ("9",),
    ("EXPORT_AUDIT_BUCKETS", "must be a whole number from 1 to 256"): ("0",),
    ("EXPORT_LEASE_FAILOVER_SECONDS", "must be a whole number from 2 to 600"): ("1",),
    ("EXPORT_METRICS_SECONDS", "must be a whole number from 0 to 3600"): ("-1",),
    ("EXPORT_SERVICE_NAME", NAME): ("a b",),
    ("EXPORT_WRITE_MODE", "must be auto, batch or single"): ("fast",),
    ("EXPORT_AUDIT_SINKS", "must be log, kinesis, or both separated by a comma"): ("log,file", ","),
    ("LOG_LEVEL", "must be DEBUG, INFO, WARNING, ERROR or CRITICAL"): ("LOUD",),
    ("LOG_FORMAT", "must be json or console"): ("xml",),
    ("SQS_EXPORT_EVENTS_QUEUE_URL", URL): ("export-events",),
    ("SQS_EXPORT_EVENTS_DLQ_URL", URL): ("https://h/q?x=c0ffee",),
    ("AWS_ENDPOINT_URL", URL): ("localhost:4566", "http://host:port", "http://[::1"),
    ("AWS_ENDPOINT_URL_SQS", URL): ("http://",),
    ("AWS_REGION", REGION): ("us east 1", "-us", "us-east-", "us--east-1", "u" * 33),
    ("AWS_DEFAULT_REGION", REGION): ("-us",),
    ("EXPORT_HEALTH_FILE", "must be the path of a file, not of a folder"): ("/", ".", "..", "/tmp", "/none/"),
    ("DYNAMODB_EXPORT_STATUS_TABLE", NAME): ("arn:aws:dynamodb",),
}


@pytest.mark.parametrize(
    ("variable", "rule", "value"), [(*key, value) for key, values in WRONG.items() for value in values]
)
def test_a_wrong_setting_is_one_line_with_its_variable_and_rule(
    environment: Environment, variable: str, rule: str, value: str
) -> None:
    environment(**{variable: value})
    assert refusal() == f"{variable} {rule}"


def test_what_a_command_requires_is_named() -> None:
    settings = load_settings()
    with pytest.raises(SettingsError, match=r"^SQS_EXPORT_EVENTS_QUEUE_URL must be set to the URL"):
        settings.required_queue_url()
    with pytest.raises(SettingsError, match=r"^KINESIS_EXPORT_AUDIT_STREAM must be set to the audit stream"):
        settings.required_audit_stream()


def test_an_empty_variable_counts_as_not_set(environment: Environment) -> None:
    environment(EXPORT_RECEIVERS="", AWS_REGION="", AWS_ENDPOINT_URL="", SQS_EXPORT_EVENTS_QUEUE_URL="")
    assert load_settings() == Settings(_env_file=None)


@pytest.mark.parametrize(("drain", "poll"), [(10, 5), (24, 19), (25, 20), (3_600, 20)])
def test_a_poll_always_ends_before_the_drain_does(environment: Environment, drain: int, poll: int) -> None:
    environment(EXPORT_DRAIN_SECONDS=str(drain))
    assert load_settings().poll_seconds == poll


# .env


def test_a_file_gives_what_the_environment_leaves_out(environment: Environment) -> None:
    Path(".env").write_text(
        '# comment\nexport EXPORT_RECEIVERS=3\nEXPORT_WRITE_MODE="single"\nUNKNOWN=1\nAWS_REGION=eu-west-1\n'
    )
    environment(EXPORT_RECEIVERS="5")
    settings = load_settings()
    assert (settings.receivers, settings.write_mode) == (5, "single")
    assert load_aws_settings(settings).region == "eu-west-1"


def test_a_wrong_line_of_the_file_is_named_like_a_variable() -> None:
    Path(".env").write_text("EXPORT_RECEIVERS=many\n")
    assert refusal() == "EXPORT_RECEIVERS must be a whole number from 1 to 64"


def test_a_file_that_is_no_text_is_one_line() -> None:
    Path(".env").write_bytes(b"EXPORT_RECEIVERS=\xff\xfe\n")
    assert refusal() == ".env in the working directory must be a readable UTF-8 file"


def test_a_folder_of_that_name_is_not_a_file_of_settings() -> None:
    Path(".env").mkdir()
    assert load_settings().receivers == 8


def test_the_health_file_is_known_without_any_other_setting(environment: Environment) -> None:
    environment(EXPORT_RECEIVERS="many")
    assert health_file() == Path("/tmp/export-status.health")
    Path(".env").write_text("EXPORT_HEALTH_FILE=/run/of-the-file\n")
    assert health_file() == Path("/run/of-the-file")
    environment(EXPORT_HEALTH_FILE="/run/of-the-environment")
    assert health_file() == Path("/run/of-the-environment")


# AWS

FILE_CREDENTIALS = f"AWS_ACCESS_KEY_ID=file\nAWS_SECRET_ACCESS_KEY={SECRET}\nAWS_SESSION_TOKEN={SECRET}\n"


def test_credentials_of_the_file_are_accepted_where_the_environment_offers_none() -> None:
    Path(".env").write_text(FILE_CREDENTIALS)
    found = load_aws_settings(load_settings())
    assert (found.access_key_id, found.secret_access_key, found.session_token) == ("file", SECRET, SECRET)
    assert SECRET not in repr(found)


@pytest.mark.parametrize(
    "offered",
    [
        {"AWS_ACCESS_KEY_ID": "env", "AWS_SECRET_ACCESS_KEY": SECRET},
        {"AWS_PROFILE": "mine"},
        {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials"},
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials"},
        {"AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/token"},
    ],
    ids=",".join,
)
def test_no_part_of_the_file_s_credentials_is_mixed_with_the_environment_s(
    environment: Environment, offered: dict[str, str]
) -> None:
    Path(".env").write_text(FILE_CREDENTIALS + "AWS_PROFILE=file\n")
    environment(**offered)
    assert load_aws_settings(load_settings()) == AwsSettings()


def test_a_profile_of_the_file_is_accepted_and_keys_go_before_it() -> None:
    Path(".env").write_text("AWS_PROFILE=file\n")
    assert load_aws_settings(load_settings()).profile == "file"
    Path(".env").write_text(FILE_CREDENTIALS + "AWS_PROFILE=file\n")
    assert load_aws_settings(load_settings()).profile is None


@pytest.mark.parametrize(
    ("present", "absent"),
    [("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID")],
)
@pytest.mark.parametrize("in_file", [False, True])
def test_half_of_a_key_pair_is_one_line(
    environment: Environment, present: str, absent: str, *, in_file: bool
) -> None:
    if in_file:
        Path(".env").write_text(f"{present}={SECRET}\n")
    else:
        environment(**{present: SECRET})
    assert refusal() == f"{absent} must be set together with {present}"


def test_aws_region_is_enough_and_wins(environment: Environment) -> None:
    environment(AWS_REGION="eu-central-1")
    assert Aws(load_aws_settings(load_settings())).sqs().meta.region_name == "eu-central-1"
    environment(AWS_DEFAULT_REGION="us-west-2")
    assert Aws(load_aws_settings(load_settings())).region == "eu-central-1"


def test_botocore_s_own_variable_is_second_and_the_profile_s_region_third(
    environment: Environment, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    config.write_text("[default]\nregion = eu-north-1\n")
    environment(AWS_CONFIG_FILE=str(config))
    assert Aws(load_aws_settings(load_settings())).region == "eu-north-1"
    environment(AWS_DEFAULT_REGION="us-west-2")
    assert Aws(load_aws_settings(load_settings())).region == "us-west-2"


def test_no_region_at_all_is_one_line() -> None:
    assert refusal() == "AWS_REGION must be set to the region of the table, such as us-east-1"


@pytest.mark.parametrize("region", [{}, {"AWS_REGION": "us-east-1"}], ids=["region unset", "region set"])
@pytest.mark.parametrize("in_file", [False, True])
def test_a_profile_that_does_not_exist_is_one_line(
    environment: Environment, region: dict[str, str], *, in_file: bool
) -> None:
    if in_file:
        Path(".env").write_text("AWS_PROFILE=absent\n")
    else:
        environment(AWS_PROFILE="absent")
    environment(**region)
    assert refusal() == "AWS_PROFILE must name a profile of a readable AWS configuration"


def test_an_aws_configuration_that_cannot_be_read_is_one_line(
    environment: Environment, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    config.write_text("[default\nregion")
    environment(AWS_CONFIG_FILE=str(config), AWS_REGION="us-east-1")
    assert refusal() == "AWS_PROFILE must name a profile of a readable AWS configuration"


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("AWS_DEFAULTS_MODE", "weird", "invalid defaults mode: weird"),
        ("AWS_ACCOUNT_ID_ENDPOINT_MODE", "x", "account_id_endpoint_mode"),
        ("AWS_REQUEST_CHECKSUM_CALCULATION", "x", "request_checksum_calculation"),
    ],
)
def test_what_botocore_refuses_in_its_settings_is_one_line(
    environment: Environment, variable: str, value: str, words: str
) -> None:
    environment(**{"AWS_REGION": "us-east-1", variable: value})
    line = refusal()
    assert line.startswith("a setting of the AWS SDK is wrong: ")
    assert words in line


def test_endpoints_are_those_of_every_aws_sdk(environment: Environment) -> None:
    environment(
        AWS_REGION="us-east-1",
        AWS_ENDPOINT_URL="http://127.0.0.1:1",
        AWS_ENDPOINT_URL_SQS="http://127.0.0.1:2",
        AWS_ENDPOINT_URL_DYNAMODB="http://127.0.0.1:3",
        AWS_ENDPOINT_URL_DYNAMODB_STREAMS="http://127.0.0.1:4",
        AWS_ENDPOINT_URL_KINESIS="http://127.0.0.1:5",
    )
    aws = Aws(load_aws_settings(load_settings()))
    clients = [aws.sqs(), aws.dynamodb(), aws.streams(), aws.kinesis(), aws.leases(), aws.receiving()]
    assert [client.meta.endpoint_url[-1] for client in clients] == ["2", "3", "4", "5", "3", "2"]
    environment(AWS_IGNORE_CONFIGURED_ENDPOINT_URLS="true")
    aws = Aws(load_aws_settings(load_settings()))
    assert aws.sqs().meta.endpoint_url == "https://sqs.us-east-1.amazonaws.com"


def test_one_endpoint_serves_every_service_without_its_own(environment: Environment) -> None:
    Path(".env").write_text("AWS_ENDPOINT_URL=http://127.0.0.1:1\nAWS_ENDPOINT_URL_SQS=http://127.0.0.1:2\n")
    environment(AWS_REGION="us-east-1")
    aws = Aws(load_aws_settings(load_settings()))
    assert [aws.sqs().meta.endpoint_url, aws.dynamodb().meta.endpoint_url] == [
        "http://127.0.0.1:2",
        "http://127.0.0.1:1",
    ]


def test_the_start_line_shows_settings_by_variable_and_no_credential(environment: Environment) -> None:
    environment(AWS_ACCESS_KEY_ID="AKIDEXAMPLE", AWS_SECRET_ACCESS_KEY=SECRET, EXPORT_RECEIVERS="3")
    shown = load_settings().for_log()
    assert shown["EXPORT_RECEIVERS"] == 3
    assert shown["EXPORT_HEALTH_FILE"] == "/tmp/export-status.health"
    assert not any("KEY" in name or "TOKEN" in name for name in shown)
    assert SECRET not in str(shown)
