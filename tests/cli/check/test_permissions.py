"""`check` where IAM is enforced: as the task, as an operator, and as a person without permissions."""

from collections.abc import Iterator

import pytest

from tests.cli.check.world import findings
from tests.cli.commands import Command
from tests.infra.iam_account import NAMES, Account, Person, emulator_only, iam_account

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with iam_account(tmp_path_factory.mktemp("iam")) as running:
        yield running


def remedies(command: Command, person: Person, only: str) -> dict[str, str]:
    """The remedies for missing permissions that `check` shows this person, by subject."""
    settings = {
        "SQS_EXPORT_EVENTS_QUEUE_URL": person.events,
        "SQS_EXPORT_EVENTS_DLQ_URL": person.dead_letters,
        "KINESIS_EXPORT_AUDIT_STREAM": NAMES["AuditStreamName"],
    }
    ran = command("check", "--json", "--only", only, environment=person.environment | settings)
    denied = [each for each in findings(ran.lines).values() if "AccessDenied" in each["text"]]
    return {each["subject"]: each["remedy"] for each in denied}


def test_both_policies_are_enough_for_what_is_tried_and_for_what_is_looked_at(
    account: Account, command: Command
) -> None:
    assert remedies(command, account.bearer("task"), "permissions") == {}
    assert remedies(command, account.bearer("look"), "resources") == {}


def test_a_missing_permission_is_named_and_no_command_widens_the_caller_s_rights(
    account: Account, command: Command
) -> None:
    # In place of PartiQLUpdate, the emulator wants its own action.
    stranger = account.person("stranger", emulator_only("dynamodb:BatchExecuteStatement"))
    for only, subjects in (
        ("permissions", {"permissions on table export-status", "permissions on table export-status-leases"}),
        ("resources", {"table export-status", "table export-status-leases", "queue export-events"}),
    ):
        missing = remedies(command, stranger, only)
        assert set(missing) >= subjects
        for remedy in missing.values():
            assert remedy.startswith("ask an administrator to allow arn:aws:")
            assert " iam " not in remedy
