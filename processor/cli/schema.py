"""The command `schema`: the contracts with other systems as JSON Schema, generated from the models."""

import json
from enum import Enum
from typing import Any

import typer
from pydantic.json_schema import GenerateJsonSchema

from handlers.audit import AuditEntry
from handlers.events import ExportEvent

DIALECT = "https://json-schema.org/draft/2020-12/schema"
ONLY_WITH_STATUS = {"signedUrl": "completed", "error": "failed"}  # the model checks it in code

schema_app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Print the JSON Schema of an event or of an audit entry.",
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
            body = AuditEntry.model_json_schema(mode="serialization", schema_generator=_Untitled)
    return {"$schema": DIALECT} | body


def _only_with(name: str, status: str) -> dict[str, Any]:
    return {
        "if": {"required": [name], "properties": {name: {"type": "string"}}},
        "then": {"properties": {"status": {"const": status}}},
    }


@schema_app.command()
def event() -> None:
    """Print the JSON Schema of what producers send.

    Example: export-status schema event > event.schema.json
    """
    _print(Contract.EVENT)


@schema_app.command()
def audit() -> None:
    """Print the JSON Schema of what audit log consumers get.

    Example: export-status schema audit > audit.schema.json
    """
    _print(Contract.AUDIT)


def _print(contract: Contract) -> None:
    typer.echo(json.dumps(schema_of(contract), indent=2, ensure_ascii=False))
