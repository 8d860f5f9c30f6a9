"""The AsyncAPI document passes the public schema of AsyncAPI 3, and its payloads are what the service takes.

`asyncapi-3.0.0.schema.json.gz` is `schemas/3.0.0-without-$id.json` of @asyncapi/specs 6.11.1, without white
space (Apache License 2.0).
"""

import gzip
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from handlers.events import decode
from processor.cli.check.queues import DEAD_LETTER_QUEUE, EVENT_QUEUE, USUAL_RECEIVES
from processor.cli.schema import event_schema
from tests.cli.test_schema import printed

PUBLIC = json.loads(gzip.decompress(Path(__file__).with_name("asyncapi-3.0.0.schema.json.gz").read_bytes()))


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return printed("asyncapi")


def test_the_document_passes_the_public_schema(document: dict[str, Any]) -> None:
    jsonschema.Draft7Validator.check_schema(PUBLIC)
    jsonschema.Draft7Validator(PUBLIC).validate(document)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    references = re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document))
    assert len(references) >= 7
    for reference in references:
        target: Any = document
        for name in reference.split("/"):
            target = target[name]


def test_the_payload_is_the_schema_of_an_event_in_words_of_draft_7(document: dict[str, Any]) -> None:
    payload = document["components"]["schemas"]["exportEvent"]
    assert {"$schema": event_schema()["$schema"], **payload} == event_schema()
    jsonschema.Draft7Validator.check_schema(payload)


def test_every_example_is_an_event_that_the_service_takes(document: dict[str, Any]) -> None:
    now = datetime(2026, 11, 22, 10, 5, tzinfo=UTC)
    for message in document["components"]["messages"].values():
        for example in message["examples"]:
            assert decode(json.dumps(example["payload"]), now=now).request_id == "req-1"


def test_the_binding_has_the_queues_as_check_wants_them(document: dict[str, Any]) -> None:
    binding = document["channels"]["exportEvents"]["bindings"]["sqs"]
    names = {
        "visibilityTimeout": "VisibilityTimeout",
        "receiveMessageWaitTime": "ReceiveMessageWaitTimeSeconds",
        "messageRetentionPeriod": "MessageRetentionPeriod",
    }
    queue, dead_letters = binding["queue"], binding["deadLetterQueue"]
    redrive = {"deadLetterQueue": {"name": dead_letters["name"]}, "maxReceiveCount": USUAL_RECEIVES}
    assert queue["redrivePolicy"] == redrive
    for shown, attributes in ((queue, EVENT_QUEUE), (dead_letters, DEAD_LETTER_QUEUE)):
        known = {name: int(attributes[each]) for name, each in names.items() if each in attributes}
        assert {name: value for name, value in shown.items() if name in names} == known
