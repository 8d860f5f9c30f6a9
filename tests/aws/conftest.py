"""A certificate authority of these tests, and a hostile server that it gave a certificate."""

from collections.abc import Iterator

import pytest

from tests.aws.hostile_server import Authority, HostileServer, hostile_server, make_authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def server(authority: Authority) -> Iterator[HostileServer]:
    with hostile_server(authority.server) as server:
        yield server
