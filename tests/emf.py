"""A line in CloudWatch's embedded metric format, checked as CloudWatch would."""

import json
from pathlib import Path
from typing import Any

import jsonschema

from processor.observability.metrics import CLOUDWATCH_MAX_VALUE

EMF_SCHEMA = json.loads(Path(__file__).with_name("emf.schema.json").read_text(encoding="utf-8"))
UNITS = EMF_SCHEMA["$defs"]["unit"]["enum"]


def validated(line: str) -> dict[str, Any]:
    """The line as CloudWatch reads it, after every rule of the format was checked."""

    def refuse(constant: str) -> float:
        raise AssertionError(f"{constant} is not JSON")

    assert "\n" not in line
    assert len(line.encode()) < 256 * 1024
    root: dict[str, Any] = json.loads(line, parse_constant=refuse)
    jsonschema.validate(root, EMF_SCHEMA)
    # JSON Schema cannot follow a name, so the members that a directive names are checked here.
    for directive in root["_aws"]["CloudWatchMetrics"]:
        names = [definition["Name"] for definition in directive["Metrics"]]
        assert len(names) == len(set(names))
        for name in names:
            jsonschema.validate(root[name], EMF_SCHEMA["$defs"]["value"])
            numbers = root[name] if isinstance(root[name], list) else [root[name]]
            assert all(abs(number) <= CLOUDWATCH_MAX_VALUE for number in numbers)
        for dimension in {dimension for names in directive["Dimensions"] for dimension in names}:
            jsonschema.validate(root[dimension], EMF_SCHEMA["$defs"]["dimension"])
    return root
