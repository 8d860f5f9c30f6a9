"""The signature, held to the vectors of AWS's "Signature Version 4 test suite" and to botocore's."""

from datetime import UTC, datetime
from unittest.mock import patch

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from hypothesis import given
from hypothesis import strategies as st

from processor.aws.signature import authorization

STAMP = "20150830T123600Z"
KEYS = ReadOnlyCredentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", None)
BASE = {"host": "example.amazonaws.com", "x-amz-date": STAMP}


@pytest.mark.parametrize(
    ("headers", "body", "signature"),
    [
        ({}, b"", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),  # post-vanilla
        (  # post-x-www-form-urlencoded
            {"content-type": "application/x-www-form-urlencoded"},
            b"Param1=value1",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
        (  # post-header-value-case
            {"my-header1": "VALUE1"},
            b"",
            "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
        ),
    ],
)
def test_a_published_vector(headers: dict[str, str], body: bytes, signature: str) -> None:
    signed = ";".join(sorted(BASE | headers))
    assert authorization(KEYS, ("us-east-1", "service"), BASE | headers, body) == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request,"
        f" SignedHeaders={signed}, Signature={signature}"
    )


@given(st.binary(), st.text("abc /:=+", max_size=20), st.sampled_from(["s1", "s2"]), st.integers(1, 28))
def test_any_request_has_botocore_s_signature(body: bytes, value: str, secret: str, day: int) -> None:
    now = datetime(2026, 2, day, 12, 36, tzinfo=UTC)
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    keys = ReadOnlyCredentials("AKID", secret, None)
    headers = {"host": "sqs.eu-west-1.amazonaws.com", "x-amz-target": f"AmazonSQS.{value}x"}
    request = AWSRequest("POST", "https://sqs.eu-west-1.amazonaws.com/", headers=headers, data=body)
    with patch("botocore.auth.get_current_datetime", lambda *_: now.replace(tzinfo=None)):
        SigV4Auth(keys, "sqs", "eu-west-1").add_auth(request)
    ours = authorization(keys, ("eu-west-1", "sqs"), headers | {"x-amz-date": stamp}, body)
    assert ours == request.headers["Authorization"]
