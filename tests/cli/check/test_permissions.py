"""`check` where IAM is enforced: as the task, as an operator, and as a person without permissions."""

import json
from collections.abc import Iterator

import pytest

from tests.cli.conftest import Command, Ran
from tests.infra.iam_account import NAMES, Account, Person, emulator_only, iam_account

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
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
    """The remedies for missing permissions, by subject."""
    findings = [json.loads(line) for line in ran.lines]
    return {
        each["subject"]: each["remedy"]
        for each in findings
        if each["verdict"] == "wrong" and "AccessDenied" in each["text"]
    }


def test_the_task_s_policy_is_enough_for_what_is_tried(account: Account, command: Command) -> None:
    task = account.bearer("task")
    ran = check(command, task, "permissions")
    assert (ran.status, remedies(ran)) == (0, {})


def test_an_operator_s_policy_is_enough_to_look_at_everything(account: Account, command: Command) -> None:
    operator = account.bearer("look")
    assert remedies(check(command, operator, "resources")) == {}


def test_a_missing_permission_is_named_and_no_command_widens_the_caller_s_rights(
    account: Account, command: Command
) -> None:
    # In place of PartiQLUpdate, the emulator wants its own action.
    stranger = account.person("stranger", emulator_only("dynamodb:BatchExecuteStatement"))
    for only, subjects in (
        ("permissions", {"permissions on table export-status", "permissions on table export-status-leases"}),
        ("resources", {"table export-status", "table export-status-leases", "queue export-events"}),
    ):
        missing = remedies(check(command, stranger, only))
        assert set(missing) >= subjects
        for remedy in missing.values():
            assert remedy.startswith("ask an administrator to allow arn:aws:")
            assert " iam " not in remedy
