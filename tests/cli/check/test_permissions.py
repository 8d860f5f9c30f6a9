"""`check` where IAM is enforced: as the task, as an operator, and as a person without permissions."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Command, Ran
from tests.engines.ministack import ROOT_KEY, Ministack
from tests.infra.iam_account import NAMES, Account, Person, iam_account
from tests.infra.policies import policy
from tests.infra.test_least_privilege import FOR_AN_OPERATOR, FOR_THE_TASK, emulator_only
from tests.infra.tool_venvs import commands_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    reason = Ministack().missing()
    if reason is not None:
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with iam_account(tmp_path_factory.mktemp("iam")) as running:
        yield running


def check(command: Command, person: Person, only: str) -> Ran:
    """Runs `check --json` as this person."""
    settings = {
        "SQS_EXPORT_EVENTS_QUEUE_URL": person.events,
        "SQS_EXPORT_EVENTS_DLQ_URL": person.dead_letters,
        "KINESIS_EXPORT_AUDIT_STREAM": NAMES["AuditStreamName"],
    }
    return command("check", "--json", "--only", only, environment=person.environment | settings)


def remedies(ran: Ran) -> dict[str, str]:
    """The commands that would give a missing permission, by subject."""
    findings = [json.loads(line) for line in ran.lines]
    return {
        each["subject"]: each["remedy"]
        for each in findings
        if each["verdict"] == "wrong" and "AccessDenied" in each["text"]
    }


def test_the_task_s_policy_is_enough_for_what_is_tried(account: Account, command: Command) -> None:
    task = account.person("task", policy("task", NAMES), FOR_THE_TASK)
    ran = check(command, task, "permissions")
    assert (ran.status, remedies(ran)) == (0, {})


def test_an_operator_s_policy_is_enough_to_look_at_everything(account: Account, command: Command) -> None:
    operator = account.person("operator", policy("operator", NAMES), FOR_AN_OPERATOR)
    assert remedies(check(command, operator, "resources")) == {}


def test_the_commands_that_are_shown_give_what_is_missing(account: Account, command: Command) -> None:
    # In place of PartiQLUpdate, the emulator wants its own action.
    stranger = account.person("stranger", emulator_only("dynamodb:BatchExecuteStatement"))
    for only, subjects in (
        ("permissions", {"permissions on table export-status", "permissions on table export-status-leases"}),
        ("resources", {"table export-status", "table export-status-leases", "queue export-events"}),
    ):
        missing = remedies(check(command, stranger, only))
        assert set(missing) >= subjects
        for subject in subjects:
            as_root(stranger, missing[subject])
        assert not subjects & set(remedies(check(command, stranger, only)))


def as_root(person: Person, line: str) -> None:
    path = Path(commands_of("awscli"))
    done = subprocess.run(
        ["sh", "-euc", line],
        env={
            "PATH": f"{path}:/usr/bin:/bin",
            "AWS_ACCESS_KEY_ID": ROOT_KEY,
            "AWS_SECRET_ACCESS_KEY": ROOT_KEY,
            "AWS_CA_BUNDLE": person.environment["AWS_CA_BUNDLE"],
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
