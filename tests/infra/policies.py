"""The permissions of `infra/iam`, their placeholders filled in or turned into tokens."""

import json
import re
from typing import Any

from tests.infra.cloudformation import INFRA

Policy = dict[str, Any]


def policy(name: str, names: dict[str, str] | None = None) -> Policy:
    """The policy `infra/iam/NAME-policy.json`; placeholders get the given names, else become `<Name>`."""
    text = (INFRA / "iam" / f"{name}-policy.json").read_text()
    filled: Policy = json.loads(
        re.sub(r"\$\{(\w+)\}", lambda found: names[found[1]] if names else f"<{found[1]}>", text)
    )
    return filled


def actions(document: Policy) -> dict[str, set[str]]:
    """Every allowed action by the resource that it is allowed on."""
    return {statement["Resource"]: set(statement["Action"]) for statement in document["Statement"]}
