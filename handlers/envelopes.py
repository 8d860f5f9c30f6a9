"""Strict JSON, and the envelopes that an event may travel in (docs/contract.md, section 2)."""

import json
import re
from typing import Any

_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class InvalidEvent(ValueError):
    """A message is no event. The text is one sentence, the field and the rule, never the value."""


def unwrap(body: str) -> dict[str, Any]:
    """Takes the event's JSON object out of a message body.

    Bare if it has `requestId`; SNS if `Type` is `Notification` and `Message` is a string; EventBridge if
    it has `detail-type`, `source` and an object `detail`; EventBridge inside SNS too.

    Args:
        body: the SQS message's body.

    Returns:
        The object that has `requestId`.

    Raises:
        InvalidEvent: if the body is not such a thing.
    """
    outer = strict_object(body, "the body")
    if (
        "requestId" not in outer
        and outer.get("Type") == "Notification"
        and isinstance(outer.get("Message"), str)
    ):
        outer = strict_object(outer["Message"], "the SNS Message")
    if "requestId" in outer:
        return outer
    detail = outer.get("detail")
    if "detail-type" in outer and "source" in outer and isinstance(detail, dict):
        if "requestId" in detail:
            return detail
        raise InvalidEvent("requestId is required in the EventBridge detail")
    raise InvalidEvent("requestId is required, and the body is no SNS or EventBridge envelope either")


def strict_object(text: str, what: str) -> dict[str, Any]:
    """Reads JSON that is an object, without repeated keys, NaN, Infinity or lone surrogates anywhere.

    Args:
        text: the JSON.
        what: how the error names it.

    Raises:
        InvalidEvent: otherwise.
    """
    try:
        # No field of ours is a number, so numbers need no exactness, only a bound on what reading them costs.
        value = json.loads(text, object_pairs_hook=_no_repeats, parse_constant=_no_constant, parse_int=float)
        if not text.isascii() or _ESCAPED_SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except InvalidEvent as broken:
        raise InvalidEvent(f"{what} {broken}") from None
    except RecursionError:
        raise InvalidEvent(f"{what} must not be nested so deeply") from None
    except UnicodeEncodeError:
        raise InvalidEvent(f"{what} must not hold a lone surrogate") from None
    except ValueError:
        raise InvalidEvent(f"{what} must be JSON") from None
    if not isinstance(value, dict):
        raise InvalidEvent(f"{what} must be a JSON object")
    return value


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InvalidEvent("must not hold the same key twice")
    return found


def _no_constant(_name: str) -> Any:
    raise InvalidEvent("must not hold NaN or Infinity")
