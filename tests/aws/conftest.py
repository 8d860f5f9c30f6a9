"""Certificates of these tests, and a hostile server that has one."""

from collections.abc import Iterator

import pytest

from tests.aws.hostile_server import Certificates, HostileServer, hostile_server, make_certificates


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def server(certificates: Certificates) -> Iterator[HostileServer]:
    with hostile_server(certificates.server) as server:
        yield server
