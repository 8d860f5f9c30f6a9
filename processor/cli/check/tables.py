"""Judges the status table (docs/contract.md, section 1) and the leases table."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from processor.aws.errors import AwsError
from processor.cli.check.deployed_state import Answer
from processor.cli.check.finding import Finding, fine, unknown, unread, wrong
from processor.cli.check.target import Target
from processor.startup_checks import wrong_key
from processor.transitions.refusals import wrong_index

STATUS_KEY = "requestId"
LEASES_KEY = "leaseKey"
VIEW_TYPE = "NEW_AND_OLD_IMAGES"
_STREAM_ON = ("--stream-specification", f"StreamEnabled=true,StreamViewType={VIEW_TYPE}")
_SSE_ON = ("--sse-specification", "Enabled=true,SSEType=KMS")
_TTL_ON = {
    "ENABLED": "on, attribute ttl",
    "ENABLING": "being switched on for attribute ttl, which takes up to an hour",
}


def judge_status_table(
    name: str, description: Answer, ttl: Answer, backups: Answer, target: Target
) -> Iterator[Finding]:
    """The table, its key, billing, TTL, stream, backups and encryption."""
    table = _Table(name, target)
    yield from table.itself(description, STATUS_KEY, *_STREAM_ON)
    if not isinstance(description, AwsError):
        yield from table.indexes(description)
        yield table.billing(description)
        yield table.time_to_live(ttl)
        yield table.stream(description)
        yield table.backups(backups)
        yield table.encryption(description)


def judge_leases_table(name: str, leases: Answer, target: Target) -> Iterator[Finding]:
    """The table and its key."""
    yield from _Table(name, target).itself(leases, LEASES_KEY)


@dataclass(frozen=True, slots=True)
class _Table:
    name: str
    target: Target

    def itself(self, table: Answer, key: str, *more: str) -> Iterator[Finding]:
        create = self._command(
            "create-table",
            *("--attribute-definitions", f"AttributeName={key},AttributeType=S"),
            *("--key-schema", f"AttributeName={key},KeyType=HASH"),
            *("--billing-mode", "PAY_PER_REQUEST", *more, *_SSE_ON, "--deletion-protection-enabled"),
        )
        subject = f"table {self.name}"
        if isinstance(table, AwsError):
            yield self._unread(subject, table, "dynamodb:DescribeTable", create)
            return
        state = table.get("TableStatus")
        if state not in {"ACTIVE", "UPDATING"}:
            yield wrong(subject, f"is {state}", self._command("wait table-exists"))
        found = wrong_key(table, key)
        if found is None:
            yield fine(f"{subject} key", f"{key} (S)")
        else:
            yield wrong(
                f"{subject} key",
                f"must be {key} (S) alone, is {found}; a key cannot be changed: make another table and name"
                " it in the settings",
                create.replace(f"--table-name {self.name}", f"--table-name {self.name}-2"),
            )

    def indexes(self, table: Mapping[str, Any]) -> Iterator[Finding]:
        if problem := wrong_index(table):
            delete = json.dumps([{"Delete": {"IndexName": problem.split()[2]}}])
            remedy = self._command("update-table", "--global-secondary-index-updates", delete)
            yield wrong(f"table {self.name} index", f"{problem}: no event that has it is applied", remedy)

    def billing(self, table: Mapping[str, Any]) -> Finding:
        subject = f"table {self.name} billing"
        mode = table.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED")
        if mode == "PAY_PER_REQUEST":
            return fine(subject, "on demand")
        remedy = self._command("update-table", "--billing-mode", "PAY_PER_REQUEST")
        return wrong(subject, f"must be on demand, is {mode}", remedy)

    def time_to_live(self, ttl: Answer) -> Finding:
        subject = f"table {self.name} TTL"
        if isinstance(ttl, AwsError):
            return self._unread(subject, ttl, "dynamodb:DescribeTimeToLive")
        state, attribute = ttl.get("TimeToLiveStatus", "DISABLED"), ttl.get("AttributeName")
        if attribute == "ttl" and state in _TTL_ON:
            return fine(subject, _TTL_ON[state])
        if state in _TTL_ON:
            return wrong(
                subject,
                f"must be on attribute ttl, is on {attribute}; switch it off, and an hour later check again",
                self._switch_ttl(f"Enabled=false,AttributeName={attribute}"),
            )
        text = "is being switched off, which takes up to an hour; then" if state == "DISABLING" else "off"
        return wrong(subject, text, self._switch_ttl("Enabled=true,AttributeName=ttl"))

    def stream(self, table: Mapping[str, Any]) -> Finding:
        subject = f"table {self.name} stream"
        stream = table.get("StreamSpecification", {})
        switch_on = self._command("update-table", *_STREAM_ON)
        if not stream.get("StreamEnabled"):
            return wrong(subject, "off, so that nothing is audited", switch_on)
        view = stream.get("StreamViewType")
        if view == VIEW_TYPE:
            return fine(subject, "on, new and old images")
        switch_off = self._command("update-table", "--stream-specification", "StreamEnabled=false")
        wait = self._command("wait table-exists")
        return wrong(
            subject, f"must hold {VIEW_TYPE}, holds {view}", f"{switch_off} && {wait} && {switch_on}"
        )

    def backups(self, backups: Answer) -> Finding:
        subject = f"table {self.name} point-in-time recovery"
        if isinstance(backups, AwsError):
            return self._unread(subject, backups, "dynamodb:DescribeContinuousBackups")
        state = backups.get("PointInTimeRecoveryDescription", {}).get("PointInTimeRecoveryStatus")
        if state == "ENABLED":
            return fine(subject, "on")
        if state is None and self.target.emulated("dynamodb"):
            return unknown(subject, "this server does not report it")
        words = ("--point-in-time-recovery-specification", "PointInTimeRecoveryEnabled=true")
        return wrong(subject, "off", self._command("update-continuous-backups", *words))

    def encryption(self, table: Mapping[str, Any]) -> Finding:
        subject = f"table {self.name} encryption"
        description = table.get("SSEDescription", {})
        state = description.get("Status")
        if state in {"ENABLED", "ENABLING", "UPDATING"}:
            return fine(subject, f"on, {description.get('SSEType')}")
        if state is None and self.target.emulated("dynamodb"):
            return unknown(subject, "this server does not report it")
        remedy = self._command("update-table", *_SSE_ON)
        return wrong(subject, "only with a key that DynamoDB owns, not with KMS", remedy)

    def _command(self, operation: str, *words: str) -> str:
        return self.target.aws("dynamodb", *operation.split(), "--table-name", self.name, *words)

    def _switch_ttl(self, specification: str) -> str:
        return self._command("update-time-to-live", "--time-to-live-specification", specification)

    def _unread(self, subject: str, error: AwsError, action: str, create: str = "") -> Finding:
        return unread(subject, error, self.target, action, f"table/{self.name}", create=create)
