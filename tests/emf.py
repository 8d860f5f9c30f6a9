"""CloudWatch embedded metric format as a JSON Schema, and a line checked against it as CloudWatch would."""

import json
from typing import Any

import jsonschema

from processor.observability.metrics import CLOUDWATCH_MAX_VALUE, EMF_MAX_VALUES

# The facts of "Specification: Embedded metric format" and "MetricDatum" (CloudWatch). The members
# that a directive names are checked in code, since JSON Schema cannot follow a name.
_AMOUNTS = [
    *("Bytes", "Kilobytes", "Megabytes", "Gigabytes", "Terabytes"),
    *("Bits", "Kilobits", "Megabits", "Gigabits", "Terabits"),
]
UNITS = [
    *("Seconds", "Microseconds", "Milliseconds", "Percent", "Count", "Count/Second", "None"),
    *(f"{amount}{rate}" for amount in _AMOUNTS for rate in ("", "/Second")),
]
NAME = {"type": "string", "minLength": 1, "maxLength": 1024, "pattern": r"\S"}
EMF_SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["_aws"],
    "properties": {
        "_aws": {
            "type": "object",
            "required": ["Timestamp", "CloudWatchMetrics"],
            "properties": {
                "Timestamp": {"type": "integer", "minimum": 1_000_000_000_000},  # milliseconds, not seconds
                "CloudWatchMetrics": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "required": ["Namespace", "Dimensions", "Metrics"],
                        "additionalProperties": False,
                        "properties": {
                            "Namespace": {
                                "type": "string",
                                "pattern": "^[0-9A-Za-z._/#:-]{1,255}$",
                                "not": {"pattern": "^AWS/"},
                            },
                            "Dimensions": {
                                "type": "array",
                                "minItems": 1,
                                "items": {
                                    "type": "array",
                                    "maxItems": 30,
                                    "uniqueItems": True,
                                    "items": {"type": "string", "minLength": 1, "maxLength": 250},
                                },
                            },
                            "Metrics": {
                                "type": "array",
                                "minItems": 1,
                                "maxItems": 100,
                                "items": {
                                    "type": "object",
                                    "required": ["Name"],
                                    "additionalProperties": False,
                                    "properties": {
                                        "Name": NAME,
                                        "Unit": {"enum": UNITS},
                                        "StorageResolution": {"enum": [1, 60]},
                                    },
                                },
                            },
                        },
                    },
                },
            },
        },
    },
}
VALUE_SCHEMA = {
    "anyOf": [
        {"type": "number"},
        {"type": "array", "items": {"type": "number"}, "minItems": 1, "maxItems": EMF_MAX_VALUES},
    ]
}
LOG_LINE_SCHEMA = {
    "type": "object",
    "required": ["timestamp", "level", "event"],
    "properties": {
        "timestamp": {"pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"},
        "level": {"const": "info"},
        "event": {"const": "metrics"},
    },
}


def validated(line: str) -> dict[str, Any]:
    """The line as CloudWatch reads it, after every rule of the format was checked."""

    def refuse(constant: str) -> float:
        raise AssertionError(f"{constant} is not JSON")

    assert "\n" not in line
    assert len(line.encode()) < 256 * 1024
    root: dict[str, Any] = json.loads(line, parse_constant=refuse)
    jsonschema.Draft202012Validator.check_schema(EMF_SCHEMA)
    jsonschema.validate(root, EMF_SCHEMA)
    jsonschema.validate(root, LOG_LINE_SCHEMA)
    for directive in root["_aws"]["CloudWatchMetrics"]:
        names = [definition["Name"] for definition in directive["Metrics"]]
        assert len(names) == len(set(names))
        for name in names:
            jsonschema.validate(root[name], VALUE_SCHEMA)
            numbers = root[name] if isinstance(root[name], list) else [root[name]]
            assert all(abs(number) <= CLOUDWATCH_MAX_VALUE for number in numbers)
        for dimension in {dimension for names in directive["Dimensions"] for dimension in names}:
            assert isinstance(root[dimension], str)
            assert 1 <= len(root[dimension]) <= 1024
    return root
