"""AWS Signature Version 4 for the POST requests of the JSON protocols.

"Create a signed AWS API request" (IAM User Guide) is the source of each step. An own signature costs a
quarter of botocore's, see docs/decisions/fast-calls.md.
"""

import hmac
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256

from botocore.credentials import ReadOnlyCredentials

ALGORITHM = "AWS4-HMAC-SHA256"


def authorization(
    credentials: ReadOnlyCredentials,
    place: tuple[str, str],
    headers: Mapping[str, str],
    body: bytes,
    *,
    path: str = "/",
) -> str:
    """The value of the header `Authorization` of a POST without a query.

    Args:
        credentials: the key pair; a session token belongs into `headers`.
        place: the signing region, and the signing name of the service.
        headers: every header to be signed, by its name in lower case; `host` and `x-amz-date` among them.
        body: the payload.
        path: the path, normalized and URI-encoded.
    """
    names = sorted(headers)
    signed = ";".join(names)
    listed = "\n".join([f"{name}:{' '.join(headers[name].split())}" for name in names])
    request = f"POST\n{path}\n\n{listed}\n\n{signed}\n{sha256(body).hexdigest()}"
    stamp = headers["x-amz-date"]
    scope = "/".join((stamp[:8], *place, "aws4_request"))
    text = f"{ALGORITHM}\n{stamp}\n{scope}\n{sha256(request.encode()).hexdigest()}"
    key = _signing_key(str(credentials.secret_key), scope)
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    return (
        f"{ALGORITHM} Credential={credentials.access_key}/{scope}, SignedHeaders={signed},"
        f" Signature={signature}"
    )


@lru_cache(maxsize=8)  # one for each service, and those of yesterday
def _signing_key(secret: str, scope: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
