"""The Spanish guide's commands work, and print what it shows."""

import json
import re

import hcl2
import pytest
import yaml
from hcl2.utils import SerializationOptions

from handlers.export import DEFAULT_TTL_SECONDS, Export
from processor.settings import Settings
from tests.docs.markdown import ROOT, codes, fenced, read, table
from tests.engines.moto_server import MotoServer
from tests.infra.pages import blocks, run

GUIDE = ROOT / "README.es.md"
_OPTIONS = SerializationOptions(with_comments=False)


@pytest.mark.slow
def test_every_command_prints_what_the_guide_shows() -> None:
    with MotoServer() as server:
        printed = run(GUIDE, server.endpoint_url)
    shown = [output for _, output in blocks(GUIDE)]
    assert len(printed) == len(shown) == 3
    for got, wanted in zip(printed, shown, strict=True):
        assert wanted is None or got == wanted


def test_the_guide_names_every_attribute_of_the_table() -> None:
    named = {name for row in table(read("README.es.md"), "| atributo |") for name in codes(row[0])}
    snake = {"request_id": "requestId", "created_at": "createdAt", "updated_at": "updatedAt"}
    snake |= {"signed_url": "signedUrl", "file_name": "fileName"}
    assert named == {snake.get(name, name) for name in Export.__slots__}


def test_the_guide_states_the_ttl_of_the_code() -> None:
    assert f"más {DEFAULT_TTL_SECONDS}" in read("README.es.md")


def test_the_cloudformation_excerpt_is_the_template_s_table() -> None:
    template = yaml.safe_load(read("infra/data.yaml"))
    wanted = template["Resources"]["StatusTable"]
    wanted["Properties"]["TableName"] = template["Parameters"]["TableName"]["Default"]
    assert yaml.safe_load(fenced(read("README.es.md"), "[infra/data.yaml]")) == {"StatusTable": wanted}


def test_the_terraform_excerpt_is_the_module_s_table() -> None:
    excerpt = fenced(read("README.es.md"), "[infra/terraform/data](infra/terraform/data):")
    module = read("infra/terraform/data/main.tf").replace("var.table_name", '"export-status"')
    # The excerpt may have comments of its own.
    assert (
        hcl2.loads(excerpt, serialization_options=_OPTIONS)["resource"][0]
        in (hcl2.loads(module, serialization_options=_OPTIONS)["resource"])
    )


def test_every_variable_of_the_guide_is_one_that_the_service_reads() -> None:
    shown = set(
        re.findall(r"^([A-Z_]+)=", fenced(read("README.es.md"), "El\nentorno siempre gana."), re.MULTILINE)
    )
    known = {str(info.validation_alias) for info in Settings.model_fields.values()}
    assert shown - known == {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    assert shown >= {"DYNAMODB_EXPORT_STATUS_TABLE", "AWS_REGION"}


def test_the_permissions_of_the_guide_are_the_task_s_on_the_table_and_its_stream() -> None:
    policy = json.loads(read("infra/iam/task-policy.json"))
    on_the_table = {
        action
        for statement in policy["Statement"]
        if statement["Resource"] == "*" or "${TableName}" in statement["Resource"]
        for action in statement["Action"]
    }
    shown = {name for row in table(read("README.es.md"), "| permiso | para qué |") for name in codes(row[0])}
    assert shown == on_the_table


def test_what_the_other_commands_of_the_guide_name_exists() -> None:
    commands = "".join(re.findall(r"^```sh\n(.*?)^```", read("README.es.md"), re.MULTILINE | re.DOTALL))
    paths = re.findall(r"(?:--template-file |-chdir=)(\S+)", commands)
    assert paths == ["infra/data.yaml", "infra/terraform/data", "infra/terraform/data"]
    assert all((ROOT / path).exists() for path in paths)
    [target] = re.findall(r"^make (\S+)", commands, re.MULTILINE)
    assert re.search(rf"^{target}:", read("Makefile"), re.MULTILINE)
