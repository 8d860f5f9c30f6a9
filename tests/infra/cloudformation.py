"""Reads the CloudFormation templates; every reference becomes a readable token such as `<TableName>`."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml

INFRA = Path(__file__).resolve().parents[2] / "infra"
TEMPLATES = ("data.yaml", "service.yaml", "watch.yaml")
NO_VALUE = "<NoValue>"


@cache
def _text(name: str) -> str:
    return json.dumps(yaml.safe_load((INFRA / name).read_text()))


def load(name: str) -> dict[str, Any]:
    """One template as written; its intrinsic functions are plain mappings."""
    template: dict[str, Any] = json.loads(_text(name))
    return template


def resources(name: str) -> dict[str, dict[str, Any]]:
    """The template's resources by logical id, references resolved to tokens."""
    found: dict[str, dict[str, Any]] = resolve(load(name)["Resources"])
    return found


def of_type(name: str, resource_type: str) -> dict[str, dict[str, Any]]:
    """The properties of all resources of one type, by logical id, references resolved to tokens."""
    return {
        key: value["Properties"] for key, value in resources(name).items() if value["Type"] == resource_type
    }


def alarms() -> dict[str, dict[str, Any]]:
    """The alarms of all templates, by logical id."""
    kind = "AWS::CloudWatch::Alarm"
    return of_type("service.yaml", kind) | of_type("watch.yaml", kind)


def parameter_defaults(name: str) -> dict[str, str]:
    """The default of each parameter, as a string, where it has one."""
    return {
        key: str(value["Default"]) for key, value in load(name)["Parameters"].items() if "Default" in value
    }


def resolve(value: Any) -> Any:
    """Replaces Ref, Fn::Split, Fn::GetAtt, Fn::Sub and Fn::If by tokens; anything else stays unchanged."""
    if isinstance(value, list):
        return [resolved for item in value if (resolved := resolve(item)) != NO_VALUE]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        (function, argument), *_ = value.items()
        if function == "Ref":
            return f"<{argument.removeprefix('AWS::')}>"
        if function == "Fn::Split" and argument[0] == ",":  # a parameter that holds a list
            return resolve(argument[1])
        if function == "Fn::GetAtt":
            return f"<{'.'.join(argument)}>"
        if function == "Fn::Sub":
            return _substitute(argument)
        if function == "Fn::If":
            condition, then, otherwise = argument
            return {"if": condition, "then": resolve(then), "else": resolve(otherwise)}
        if function.startswith("Fn::"):
            return {function: resolve(argument)}
    return {key: resolve(item) for key, item in value.items()}


def _substitute(argument: Any) -> str:
    text, own = (argument, {}) if isinstance(argument, str) else argument
    tokens = {name: resolve(item) for name, item in own.items()}

    def token(match: re.Match[str]) -> str:
        name = match[1].removeprefix("AWS::")
        return str(tokens.get(name, f"<{name}>"))

    return re.sub(r"\$\{([^}]+)\}", token, text)
