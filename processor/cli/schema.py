"""The command `schema`: the contracts with other systems, generated from the models."""

import json
from enum import Enum
from typing import Annotated, Any

import typer
from pydantic.json_schema import GenerateJsonSchema

from handlers.audit import entry_schema
from handlers.events import ExportEvent
from processor.cli.asyncapi import asyncapi_document
from processor.cli.session import usage_error

DIALECT = "https://json-schema.org/draft/2020-12/schema"
DRAFT_4 = "http://json-schema.org/draft-04/schema#"
ONLY_WITH_STATUS = {"signedUrl": "completed", "error": "failed"}  # the model checks it in code

schema_app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Print the JSON Schema of an event or an audit entry, or an AsyncAPI document of the queue.",
)


class Contract(Enum):
    """What producers send (docs/contract.md, section 2), or consumers get (docs/contract.md, section 4)."""

    EVENT = "event"
    AUDIT = "audit"


class _Untitled(GenerateJsonSchema):
    """Leaves out titles that only repeat a field's name."""

    schema_dialect = DIALECT

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002 - pydantic's signature
        return False


def schema_of(contract: Contract) -> dict[str, Any]:
    """The schema (draft 2020-12) of events as producers send them, or of entries as consumers see them."""
    match contract:
        case Contract.EVENT:
            body = ExportEvent.model_json_schema(mode="validation", schema_generator=_Untitled)
            body["allOf"] = [_only_with(name, status) for name, status in ONLY_WITH_STATUS.items()]
        case Contract.AUDIT:
            body = entry_schema()
    return {"$schema": DIALECT} | body


def _only_with(name: str, status: str) -> dict[str, Any]:
    return {
        "if": {"required": [name], "properties": {name: {"type": "string"}}},
        "then": {"properties": {"status": {"const": status}}},
    }


def draft_4_event_schema() -> dict[str, Any]:
    """The schema of events in draft 4, which EventBridge's schema registry takes.

    Draft 4 has neither `if` nor `const`: a field of one status is absent, null, or together with it.
    """
    body = schema_of(Contract.EVENT)
    body["allOf"] = [
        {
            "anyOf": [
                {"not": {"required": [name], "properties": {name: {"type": "string"}}}},
                {"properties": {"status": {"enum": [status]}}},
            ]
        }
        for name, status in ONLY_WITH_STATUS.items()
    ]
    return body | {"$schema": DRAFT_4}


@schema_app.command()
def event(
    *,
    draft: Annotated[
        str, typer.Option(metavar="DRAFT", help="2020-12, or 4 for EventBridge's schema registry")
    ] = "2020-12",
) -> None:
    """Print the JSON Schema of what producers send.

    Example: export-status schema event --draft 4 > event.schema.json
    """
    match draft:
        case "2020-12":
            _print(schema_of(Contract.EVENT))
        case "4":
            _print(draft_4_event_schema())
        case _:
            raise usage_error("--draft must be 2020-12 or 4")


@schema_app.command()
def audit() -> None:
    """Print the JSON Schema of what audit log consumers get.

    Example: export-status schema audit > audit.schema.json
    """
    _print(schema_of(Contract.AUDIT))


@schema_app.command()
def asyncapi() -> None:
    """Print an AsyncAPI 3 document of the event queue: its messages, attributes and dead-letter queue.

    Example: export-status schema asyncapi > export-status.asyncapi.json
    """
    _print(asyncapi_document(schema_of(Contract.EVENT)))


def _print(document: dict[str, Any]) -> None:
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
