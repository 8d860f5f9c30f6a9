"""AWS Signature Version 4 for the POST requests of the JSON protocols.

"Create a signed AWS API request" (IAM User Guide) is the source of each step. An own signature costs a
quarter of botocore's, see docs/decisions/fast-calls.md.
"""

import hmac
from collections.abc import Mapping
from hashlib import sha256

from botocore.credentials import ReadOnlyCredentials

ALGORITHM = "AWS4-HMAC-SHA256"


class Signer:
    """Signs the requests of one client; keeps the day's signing key.

    Safe for threads: the key and what it was made from are replaced in one step.

    Args:
        region: the signing region.
        service: the signing name of the service.
    """

    def __init__(self, region: str, service: str) -> None:
        self._region = region
        self._service = service
        self._key: tuple[str, str, bytes] = ("", "", b"")

    def authorization(
        self,
        credentials: ReadOnlyCredentials,
        headers: Mapping[str, str],
        body: bytes,
        *,
        stamp: str,
        path: str = "/",
    ) -> str:
        """The value of the header `Authorization` of a POST without a query.

        Args:
            credentials: the key pair; a session token belongs into `headers`.
            headers: every header to be signed, by its name in lower case; `host` and `x-amz-date` among them.
            body: the payload.
            stamp: the time of `x-amz-date`.
            path: the path, normalized and URI-encoded.
        """
        names = sorted(headers)
        signed = ";".join(names)
        listed = "\n".join([f"{name}:{' '.join(headers[name].split())}" for name in names])
        request = f"POST\n{path}\n\n{listed}\n\n{signed}\n{sha256(body).hexdigest()}"
        date = stamp[:8]
        scope = f"{date}/{self._region}/{self._service}/aws4_request"
        text = f"{ALGORITHM}\n{stamp}\n{scope}\n{sha256(request.encode()).hexdigest()}"
        key = self._signing_key(str(credentials.secret_key), date)
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        return (
            f"{ALGORITHM} Credential={credentials.access_key}/{scope}, SignedHeaders={signed},"
            f" Signature={signature}"
        )

    def _signing_key(self, secret: str, date: str) -> bytes:
        known_secret, known_date, key = self._key
        if known_secret != secret or known_date != date:
            key = f"AWS4{secret}".encode()
            for part in (date, self._region, self._service, "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._key = (secret, date, key)
        return key
