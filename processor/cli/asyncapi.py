"""The event queue as an AsyncAPI 3 document, generated from the model of events."""

from importlib.metadata import version
from typing import Any

from handlers.events import ExportEvent
from processor.cli.check.queues import DEAD_LETTER_QUEUE, EVENT_QUEUE, USUAL_RECEIVES

ASYNCAPI_VERSION = "3.0.0"
SQS_BINDING_VERSION = "0.2.0"
_QUEUE, _DEAD_LETTERS = "export-events", "export-events-dlq"
_CREATED_AT = "2026-11-22T10:00:00.000Z"
_EXAMPLE = {
    "requestId": "req-1",
    "status": "completed",
    "occurredAt": "2026-11-22T10:00:07.250Z",
    "createdAt": _CREATED_AT,
    "fileName": "report.csv",
}


def asyncapi_document(event_schema: dict[str, Any]) -> dict[str, Any]:
    """The document.

    Args:
        event_schema: the JSON Schema of an event. It may use only what draft 7 has.
    """
    schema = {name: value for name, value in event_schema.items() if name != "$schema"}
    return {
        "asyncapi": ASYNCAPI_VERSION,
        "info": {
            "title": "export-status",
            "version": version("export-status"),
            "description": "The queue that producers send the steps of an export to.",
        },
        "defaultContentType": "application/json",
        "servers": {
            "sqs": {
                "host": "sqs.{region}.amazonaws.com",
                "protocol": "sqs",
                "variables": {"region": {"description": "The queue's AWS region."}},
            }
        },
        "channels": {
            "exportEvents": {
                "address": _QUEUE,
                "description": "SQS_EXPORT_EVENTS_QUEUE_URL; standard, or FIFO with .fifo at the end.",
                "messages": {
                    "exportEvent": {"$ref": "#/components/messages/exportEvent"},
                    "exportCloudEvent": {"$ref": "#/components/messages/exportCloudEvent"},
                },
                "bindings": {
                    "sqs": {
                        "queue": _queue(
                            _QUEUE,
                            EVENT_QUEUE,
                            redrivePolicy={
                                "deadLetterQueue": {"name": _DEAD_LETTERS},
                                "maxReceiveCount": USUAL_RECEIVES,
                            },
                        ),
                        "deadLetterQueue": _queue(_DEAD_LETTERS, DEAD_LETTER_QUEUE),
                        "bindingVersion": SQS_BINDING_VERSION,
                    }
                },
            }
        },
        "operations": {
            "receiveExportEvents": {
                "action": "receive",
                "channel": {"$ref": "#/channels/exportEvents"},
                "summary": "Applies each event to the status table.",
                "messages": [
                    {"$ref": "#/channels/exportEvents/messages/exportEvent"},
                    {"$ref": "#/channels/exportEvents/messages/exportCloudEvent"},
                ],
                "bindings": {
                    "sqs": {
                        "queues": [_queue(_QUEUE, EVENT_QUEUE)],
                        "bindingVersion": SQS_BINDING_VERSION,
                    }
                },
            }
        },
        "components": {
            "schemas": {"exportEvent": schema, "cloudEvent": _cloud_event()},
            "messages": {
                "exportEvent": {
                    "title": "A step of an export",
                    "summary": str(ExportEvent.__doc__).split(".", maxsplit=1)[0] + ".",
                    "headers": _headers(),
                    "payload": {"$ref": "#/components/schemas/exportEvent"},
                    "examples": [{"name": "completed", "payload": _EXAMPLE}],
                },
                "exportCloudEvent": {
                    "title": "A step of an export as a CloudEvent 1.0",
                    "contentType": "application/cloudevents+json",
                    "headers": _headers(),
                    "payload": {"$ref": "#/components/schemas/cloudEvent"},
                    "examples": [
                        {
                            "name": "completed",
                            "payload": {
                                "specversion": "1.0",
                                "id": "9f0c",
                                "source": "/exports",
                                "type": "com.example.export.completed",
                                "data": _EXAMPLE,
                            },
                        }
                    ],
                },
            },
        },
    }


def _queue(name: str, attributes: Any, **more: Any) -> dict[str, Any]:
    settings = {
        "visibilityTimeout": attributes.get("VisibilityTimeout"),
        "receiveMessageWaitTime": attributes.get("ReceiveMessageWaitTimeSeconds"),
        "messageRetentionPeriod": attributes.get("MessageRetentionPeriod"),
    }
    numbers = {key: int(value) for key, value in settings.items() if value is not None}
    return {"name": name, "fifoQueue": False, **numbers, **more}


def _headers() -> dict[str, Any]:
    """The message attributes that the service reads; all others are kept too."""
    return {
        "type": "object",
        "properties": {
            "traceparent": {"type": "string", "description": "W3C Trace Context; a message attribute."}
        },
    }


def _cloud_event() -> dict[str, Any]:
    text = {"type": "string", "minLength": 1}
    return {
        "type": "object",
        "required": ["specversion", "id", "source", "type", "data"],
        "properties": {
            "specversion": {"type": "string", "pattern": r"^1\."},
            "id": {**text, "description": "Stands in for a missing eventId."},
            "source": text,
            "type": text,
            "data": {"$ref": "#/components/schemas/exportEvent"},
        },
    }
