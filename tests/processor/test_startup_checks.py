"""The start-up checks: the line that each failure of a call becomes, and the table's key."""

from typing import Any

import pytest
import structlog
from botocore.exceptions import ClientError, NoCredentialsError, PartialCredentialsError

from processor.settings import SettingsError
from processor.startup_checks import StartError, Unreachable, check_leases_table, read_queue, wrong_key
from tests.transitions.rig import service_error


class Failing:
    """A client whose calls fail."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def get_item(self, **_arguments: object) -> None:
        raise self._error

    get_queue_attributes = get_item


@pytest.mark.parametrize(
    ("error", "kind", "line"),
    [
        (service_error("ThrottlingException"), Unreachable, "cannot be reached"),
        (service_error("ResourceNotFoundException"), StartError, "does not exist in this region and account"),
        (
            service_error("ValidationException"),
            StartError,
            "must have the partition key leaseKey (S) and no sort key",
        ),
    ],
    ids=str,
)
def test_a_failed_check_is_one_line(error: ClientError, kind: type[Exception], line: str) -> None:
    client: Any = Failing(error)
    with pytest.raises(kind) as failed:
        check_leases_table(client, "leases")
    code = error.response["Error"].get("Code")
    assert (type(failed.value), str(failed.value)) == (kind, f"the table leases {line} (GetItem: {code})")


@pytest.mark.parametrize(
    "error", [NoCredentialsError(), PartialCredentialsError(provider="env", cred_var="x")]
)
def test_without_credentials_a_setting_is_named(error: Exception) -> None:
    client: Any = Failing(error)
    with pytest.raises(SettingsError) as refused:
        check_leases_table(client, "leases")
    assert str(refused.value) == (
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE or a role must give credentials"
        f" (GetItem: {type(error).__name__})"
    )


def test_a_check_that_is_refused_is_a_warning() -> None:
    client: Any = Failing(service_error("AccessDenied"))
    with structlog.testing.capture_logs() as lines:
        state = read_queue(client, "https://sqs.invalid/queue", names_dead_letters=False)
        assert state.redrive.dead_letter_arn is None
    assert [(line["event"], line["log_level"]) for line in lines] == [("queue_attributes_unknown", "warning")]
    with pytest.raises(StartError, match="DLQ_URL is not set, and the redrive policy cannot be read"):
        read_queue(client, "https://sqs.invalid/queue", names_dead_letters=True)


@pytest.mark.parametrize(
    ("attributes", "keys", "found"),
    [
        ({"requestId": "S"}, {"requestId": "HASH"}, None),
        ({"requestId": "N"}, {"requestId": "HASH"}, "requestId (N)"),
        ({"id": "S"}, {"id": "HASH"}, "id (S)"),
        ({"requestId": "S", "at": "N"}, {"requestId": "HASH", "at": "RANGE"}, "requestId (S), at (N)"),
    ],
    ids=str,
)
def test_a_table_s_key_is_one_partition_key_of_type_s(
    attributes: dict[str, str], keys: dict[str, str], found: str | None
) -> None:
    description = {
        "AttributeDefinitions": [
            {"AttributeName": name, "AttributeType": kind} for name, kind in attributes.items()
        ],
        "KeySchema": [{"AttributeName": name, "KeyType": kind} for name, kind in keys.items()],
    }
    assert wrong_key(description, "requestId") == found
