"""Takes the schema of the resources that our modules use out of published bindings of the AWS provider.

`python -m tests.infra.terraform_schema WHEEL` writes `terraform_aws_schema.json`. WHEEL is
cdktn_provider_aws-25.8.1 from PyPI, generated from hashicorp/aws 6.69.1. In its JavaScript every attribute
has a comment that shows whether it is required, optional or computed, and an accessor that shows its type.
"""

import io
import json
import re
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

from tests.infra.cloudformation import INFRA

SCHEMA = Path(__file__).with_name("terraform_aws_schema.json")
NOTICE = (
    "Names and types of arguments of the Terraform provider hashicorp/aws 6.69.1 (MPL-2.0), taken from the"
    " Python package cdktn-provider-aws 25.8.1 (MPL-2.0) by tests/infra/terraform_schema.py"
)
USED = re.compile(r'^(resource|data) "aws_(\w+)"', re.MULTILINE)
CLASS = re.compile(r"^class (\w+) extends [\w.]+ \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
ATTRIBUTE = re.compile(
    r"// (\w+) - computed: (\w+), optional: (\w+), required: (\w+)\n(.*?)(?=\n    // \w+ - computed|\Z)",
    re.DOTALL,
)
NESTED = re.compile(r'new (\w+?)(List|OutputReference)\(this, "\w+"(?:, (true|false))?\)')
ACCESSOR = re.compile(r"(?:return (cdktn\.Fn\.tolist\()?this\.get(\w+)Attribute|new cdktn\.(\w+))\(")
TYPES: dict[str, Any] = {
    "String": "string",
    "Number": "number",
    "Boolean": "bool",
    "List": ["list", "string"],
    "NumberList": ["list", "number"],
    "StringMap": ["map", "string"],
}


class Bindings:
    """The bindings of one resource type or data source."""

    def __init__(self, script: str, main: str) -> None:
        self._classes = dict(CLASS.findall(script))
        self._main = main

    def block(self, name: str | None = None) -> dict[str, Any]:
        """The schema of the resource itself or of one of its nested blocks."""
        attributes: dict[str, Any] = {}
        blocks: dict[str, Any] = {}
        for key, computed, optional, required, body in ATTRIBUTE.findall(self._classes[name or self._main]):
            flags = {
                flag: True
                for flag, stated in (("computed", computed), ("optional", optional), ("required", required))
                if stated == "true"
            }
            nested = NESTED.search(body)
            if nested is None:
                attributes[key] = {"type": self._type(body), **flags}
            elif flags == {"computed": True}:
                attributes[key] = {"type": self._object(nested[1], wraps_set=nested[3] == "true"), **flags}
            else:
                blocks[key] = {
                    "block": self.block(f"{nested[1]}OutputReference"),
                    "nesting": "single" if key == "timeouts" else "set" if nested[3] == "true" else "list",
                    "min": int(required == "true"),
                    "max": int(nested[2] == "OutputReference" and key != "timeouts"),
                }
        return {"attributes": attributes, "blocks": blocks}

    def _type(self, body: str) -> Any:
        found = ACCESSOR.search(body)
        if found is None:
            raise ValueError(f"no accessor in: {body}")
        known = TYPES[found[2] or found[3]]
        return ["set", known[1]] if found[1] else known

    def _object(self, name: str, *, wraps_set: bool) -> Any:
        inner = self.block(f"{name}OutputReference")
        members = {key: attribute["type"] for key, attribute in inner["attributes"].items()}
        return ["set" if wraps_set else "list", ["object", members]]


def used_types() -> list[tuple[str, str]]:
    """`resource` or `data`, and the type without `aws_`, for everything that our modules name."""
    text = "".join(path.read_text() for path in sorted(INFRA.glob("terraform/*/*.tf")))
    return sorted(set(USED.findall(text)))


def extract(wheel: Path) -> dict[str, Any]:
    """The schema of every used type."""
    schema: dict[str, Any] = {"notice": NOTICE, "resource": {}, "data": {}}
    with zipfile.ZipFile(wheel) as packed:
        (name,) = [each for each in packed.namelist() if each.endswith(".jsii.tgz")]
        archive = io.BytesIO(packed.read(name))
    wanted = {
        f"package/lib/{'data-aws-' if kind == 'data' else ''}{name.replace('_', '-')}/index.js": (kind, name)
        for kind, name in used_types()
    }
    with tarfile.open(fileobj=archive) as files:
        for member in files:
            content = files.extractfile(member) if member.name in wanted else None
            if content is not None:
                kind, name = wanted.pop(member.name)
                prefix = "DataAws" if kind == "data" else ""
                main = prefix + "".join(part.capitalize() for part in name.split("_"))
                schema[kind][f"aws_{name}"] = Bindings(content.read().decode(), main).block()
    if wanted:
        raise ValueError(f"not in the bindings: {sorted(wanted)}")
    return schema


if __name__ == "__main__":
    SCHEMA.write_text(json.dumps(extract(Path(sys.argv[1])), separators=(",", ":"), sort_keys=True) + "\n")
