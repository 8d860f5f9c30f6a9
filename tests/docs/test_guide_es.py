"""The Spanish guide's commands work, and print what it shows."""

import pytest

from handlers.export import DEFAULT_TTL_SECONDS, Export
from tests.docs.markdown import ROOT, codes, read, table
from tests.infra.moto_server import moto_server
from tests.infra.pages import blocks, run

GUIDE = ROOT / "README.es.md"


@pytest.mark.slow
def test_every_command_prints_what_the_guide_shows() -> None:
    with moto_server() as endpoint_url:
        printed = run(GUIDE, endpoint_url)
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
