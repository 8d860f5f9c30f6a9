"""infra/README.md agrees with templates and code, and its commands run."""

import os
import re
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from processor.observability.metrics import Metric
from processor.settings import Settings, load_settings
from tests.docs.markdown import table
from tests.infra.cloudformation import INFRA, alarms, load
from tests.infra.pages import blocks, run

PAGE = INFRA / "README.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_every_setting_and_parameter_that_is_named_exists() -> None:
    settings = {str(info.validation_alias) for info in Settings.model_fields.values()}
    named = set(re.findall(r"`((?:EXPORT|AWS_ENDPOINT|SQS|KINESIS|DYNAMODB|LOG)_[A-Z_]+)`", TEXT))
    assert named
    assert named <= settings
    parameters = load("service.yaml")["Parameters"].keys() | load("watch.yaml")["Parameters"].keys()
    overrides = re.findall(r"--parameter-overrides (.+)", TEXT)
    given = {word.partition("=")[0] for line in overrides for word in line.split()}
    assert given
    assert given <= parameters
    required = {name for name, each in load("service.yaml")["Parameters"].items() if "Default" not in each}
    assert required <= given


def test_the_example_environment_has_lines_for_the_deployment_s_audit_that_fit_together(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    example = (INFRA.parent / ".env.example").read_text(encoding="utf-8")
    below = re.findall(r"^# ?((?:EXPORT_AUDIT_SINKS|KINESIS_EXPORT_AUDIT_STREAM)=.*)$", example, re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(f"{example}\n" + "\n".join(below))
    settings = load_settings()
    assert settings.audit_sinks == ("kinesis", "log")
    assert settings.required_audit_stream() == load("data.yaml")["Parameters"]["AuditStreamName"]["Default"]
    check_it = TEXT.partition("\n### 2. Check it\n")[2].partition("\n### ")[0]
    assert all(line in check_it for line in below)


@pytest.mark.parametrize("head", ["| a million events |", "| a month of 730 hours,"])
def test_the_worked_sums_of_money_add_up(head: str) -> None:
    *lines, total = table(TEXT, head)
    for what, quantity, price, paid in lines:
        assert float(paid) == pytest.approx(float(quantity) * float(price), abs=0.0051), what
    assert sum(float(line[3]) for line in lines) == pytest.approx(float(total[3]), abs=0.001)


def test_the_month_counts_the_metrics_and_alarms_that_there_are() -> None:
    counted = {line[0]: line[1] for line in table(TEXT, "| a month of 730 hours,")}
    assert counted["CloudWatch, metrics of the service"] == str(len(Metric))
    looked_at = [
        sum("MetricStat" in each for each in alarm.get("Metrics", [{"MetricStat": {}}]))
        for alarm in alarms().values()
    ]
    assert counted["CloudWatch, metrics that alarms look at"] == str(sum(looked_at))


def test_taking_everything_down_deletes_what_the_pages_make_outside_the_stacks() -> None:
    down = TEXT.partition("\n### Taking everything down\n")[2]
    by_hand = (INFRA / "aws-cli.md").read_text(encoding="utf-8")
    by_hand_filled = by_hand.replace("$SERVICE", "export-status").replace('"', "")
    for kind in ("role", "group"):
        made = set(re.findall(rf"aws iam create-{kind} --{kind}-name (\S+)", by_hand_filled))
        assert made
        assert made == set(re.findall(rf"aws iam delete-{kind} --{kind}-name (\S+)", down))
        named = rf"{kind}-policy --{kind}-name (\S+) --policy-name (\S+)"
        assert set(re.findall(f"aws iam put-{named}", by_hand_filled)) == set(
            re.findall(f"aws iam delete-{named}", down)
        )
    (topic,) = re.findall(r"aws sns create-topic --name (\S+)", TEXT)
    assert f"ends_with(TopicArn, ':{topic}')" in down
    (repository,) = re.findall(r"aws ecr create-repository --repository-name (\S+)", TEXT)
    assert f"aws ecr delete-repository --repository-name {repository} " in down


@pytest.mark.slow
def test_the_data_plane_deploys_and_prints_what_the_page_shows(ministack: str) -> None:
    for got, (_, shown) in zip(run(PAGE, ministack), blocks(PAGE), strict=True):
        assert shown is not None
        assert without_place(got) == without_place(shown)


def without_place(text: str) -> str:
    """What was printed, without what differs from place to place: account, host, a stream's label."""
    text = re.sub(r"\b\d{12}\b", "<account>", text)
    text = re.sub(r"https?://[^/]+/", "https://<host>/", text)
    return re.sub(r"/stream/\S+", "/stream/<label>", text)


@pytest.mark.parametrize("pushes", [True, False])
def test_a_push_that_fails_leaves_no_image_to_deploy(tmp_path: Path, *, pushes: bool) -> None:
    (commands,) = re.findall(r"```sh\n(VERSION=.*?)```", TEXT, re.DOTALL)
    programs = {
        "aws": 'case "$2" in describe-images) echo "sha256:last-month";; *) echo 123456789012;; esac',
        "docker": f'echo "$@" >> {tmp_path}/docker; [ "$1" != buildx ] || exit {0 if pushes else 1}',
        "make": "exit 0",
    }
    for name, script in programs.items():
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    done = subprocess.run(
        ["sh", "-c", f'{commands}\necho "to deploy: $IMAGE"'],
        cwd=INFRA.parent,
        env={"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "AWS_REGION": "us-east-1"},
        capture_output=True,
        text=True,
        check=True,
    )
    repository = "123456789012.dkr.ecr.us-east-1.amazonaws.com/export-status"
    image = f"{repository}@sha256:last-month" if pushes else ""
    assert done.stdout.splitlines()[-1] == f"to deploy: {image}"
    commit = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True
    )
    assert (
        f"--tag {repository}:{version('export-status')}-{commit.stdout.strip()} "
        in (tmp_path / "docker").read_text()
    )
