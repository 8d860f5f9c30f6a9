"""boto3 clients for an emulator: they ignore the caller's AWS settings, profiles and proxies."""

import os
from typing import Any

import boto3
import botocore.session
from botocore.config import Config

REGION = "us-east-1"
ACCESS_KEY_ID = "embedded"
SECRET_ACCESS_KEY = "embedded"  # noqa: S105 - emulators take any

_CONFIG = Config(
    retries={"total_max_attempts": 3, "mode": "standard"},
    connect_timeout=5,
    read_timeout=30,
    proxies={},
    use_fips_endpoint=False,
    use_dualstack_endpoint=False,
)


def emulator_client(
    service: str,
    endpoint_url: str,
    *,
    access_key_id: str = ACCESS_KEY_ID,
    secret_access_key: str = SECRET_ACCESS_KEY,
) -> Any:
    """A client of one AWS service at an emulator's address.

    Args:
        service: boto3's name of the service, for example `dynamodbstreams`.
        endpoint_url: where the emulator listens.
        access_key_id: for emulators that check who calls.
        secret_access_key: for emulators that check who calls.
    """
    # botocore reads only these four from the environment here; (None, None, x, None) fixes the value x.
    core = botocore.session.Session(
        session_vars={
            "profile": (None, None, None, None),
            "config_file": (None, None, os.devnull, None),
            "credentials_file": (None, None, os.devnull, None),
            "ca_bundle": (None, None, None, None),
        }
    )
    session: Any = boto3.Session(
        botocore_session=core,
        region_name=REGION,
        aws_access_key_id=access_key_id,
        aws_secret_access_key=secret_access_key,
    )
    return session.client(service, endpoint_url=endpoint_url, config=_CONFIG)
