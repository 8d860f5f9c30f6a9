"""ExportEvent: the contract with upstream producers (docs/contract.md, section 2)."""

import re
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel

from handlers.envelopes import InvalidEvent, unwrap
from handlers.export import (
    MAX_ERROR_BYTES,
    MAX_FILE_NAME_CHARS,
    MAX_REQUEST_ID_CHARS,
    MAX_SIGNED_URL_BYTES,
    Status,
    cut_utf8,
    ttl_of,
)
from handlers.timestamps import from_epoch_seconds, parse_timestamp

MAX_EVENT_ID_CHARS = 128
MAX_REASON_CHARS = 256
CLOCK_TOLERANCE = timedelta(minutes=5)

_STATUS_RULE = "must be pending, processing, completed or failed"


def _timestamp(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("must be a JSON string")  # noqa: TRY004 - pydantic turns ValueError into a field's error
    return parse_timestamp(value)


def _status(value: object) -> Status:
    try:
        return Status(value)
    except ValueError:
        raise ValueError(_STATUS_RULE) from None


def _url_size(value: str) -> str:
    if len(value.encode()) > MAX_SIGNED_URL_BYTES:
        raise ValueError(f"must have at most {MAX_SIGNED_URL_BYTES} bytes")
    return value


Timestamp = Annotated[
    AwareDatetime, BeforeValidator(_timestamp), WithJsonSchema({"type": "string", "format": "date-time"})
]
StatusName = Annotated[
    Status,
    BeforeValidator(_status),
    WithJsonSchema({"type": "string", "enum": [status.value for status in Status]}),
]


class ExportEvent(BaseModel):
    """A step of an export, as its producer reports it. Unknown fields are ignored; null means absent."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, alias_generator=to_camel)

    request_id: Annotated[str, StringConstraints(min_length=1, max_length=MAX_REQUEST_ID_CHARS)]
    status: StatusName
    occurred_at: Timestamp
    created_at: Timestamp | None = Field(
        None, description="When the export was requested; a pending event without it stands for occurredAt"
    )
    event_id: Annotated[str, AfterValidator(lambda text: text[:MAX_EVENT_ID_CHARS])] | None = Field(
        None, description=f"Only for tracing; cut to {MAX_EVENT_ID_CHARS} characters"
    )
    file_name: Annotated[str, StringConstraints(max_length=MAX_FILE_NAME_CHARS)] | None = None
    signed_url: Annotated[str, AfterValidator(_url_size)] | None = Field(
        None, repr=False, description=f"Only with completed; at most {MAX_SIGNED_URL_BYTES} bytes"
    )
    error: Annotated[str, AfterValidator(partial(cut_utf8, max_bytes=MAX_ERROR_BYTES))] | None = Field(
        None, repr=False, description=f"Only with failed; cut to {MAX_ERROR_BYTES} bytes"
    )

    @model_validator(mode="after")
    def _fields_fit_together(self) -> Self:
        if self.signed_url is not None and self.status is not Status.COMPLETED:
            raise ValueError("signedUrl is allowed only with status completed")
        if self.error is not None and self.status is not Status.FAILED:
            raise ValueError("error is allowed only with status failed")
        if self.created_at is not None and self.created_at - self.occurred_at > CLOCK_TOLERANCE:
            raise ValueError("createdAt must not be more than 5 minutes after occurredAt")
        return self

    @property
    def created(self) -> datetime | None:
        """When the export was requested, as far as this event tells: a `pending` always does."""
        if self.created_at is None and self.status is Status.PENDING:
            return self.occurred_at
        return self.created_at

    def ttl(self, ttl_seconds: int) -> int | None:
        """The ttl in Unix seconds that this event would write; None if it does not know `createdAt`."""
        created = self.created
        return None if created is None else ttl_of(created, ttl_seconds)


def decode(body: str, *, now: datetime, sent_at: datetime | None = None, fifo: bool = False) -> ExportEvent:
    """Reads the body of an SQS message (docs/contract.md, section 2).

    Args:
        body: bare, or in an envelope of SNS, EventBridge or CloudEvents.
        now: our clock.
        sent_at: the message's SentTimestamp; the later of the two clocks judges what lies in the future.
        fifo: whether the queue is FIFO, where an event that is not pending must carry createdAt.

    Raises:
        InvalidEvent: with one printable ASCII sentence of at most 256 characters: field and rule, no value.
    """
    fields = unwrap(body)
    try:
        event = ExportEvent.model_validate(fields)
    except ValidationError as broken:
        raise InvalidEvent(_sentence(broken)) from None
    latest = max(now, sent_at) if sent_at else now
    if event.occurred_at - latest > CLOCK_TOLERANCE:
        raise InvalidEvent("occurredAt must not be more than 5 minutes in the future")
    if fifo and event.created is None:
        raise InvalidEvent("createdAt is required on a FIFO queue for an event that is not pending")
    return event


def sent_timestamp(milliseconds: str | None) -> datetime | None:
    """SQS's SentTimestamp (epoch milliseconds) as a datetime; None where it is missing or unusable."""
    if milliseconds is None or not re.fullmatch(r"\d{1,15}", milliseconds, re.ASCII):
        return None
    try:
        return from_epoch_seconds(int(milliseconds) / 1_000)
    except ValueError:
        return None


def _sentence(broken: ValidationError) -> str:
    error: Any = broken.errors()[0]  # its `input` and `url` stay out of the sentence
    path = error["loc"]
    name = str(path[0]) if path else ""
    match error["type"]:
        case "missing":
            rule = "is required"
        case "value_error":
            rule = str(error["ctx"]["error"])
        case "string_too_long":
            rule = f"must have at most {error['ctx']['max_length']} characters"
        case "string_too_short":
            rule = "must not be empty"
        case "string_type":
            rule = "must be a JSON string"
        case _:
            rule = "is not valid"
    return f"{name} {rule}".strip()[:MAX_REASON_CHARS]
