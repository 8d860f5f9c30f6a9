"""Holds the EventBridge Pipes of the pages against cfn-lint and against items of a stream."""

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.commands import finished


def linted(template: str, directory: Path) -> str:
    """What cfn-lint finds in a template."""
    path = directory / "template.yaml"
    path.write_text(template, encoding="utf-8")
    done = finished(Path(sys.executable).with_name("cfn-lint"), "-c", "I", "--", path)
    return done.stdout + done.stderr


def filled_in(template: str, image: Mapping[str, Any]) -> str:
    """A Pipe's InputTemplate with the values of a new image, strings as JSON strings."""

    def value(found: re.Match[str]) -> str:
        return json.dumps(image[found[1]][found[2]])

    text, count = re.subn(r"<\$\.dynamodb\.NewImage\.(\w+)\.(\w)>", value, template)
    assert count == template.count("<$.")
    return text
