"""Message attributes of SQS as JSON, and back.

The JSON form is boto3's, with BinaryValue in base64. A plain string stands for an attribute of type String.
"""

import base64
import re
from collections.abc import Mapping
from typing import Any

from processor.aws.sqs import NOT_IN_SQS

SQS_MAX_ATTRIBUTES = 10  # ("Amazon SQS message metadata")

Attributes = Mapping[str, Mapping[str, Any]]
"""By name, as boto3 sends and receives them."""

_NAME = re.compile(r"(?!\.|(?i:aws\.|amazon\.))(?!.*\.\.)[A-Za-z0-9_.-]{1,256}(?<!\.)")
_TYPE = re.compile(r"(String|Number|Binary)(\.[\x21-\x7e]{1,240})?")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def attributes_to_json(attributes: Attributes) -> dict[str, dict[str, str]]:
    """The attributes as JSON values; members that SQS does not fill are left out."""
    return {name: _value_to_json(value) for name, value in attributes.items()}


def attributes_from_json(value: object) -> Attributes:
    """Reads attributes, and checks SQS's rules for number, names, types and values.

    Args:
        value: what `attributes_to_json` makes, or a string in place of an attribute.

    Returns:
        The attributes as boto3 sends them.

    Raises:
        ValueError: with the broken rule as a sentence that quotes no value.
    """
    if not isinstance(value, dict):
        raise ValueError("attributes must be an object")  # noqa: TRY004 - one exception for every rule
    if len(value) > SQS_MAX_ATTRIBUTES:
        raise ValueError(f"attributes must be at most {SQS_MAX_ATTRIBUTES}")
    return {_name(name): _value_from_json(member) for name, member in value.items()}


def _value_to_json(value: Mapping[str, Any]) -> dict[str, str]:
    found = {"DataType": str(value.get("DataType", "String"))}
    if "BinaryValue" in value:
        return found | {"BinaryValue": base64.b64encode(value["BinaryValue"]).decode()}
    return found | {"StringValue": str(value.get("StringValue", ""))}


def _name(name: object) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(
            "an attribute's name must have 1 to 256 letters, digits, _, - or ., no . at its ends or twice in"
            " a row, and must not begin with AWS. or Amazon."
        )
    return name


def _value_from_json(value: object) -> Mapping[str, Any]:
    if isinstance(value, str):
        value = {"DataType": "String", "StringValue": value}
    if not isinstance(value, dict) or not _TYPE.fullmatch(str(value.get("DataType"))):
        raise ValueError("an attribute must be a string, or an object with DataType String, Number or Binary")
    kind = str(value["DataType"])
    member = "BinaryValue" if kind.startswith("Binary") else "StringValue"
    text = value.get(member)
    if set(value) != {"DataType", member} or not isinstance(text, str) or not text:
        raise ValueError(f"an attribute of type {kind.partition('.')[0]} must have a {member}, not empty")
    if NOT_IN_SQS.search(text):
        raise ValueError("an attribute must not hold control characters, U+FFFE or U+FFFF, which SQS refuses")
    if kind.startswith("Number") and not _NUMBER.fullmatch(text):
        raise ValueError("an attribute of type Number must be a number")
    if member == "StringValue":
        return {"DataType": kind, "StringValue": text}
    try:
        return {"DataType": kind, "BinaryValue": base64.b64decode(text, validate=True)}
    except ValueError:
        raise ValueError("a BinaryValue must be in base64") from None
