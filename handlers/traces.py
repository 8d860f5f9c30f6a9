"""The trace that an event belongs to (docs/contract.md, section 2)."""

import re
from collections.abc import Mapping
from typing import Any

from handlers.envelopes import InvalidEvent, is_sns, read_object

TRACEPARENT = "traceparent"

# "Trace Context" (W3C): version, trace id, parent id, flags. Later versions may add fields; ff is not a
# version, and zeros are not an id.
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?"
)
# "AWS X-Ray tracing header": Root=1-<8 hex digits of the time>-<24 hex digits>.
_ROOT = re.compile(r"(?:^|;)\s*Root=(1-[0-9a-fA-F]{8}-[0-9a-fA-F]{24})\s*(?:;|$)")


def trace_id(*, traceparent: str | None, trace_header: str | None, body: str) -> str | None:
    """The event's trace id.

    Args:
        traceparent: the message attribute of that name (W3C Trace Context).
        trace_header: the system attribute `AWSTraceHeader`.
        body: the message's body; an SNS envelope may hold the attribute `traceparent` of its publisher.

    Returns:
        The 32 hex digits of `traceparent`; without a valid one, the root of the trace header in the form of
        AWS X-Ray (`1-5759e988-bd862e3fe1be46a994272793`); without either, None.
    """
    for text in (traceparent, _of_sns(body)):
        found = _TRACEPARENT.fullmatch(text) if text else None
        if found:
            return found[1]
    root = _ROOT.search(trace_header) if trace_header else None
    return root[1] if root else None


def _of_sns(body: str) -> str | None:
    """The attribute `traceparent` in an SNS envelope. Most bodies have none, and are not read for it."""
    if f'"{TRACEPARENT}"' not in body:
        return None
    try:
        outer = read_object(body)
    except InvalidEvent:
        return None
    attributes = outer.get("MessageAttributes")
    attribute = attributes.get(TRACEPARENT) if is_sns(outer) and isinstance(attributes, Mapping) else None
    value: Any = attribute.get("Value") if isinstance(attribute, Mapping) else None
    return value if isinstance(value, str) else None
