"""Reads JSON, and takes an event out of the envelope that it travels in (docs/contract.md, section 2).

Producers may add fields, whatever they hold. So a repeated name, NaN or a lone surrogate is refused only in a
field that is read: one of the event's own, or of its envelope.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

EVENT_FIELDS = (
    *("requestId", "status", "occurredAt", "createdAt", "eventId"),
    *("fileName", "signedUrl", "error"),
)
"""The fields of an event that are read."""

_NO_ENVELOPE = "requestId is required, and the body is no SNS, EventBridge or CloudEvents envelope either"


class InvalidEvent(ValueError):
    """A message is no event. The text is one sentence, the field and the rule, never the value."""


class _Unusable:
    """A value that no rule accepts, so that it matters only in a field that is read."""


_NOT_A_NUMBER = _Unusable()  # NaN and Infinity, which Python's reader takes although they are not JSON
_REPEATED = _Unusable()  # the value of a name that an object holds more than once


def unwrap(body: str) -> dict[str, Any]:
    """Takes the event's JSON object out of a message body.

    Bare if it has `requestId`; SNS if `Type` is `Notification` and `Message` is a string; EventBridge if
    it has `detail-type`, `source` and an object `detail`; CloudEvents 1.0 in structured mode if it has
    `specversion` 1.x, `id`, `source`, `type` and an object `data`. SNS may hold the last two.

    Args:
        body: the SQS message's body.

    Returns:
        The object that has `requestId`. A CloudEvents `id` stands in for a missing `eventId`.

    Raises:
        InvalidEvent: if the body is not one of these, or a field that is read is not strict JSON.
    """
    what = "the body"
    outer = read_object(body)
    if "requestId" not in outer and is_sns(outer):
        what = "the SNS Message"
        outer = read_object(outer["Message"], what)
    if "requestId" in outer:
        return _judged(outer, EVENT_FIELDS, what)
    if "detail-type" in outer and "source" in outer and isinstance(outer.get("detail"), dict):
        _judged(outer, ("detail-type", "source"), "the EventBridge envelope")
        return _inner_event(outer["detail"], "the EventBridge detail")
    if _is_cloud_event(outer):
        _judged(outer, ("id", "source", "type"), "the CloudEvents envelope")
        if not isinstance(outer["id"], str):
            raise InvalidEvent("id must be a JSON string in the CloudEvents envelope")
        event = _inner_event(outer["data"], "the CloudEvents data")
        return event if event.get("eventId") is not None else {**event, "eventId": outer["id"]}
    raise InvalidEvent(_NO_ENVELOPE)


def is_sns(outer: Mapping[str, Any]) -> bool:
    """Whether an object is the envelope of an SNS notification."""
    return outer.get("Type") == "Notification" and isinstance(outer.get("Message"), str)


def read_object(text: str, what: str = "the body") -> dict[str, Any]:
    """Reads JSON that is an object.

    Args:
        text: the JSON.
        what: how the error names it.

    Returns:
        The object. NaN, Infinity and the values of repeated names are no strings, numbers or objects in it.

    Raises:
        InvalidEvent: otherwise.
    """
    try:
        value = _decoder.decode(text)
    except RecursionError:
        raise InvalidEvent(f"{what} must not be nested so deeply") from None
    except ValueError:
        raise InvalidEvent(f"{what} must be JSON") from None
    if not isinstance(value, dict):
        raise InvalidEvent(f"{what} must be a JSON object")
    return value


def _is_cloud_event(outer: Mapping[str, Any]) -> bool:
    version = outer.get("specversion")
    return (
        isinstance(version, str)
        and version.startswith("1.")
        and all(name in outer for name in ("id", "source", "type"))
        and isinstance(outer.get("data"), dict)
    )


def _inner_event(fields: dict[str, Any], what: str) -> dict[str, Any]:
    if "requestId" not in fields:
        raise InvalidEvent(f"requestId is required in {what}")
    return _judged(fields, EVENT_FIELDS, what)


def _judged(fields: dict[str, Any], names: Iterable[str], what: str) -> dict[str, Any]:
    """The fields, once what is read of them is strict JSON."""
    for name in names:
        value = fields.get(name)
        if value is _REPEATED:
            raise InvalidEvent(f"{what} must not hold {name} twice")
        if value is _NOT_A_NUMBER:
            raise InvalidEvent(f"{name} must not be NaN or Infinity in {what}")
        if isinstance(value, str) and not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise InvalidEvent(f"{name} must not hold a lone surrogate in {what}") from None
    return fields


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                found[name] = _REPEATED
            seen.add(name)
    return found


# No field of ours is a number, so numbers need no exactness, only a bound on what reading them costs.
_decoder = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=lambda _: _NOT_A_NUMBER, parse_int=float
)
