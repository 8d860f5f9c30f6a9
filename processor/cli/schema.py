"""The command `schema`: the contracts with other systems, generated from the models."""

import json
from importlib.metadata import version
from importlib.resources import files
from typing import Annotated, Any, Literal

import typer
from pydantic.json_schema import GenerateJsonSchema

from handlers.audit import entry_schema
from handlers.events import ExportEvent

DIALECT = "https://json-schema.org/draft/2020-12/schema"
DRAFT_4 = "http://json-schema.org/draft-04/schema#"
ONLY_WITH_STATUS = {"signedUrl": "completed", "error": "failed"}  # the model checks it in code

schema_app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Print the JSON Schema of an event or an audit entry, or an AsyncAPI document of the queue.",
)


class _Untitled(GenerateJsonSchema):
    """Leaves out titles that only repeat a field's name."""

    schema_dialect = DIALECT

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002 - pydantic's signature
        return False


def event_schema() -> dict[str, Any]:
    """The schema (draft 2020-12) of events as producers send them (docs/contract.md, section 2)."""
    body = ExportEvent.model_json_schema(mode="validation", schema_generator=_Untitled)
    rules = [
        {
            "if": {"required": [name], "properties": {name: {"type": "string"}}},
            "then": {"properties": {"status": {"const": status}}},
        }
        for name, status in ONLY_WITH_STATUS.items()
    ]
    return {"$schema": DIALECT} | body | {"allOf": rules}


def audit_schema() -> dict[str, Any]:
    """The schema (draft 2020-12) of entries as consumers see them (docs/contract.md, section 4)."""
    return {"$schema": DIALECT} | entry_schema()


def draft_4_event_schema() -> dict[str, Any]:
    """The schema of events in draft 4, which EventBridge's schema registry takes.

    Draft 4 has neither `if` nor `const`: a field of one status is absent, null, or together with it.
    """
    rules = [
        {
            "anyOf": [
                {"not": {"required": [name], "properties": {name: {"type": "string"}}}},
                {"properties": {"status": {"enum": [status]}}},
            ]
        }
        for name, status in ONLY_WITH_STATUS.items()
    ]
    return event_schema() | {"$schema": DRAFT_4, "allOf": rules}


def asyncapi_document() -> dict[str, Any]:
    """The event queue as an AsyncAPI 3 document: `asyncapi.json` with the model of events."""
    document: dict[str, Any] = json.loads((files("processor.cli") / "asyncapi.json").read_text("utf-8"))
    document["info"]["version"] = version("export-status")
    schema = event_schema()
    del schema["$schema"]  # it uses only what draft 7 has too
    document["components"]["schemas"]["exportEvent"] = schema
    return document


@schema_app.command()
def event(
    *,
    draft: Annotated[
        Literal["2020-12", "4"],
        typer.Option(metavar="DRAFT", help="2020-12, or 4 for EventBridge's registry"),
    ] = "2020-12",
) -> None:
    """Print the JSON Schema of what producers send.

    Example: export-status schema event --draft 4 > event.schema.json
    """
    _print(draft_4_event_schema() if draft == "4" else event_schema())


@schema_app.command()
def audit() -> None:
    """Print the JSON Schema of what audit log consumers get.

    Example: export-status schema audit > audit.schema.json
    """
    _print(audit_schema())


@schema_app.command()
def asyncapi() -> None:
    """Print an AsyncAPI 3 document of the event queue: its messages, attributes and dead-letter queue.

    Example: export-status schema asyncapi > export-status.asyncapi.json
    """
    _print(asyncapi_document())


def _print(document: dict[str, Any]) -> None:
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
