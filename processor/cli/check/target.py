"""Where the resources are and who asks: builds the AWS CLI commands of remedies."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

_AWS_HOST = re.compile(r"(^|\.)(amazonaws\.com|amazonaws\.com\.cn|api\.aws|amazonwebservices\.com\.cn)$")
_ACCOUNT = re.compile(r"arn:([^:]+):[^:]+:[^:]*:(\d{12}):")


@dataclass(frozen=True, slots=True)
class Target:
    """A region of an account, or an emulator.

    Attributes:
        region: such as us-east-1.
        endpoints: by boto3's name of the service; a service that is missing is at AWS.
        caller_arn: the caller; None where STS did not answer.
    """

    region: str
    endpoints: Mapping[str, str]
    caller_arn: str | None = None

    def emulated(self, service: str) -> bool:
        """Whether the service is an emulator, which may leave out fields of its answers."""
        endpoint = self.endpoints.get(service)
        return endpoint is not None and not _AWS_HOST.search(urlsplit(endpoint).hostname or "")

    def aws(self, service: str, operation: str, *words: str) -> str:
        """A command for the AWS CLI, quoted for a POSIX shell."""
        command = ["aws", "--region", self.region]
        if service in self.endpoints:
            command += ["--endpoint-url", self.endpoints[service]]
        return shlex.join([*command, service, operation, *words])

    def arn(self, service: str, resource: str) -> str:
        """The ARN of a resource here; where the account is unknown, `*` stands for it."""
        found = _ACCOUNT.match(self.caller_arn or "")
        partition, account = found.groups() if found else ("aws", "*")
        return f"arn:{partition}:{service}:{self.region}:{account}:{resource}"

    def allow(self, actions: tuple[str, ...], arn: str) -> str:
        """The remedy for a missing permission: a sentence for an administrator.

        It is no command, because the caller must not be led to widen their own rights.
        """
        caller = "the caller" if self.caller_arn is None else self.caller_arn
        return f"ask an administrator to allow {caller} {', '.join(actions)} on {arn}"
