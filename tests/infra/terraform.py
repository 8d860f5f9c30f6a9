"""Reads the Terraform modules: enough of HCL's expressions to compare them with the CloudFormation templates.

References become the tokens that `cloudformation.py` uses: `var.table_name` is `<TableName>`,
`aws_sqs_queue.events.arn` is `<aws_sqs_queue.events.arn>`, and so on. An expression that is not understood
raises, so that nothing is compared by accident.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import hcl2
from hcl2.utils import SerializationOptions

from tests.infra.cloudformation import INFRA

MODULES = {"data": ("data.yaml",), "service": ("service.yaml", "watch.yaml")}
"""Each module, and the templates that describe the same."""
DATA_TOKENS = {
    "data.aws_caller_identity.this.account_id": "<AccountId>",
    "data.aws_partition.this.partition": "<Partition>",
    "data.aws_partition.this.dns_suffix": "<URLSuffix>",
    "data.aws_region.this.region": "<Region>",
}
_OPTIONS = SerializationOptions(
    with_comments=False, explicit_blocks=False, strip_string_quotes=True, preserve_heredocs=False
)
_CALL = re.compile(r"(\w+)\((.*)\)", re.DOTALL)
_REFERENCE = re.compile(r"[a-z_][\w-]*(\.[\w-]+|\[(\d+|\"[\w-]+\"|each\.key)\])+")
_CONDITIONAL = re.compile(r"(.+?) \? (.+) : (.+)", re.DOTALL)


class Module:
    """One Terraform module, its expressions evaluated where they are asked for."""

    def __init__(self, name: str) -> None:
        self._folder = INFRA / "terraform" / name
        parsed = [
            hcl2.loads(path.read_text(), serialization_options=_OPTIONS)
            for path in sorted(self._folder.glob("*.tf"))
        ]
        self._locals = self._named(parsed, "locals")
        self._scope: dict[str, Any] = {}
        self.variables = self._named(parsed, "variable")
        self.outputs = {
            key: self.evaluate(value["value"]) for key, value in self._named(parsed, "output").items()
        }
        self.resources = {
            at: evaluated
            for file in parsed
            for block in file.get("resource", [])
            for kind, named in block.items()
            for name, arguments in named.items()
            for at, evaluated in self._instances(f"{kind}.{name}", arguments)
        }

    def _instances(self, at: str, arguments: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        """A resource, or one for each key of its `for_each`."""
        arguments = dict(arguments)
        if "for_each" not in arguments:
            yield at, self._with_dynamic_blocks(arguments)
            return
        for key, value in self.evaluate(arguments.pop("for_each")).items():
            self._scope["each"] = {"key": key, "value": value}
            yield f'{at}["{key}"]', self._with_dynamic_blocks(arguments)

    def _with_dynamic_blocks(self, arguments: dict[str, Any]) -> dict[str, Any]:
        plain: dict[str, Any] = self.evaluate({key: arguments[key] for key in arguments if key != "dynamic"})
        for block in arguments.get("dynamic", []):
            for kind, generated in block.items():
                (content,) = generated["content"]
                for key, value in self.evaluate(generated["for_each"]).items():
                    self._scope[kind] = {"key": key, "value": value}
                    plain.setdefault(kind, []).append(self.evaluate(content))
        return plain

    @staticmethod
    def _named(parsed: list[dict[str, Any]], kind: str) -> dict[str, Any]:
        return {key: value for file in parsed for block in file.get(kind, []) for key, value in block.items()}

    def evaluate(self, value: Any) -> Any:
        """The value with every expression in it evaluated, references as tokens."""
        if isinstance(value, list):
            return [self.evaluate(item) for item in value]
        if isinstance(value, dict):
            return {key.strip('"'): self.evaluate(item) for key, item in value.items()}
        if not isinstance(value, str):
            return value
        if value.startswith("${") and _closing_brace(value) == len(value) - 1:
            return self._expression(value[2:-1])
        return re.sub(r"\$\{([^}]+)\}", lambda match: str(self._expression(match[1])), value)

    def _expression(self, text: str) -> Any:
        if _REFERENCE.fullmatch(text):
            return self._reference(text)
        if call := _CALL.fullmatch(text):
            return self._call(call[1], self._literal(f"[{call[2]}]"))
        if choice := _CONDITIONAL.fullmatch(text):
            condition, then, otherwise = choice.groups()
            return {"if": condition, "then": self._literal(then), "else": self._literal(otherwise)}
        raise ValueError(f"not understood: {text}")

    def _reference(self, text: str) -> Any:
        kind, _, name = text.partition(".")
        if kind == "var":
            return f"<{pascal(name)}>"
        if kind == "local":
            return self.evaluate(self._locals[name])
        if kind in self._scope:
            found = self._scope[kind]
            for part in name.split("."):
                found = found[part]
            return found
        if "[each.key]" in text:
            text = text.replace("each.key", f'"{self._scope["each"]["key"]}"')
        return DATA_TOKENS.get(text, f"<{text}>")

    def _call(self, function: str, arguments: list[Any]) -> Any:
        match function, arguments:
            case "jsonencode", [value]:
                return value
            case "concat", parts:
                return [item for part in parts for item in (part if isinstance(part, list) else [part])]
            case "keys", [mapping]:
                return list(mapping)
            case "toset", [choice]:  # of a conditional value, the value that it has where it has one
                return {key: key for key in choice["then"] or choice["else"]}
            case "merge", parts:
                return {key: value for part in parts for key, value in part.items()}
            case "templatefile", [path, names]:
                text = (self._folder / path.removeprefix("<path.module>/")).read_text()
                return json.loads(re.sub(r"\$\{(\w+)\}", lambda found: names[found[1]], text))
        raise ValueError(f"not understood: {function}()")

    def _literal(self, text: str) -> Any:
        return self.evaluate(hcl2.loads(f"x = {text}\n", serialization_options=_OPTIONS)["x"])


def _closing_brace(text: str) -> int:
    depth = 0
    for position, character in enumerate(text):
        depth += (character == "{") - (character == "}")
        if depth == 0 and character == "}":
            return position
    raise ValueError(f"not understood: {text}")


def pascal(name: str) -> str:
    """`table_name` as CloudFormation spells it: `TableName`."""
    return "".join(part.capitalize() for part in name.split("_"))
