"""Judges the status table (docs/contract.md, section 1) and the leases table."""

from collections.abc import Iterator, Mapping
from typing import Any

from processor.aws.errors import AwsError, NotFound
from processor.cli.check.deployed_state import Answer, TableState
from processor.cli.check.finding import Finding, fine, unknown, wrong
from processor.cli.check.target import Target
from processor.cli.check.unread import unread
from processor.startup_checks import wrong_key

STATUS_KEY = "requestId"
LEASES_KEY = "leaseKey"
VIEW_TYPE = "NEW_AND_OLD_IMAGES"
_STREAM_ON = f"StreamEnabled=true,StreamViewType={VIEW_TYPE}"
_SSE_ON = ("--sse-specification", "Enabled=true,SSEType=KMS")


def judge_status_table(name: str, state: TableState | AwsError, target: Target) -> Iterator[Finding]:
    """The table, its key, billing, TTL, stream, backups and encryption."""
    create = _create(target, name, STATUS_KEY, "--stream-specification", _STREAM_ON)
    if isinstance(state, AwsError):
        yield _not_there(name, state, create, target)
        return
    table, subject = state.description, f"table {name}"
    yield from _state(name, table, target)
    yield _key(name, STATUS_KEY, table, create)
    yield _billing(subject, name, table, target)
    yield _time_to_live(subject, name, state.ttl, target)
    yield _stream(subject, name, table, target)
    yield _backups(subject, name, state.backups, target)
    yield _encryption(subject, name, table, target)


def judge_leases_table(name: str, leases: Answer, target: Target) -> Iterator[Finding]:
    """The table and its key."""
    create = _create(target, name, LEASES_KEY)
    if isinstance(leases, AwsError):
        yield _not_there(name, leases, create, target)
        return
    yield from _state(name, leases, target)
    yield _key(name, LEASES_KEY, leases, create)


def _create(target: Target, name: str, key: str, *more: str) -> str:
    return target.aws(
        *("dynamodb", "create-table", "--table-name", name),
        *("--attribute-definitions", f"AttributeName={key},AttributeType=S"),
        *("--key-schema", f"AttributeName={key},KeyType=HASH"),
        *("--billing-mode", "PAY_PER_REQUEST", *more, *_SSE_ON, "--deletion-protection-enabled"),
    )


def _not_there(name: str, error: AwsError, create: str, target: Target) -> Finding:
    if isinstance(error, NotFound):
        return wrong(f"table {name}", "does not exist in this region and account", create)
    arn = target.arn("dynamodb", f"table/{name}")
    return unread(f"table {name}", error, target, "dynamodb:DescribeTable", arn)


def _state(name: str, table: Mapping[str, Any], target: Target) -> Iterator[Finding]:
    state = table.get("TableStatus")
    if state not in {"ACTIVE", "UPDATING"}:
        wait = target.aws("dynamodb", "wait", "table-exists", "--table-name", name)
        yield wrong(f"table {name}", f"is {state}", wait)


def _key(name: str, key: str, table: Mapping[str, Any], create: str) -> Finding:
    subject = f"table {name} key"
    found = wrong_key(table, key)
    if found is None:
        return fine(subject, f"{key} (S)")
    return wrong(
        subject,
        f"must be {key} (S) alone, is {found}; a key cannot be changed: make another table and name it in the"
        " settings",
        create.replace(f"--table-name {name}", f"--table-name {name}-2"),
    )


def _billing(subject: str, name: str, table: Mapping[str, Any], target: Target) -> Finding:
    subject += " billing"
    mode = table.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED")
    if mode == "PAY_PER_REQUEST":
        return fine(subject, "on demand")
    return wrong(
        subject,
        f"must be on demand, is {mode}",
        _update_table(target, name, "--billing-mode", "PAY_PER_REQUEST"),
    )


def _time_to_live(subject: str, name: str, ttl: Answer, target: Target) -> Finding:
    subject += " TTL"
    if isinstance(ttl, AwsError):
        arn = target.arn("dynamodb", f"table/{name}")
        return unread(subject, ttl, target, "dynamodb:DescribeTimeToLive", arn)
    state, attribute = ttl.get("TimeToLiveStatus", "DISABLED"), ttl.get("AttributeName")

    def switch(attribute: str, enabled: str) -> str:
        words = ("--time-to-live-specification", f"Enabled={enabled},AttributeName={attribute}")
        return target.aws("dynamodb", "update-time-to-live", "--table-name", name, *words)

    match state, attribute:
        case "ENABLED", "ttl":
            return fine(subject, "on, attribute ttl")
        case "ENABLING", "ttl":
            return fine(subject, "being switched on for attribute ttl, which takes up to an hour")
        case (("ENABLED" | "ENABLING"), str()):
            return wrong(
                subject,
                f"must be on attribute ttl, is on {attribute}; switch it off, and an hour later check again",
                switch(attribute, "false"),
            )
        case "DISABLING", _:
            return wrong(
                subject, "is being switched off, which takes up to an hour; then", switch("ttl", "true")
            )
        case _:
            return wrong(subject, "off", switch("ttl", "true"))


def _stream(subject: str, name: str, table: Mapping[str, Any], target: Target) -> Finding:
    subject += " stream"
    stream = table.get("StreamSpecification", {})
    switch_on = _update_table(target, name, "--stream-specification", _STREAM_ON)
    if not stream.get("StreamEnabled"):
        return wrong(subject, "off, so that nothing is audited", switch_on)
    view = stream.get("StreamViewType")
    if view == VIEW_TYPE:
        return fine(subject, "on, new and old images")
    switch_off = _update_table(target, name, "--stream-specification", "StreamEnabled=false")
    wait = target.aws("dynamodb", "wait", "table-exists", "--table-name", name)
    return wrong(subject, f"must hold {VIEW_TYPE}, holds {view}", f"{switch_off} && {wait} && {switch_on}")


def _backups(subject: str, name: str, backups: Answer, target: Target) -> Finding:
    subject += " point-in-time recovery"
    if isinstance(backups, AwsError):
        arn = target.arn("dynamodb", f"table/{name}")
        return unread(subject, backups, target, "dynamodb:DescribeContinuousBackups", arn)
    state = backups.get("PointInTimeRecoveryDescription", {}).get("PointInTimeRecoveryStatus")
    if state == "ENABLED":
        return fine(subject, "on")
    if state is None and target.emulated("dynamodb"):
        return unknown(subject, "this server does not report it")
    words = ("--point-in-time-recovery-specification", "PointInTimeRecoveryEnabled=true")
    return wrong(
        subject, "off", target.aws("dynamodb", "update-continuous-backups", "--table-name", name, *words)
    )


def _encryption(subject: str, name: str, table: Mapping[str, Any], target: Target) -> Finding:
    subject += " encryption"
    description = table.get("SSEDescription", {})
    state = description.get("Status")
    if state in {"ENABLED", "ENABLING", "UPDATING"}:
        return fine(subject, f"on, {description.get('SSEType')}")
    if state is None and target.emulated("dynamodb"):
        return unknown(subject, "this server does not report it")
    return wrong(
        subject, "only with a key that DynamoDB owns, not with KMS", _update_table(target, name, *_SSE_ON)
    )


def _update_table(target: Target, name: str, *words: str) -> str:
    return target.aws("dynamodb", "update-table", "--table-name", name, *words)
