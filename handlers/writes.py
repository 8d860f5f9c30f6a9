"""The conditional writes, as UpdateItem arguments and as PartiQL: one condition for each change.

A change is written where it creates the item, or moves a living item of ours forward. Whatever the
condition refuses, `transitions.decide` names. Expressions follow the DynamoDB Developer Guide,
"Condition and filter expressions" and "PartiQL update statements".
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from handlers.export import Status
from handlers.timestamps import format_timestamp
from handlers.transitions import Change, predecessors

AttributeValue = dict[str, str]

# Stored times are text: any timestamp lies between these two, and a value of another type does not. What no
# condition can see (a `ttl` with a fraction, digits that are no date) is noticed by the next event at most.
_FIRST_TIME, _LAST_TIME = "0001", "9999~"
_NAMES = {"#status": "status", "#ttl": "ttl", "#error": "error"}
# What only a change to this status carries, for the proof.
_OWN_TEXTS: Mapping[Status, Sequence[dict[str, Any]]] = {
    Status.COMPLETED: [{"signed_url": "proof"}],
    Status.FAILED: [{"error": "proof"}],
}
# Types first: to compare two types is false in DynamoDB and a failure in emulators.
_OURS = (
    "attribute_type(#ttl, :number) AND #ttl > :now"
    " AND attribute_type(createdAt, :text) AND createdAt BETWEEN :firstTime AND :lastTime"
    " AND attribute_type(updatedAt, :text) AND updatedAt BETWEEN :firstTime AND :lastTime"
    " AND attribute_not_exists(signedUrl) AND attribute_not_exists(#error)"
    " AND (attribute_not_exists(fileName) OR attribute_type(fileName, :text))"
)
_OURS_VALUES = {
    ":number": {"S": "N"},
    ":text": {"S": "S"},
    ":firstTime": {"S": _FIRST_TIME},
    ":lastTime": {"S": _LAST_TIME},
}
# What is the same in every statement stands in its text: each parameter costs CPU in botocore.
_PARTIQL_OURS = (
    f"\"createdAt\" BETWEEN '{_FIRST_TIME}' AND '{_LAST_TIME}'"
    f" AND \"updatedAt\" BETWEEN '{_FIRST_TIME}' AND '{_LAST_TIME}'"
    ' AND "signedUrl" IS MISSING AND "error" IS MISSING'
)
_PARTIQL_SAME_OR_MISSING = ' AND ("fileName" IS MISSING OR "fileName" = ?)'
_PARTIQL_TEXT_OR_MISSING = """ AND ("fileName" IS MISSING OR attribute_type("fileName", 'S'))"""


class Statement(NamedTuple):
    """One PartiQL statement with its parameters, as BatchExecuteStatement takes it."""

    text: str
    parameters: tuple[AttributeValue, ...]


def update_arguments(change: Change, now: datetime) -> dict[str, Any]:
    """UpdateItem's arguments for a change, but for the table's name.

    Args:
        change: what to write.
        now: the time of this attempt; an item whose ttl is not after it is dead and is not touched.
    """
    written = _written(change)
    begun = _begun(change)
    kept = {*begun, "fileName"}  # whichever write comes first
    values = {f":{name}": value for name, value in (written | begun).items()}
    sets = [
        f"{_path(name)} = " + (f"if_not_exists({_path(name)}, :{name})" if name in kept else f":{name}")
        for name in written | begun
    ]
    conditions = ["attribute_not_exists(requestId)"] if begun else []
    names = {"#status": "status", "#ttl": "ttl"}
    before = predecessors(change.status)
    if before:
        names = _NAMES
        allowed = {f":before{index}": _s(status.value) for index, status in enumerate(before)}
        values |= allowed | _OURS_VALUES | {":now": _now(now)}
        conditions.append(f"(#status IN ({', '.join(allowed)}) AND {_OURS})")
    return {
        "Key": {"requestId": _s(change.request_id)},
        "UpdateExpression": "SET " + ", ".join(sets),
        "ConditionExpression": " OR ".join(conditions),
        "ExpressionAttributeNames": {**names},
        "ExpressionAttributeValues": values,
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def fill_in_arguments(request_id: str, fields: Mapping[str, str], now: datetime) -> dict[str, Any]:
    """UpdateItem's arguments that add attributes to a living item where they are missing, and change
    nothing else.

    Args:
        request_id: the item's key.
        fields: `fileName`, `signedUrl`, `error` or some of them.
        now: the time of this attempt.
    """
    names = {"#ttl": "ttl"} | {f"#{name}": name for name in fields}
    values = {":now": _now(now)} | {f":{name}": _s(value) for name, value in fields.items()}
    missing = " OR ".join(f"attribute_not_exists(#{name})" for name in fields)
    condition = f"attribute_exists(requestId) AND #ttl > :now AND ({missing})"
    for name, status in (("signedUrl", Status.COMPLETED), ("error", Status.FAILED)):
        if name in fields:
            names["#status"] = "status"
            values[":status"] = _s(status.value)
            condition += " AND #status = :status"
    return {
        "Key": {"requestId": _s(request_id)},
        "UpdateExpression": "SET "
        + ", ".join(f"#{name} = if_not_exists(#{name}, :{name})" for name in fields),
        "ConditionExpression": condition,
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values,
    }


def probe_arguments(absent_key: str) -> dict[str, Any]:
    """UpdateItem's arguments for a write that is always refused: it shows that the table takes writes."""
    return {
        "Key": {"requestId": _s(absent_key)},
        "UpdateExpression": "SET #status = :status",
        "ConditionExpression": "attribute_exists(requestId) AND #status = :status",
        "ExpressionAttributeNames": {"#status": "status"},
        "ExpressionAttributeValues": {":status": _s("probe")},
    }


def statement(change: Change, table: str, now: datetime) -> Statement:
    """The PartiQL statement for a change. It succeeds only where UpdateItem would, with the same result;
    it may be refused where UpdateItem would not: an UPDATE never creates, and a kept `fileName` that is
    another is not to be overwritten.

    Args:
        change: what to write.
        table: the table's name.
        now: the time of this attempt.
    """
    written = _written(change)
    if change.begins or not predecessors(change.status):
        if change.created_at is None:
            raise ValueError("a change that begins an export must say when it was requested")
        written |= {"requestId": _s(change.request_id)} | _begun(change)
        return Statement(_insert_text(table, tuple(written)), tuple(written.values()))
    kept = () if change.file_name is None else (_s(change.file_name),)
    return Statement(
        _update_text(table, change.status, tuple(written)),
        (*written.values(), _s(change.request_id), _now(now), *kept),
    )


@cache
def _insert_text(table: str, names: tuple[str, ...]) -> str:
    fields = ", ".join(f"'{name}': ?" for name in names)
    return f'INSERT INTO "{table}" VALUE {{{fields}}}'


@cache
def _update_text(table: str, status: Status, names: tuple[str, ...]) -> str:
    sets = " ".join(f'SET "{name}" = ?' for name in names)
    before = ", ".join(f"'{each.value}'" for each in predecessors(status))
    kept = _PARTIQL_SAME_OR_MISSING if "fileName" in names else _PARTIQL_TEXT_OR_MISSING
    return (
        f'UPDATE "{table}" {sets} WHERE "requestId" = ? AND "status" IN ({before}) AND "ttl" > ?'
        f" AND {_PARTIQL_OURS}{kept}"
    )


def probe_statement(absent_key: str, table: str) -> Statement:
    """A statement that needs the same permission, and that a right server refuses with
    ConditionalCheckFailed."""
    return Statement(
        f'UPDATE "{table}" SET "status" = ? WHERE "requestId" = ? AND "status" IN (?) AND "ttl" > ?',  # noqa: S608 - the table's name is a checked setting, all else is a parameter
        (_s("probe"), _s(absent_key), _s("probe"), {"N": "0"}),
    )


def proof_updates(table: str, absent_key: Callable[[], str], now: datetime) -> tuple[Statement, ...]:
    """Each UPDATE text in use, for items that do not exist: a right server refuses all of them with
    ConditionalCheckFailed.

    Args:
        table: the table's name.
        absent_key: makes a requestId that no export has.
        now: the time of this attempt.
    """
    return tuple(
        statement(replace(Change(absent_key(), status, now, file_name=file_name), **text), table, now)
        for status in Status
        if predecessors(status)
        for file_name in (None, "proof")
        for text in ({}, *_OWN_TEXTS.get(status, ()))
    )


def proof_insert(table: str, now: datetime) -> Statement:
    """An INSERT with an empty key: a right server refuses it with ValidationError, so it creates nothing.

    Args:
        table: the table's name.
        now: stands for every time in it.
    """
    begins = Change("", Status.PENDING, now, created_at=now, ttl=math.floor(now.timestamp()))
    return statement(begins, table, now)


def _written(change: Change) -> dict[str, AttributeValue]:
    """The attributes that a change writes, but for those of its beginning."""
    texts = {
        "status": change.status.value,
        "updatedAt": format_timestamp(change.updated_at),
        "fileName": change.file_name,
        "signedUrl": change.signed_url,
        "error": change.error,
    }
    return {name: _s(text) for name, text in texts.items() if text is not None}


def _begun(change: Change) -> dict[str, AttributeValue]:
    """The attributes that follow from the time of the request; none where it is not known."""
    if change.created_at is None:
        return {}
    return {"createdAt": _s(format_timestamp(change.created_at)), "ttl": {"N": str(change.ttl)}}


def _path(name: str) -> str:
    """How an expression names an attribute: some names are reserved."""
    return f"#{name}" if f"#{name}" in _NAMES else name


def _s(text: str) -> AttributeValue:
    return {"S": text}


def _now(now: datetime) -> AttributeValue:
    # ttl is whole: it is after `now` exactly if it is after now's whole second.
    return {"N": str(math.floor(now.timestamp()))}
