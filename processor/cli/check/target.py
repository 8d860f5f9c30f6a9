"""Where the resources are and who asks: builds the AWS CLI commands of remedies."""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

_AWS_HOST = re.compile(r"(^|\.)(amazonaws\.com|amazonaws\.com\.cn|api\.aws|amazonwebservices\.com\.cn)$")
_ROLE = re.compile(r"arn:[^:]+:sts::\d+:assumed-role/(?!AWSReservedSSO_)([^/]+)/")
_USER = re.compile(r"arn:[^:]+:iam::\d+:user/(?:.*/)?([^/]+)")
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
        """The command that gives the caller a permission; a sentence where the caller is neither a role nor a
        user that a policy can be put on."""
        statement = {"Effect": "Allow", "Action": list(actions), "Resource": arn}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        name = re.sub(r"[^A-Za-z0-9]+", "-", f"export-status {actions[0]} {arn.rpartition(':')[2]}")[:128]
        words = ("--policy-name", name, "--policy-document", document)
        if role := _ROLE.match(self.caller_arn or ""):
            return self.aws("iam", "put-role-policy", "--role-name", role[1], *words)
        if user := _USER.match(self.caller_arn or ""):
            return self.aws("iam", "put-user-policy", "--user-name", user[1], *words)
        return f"allow {', '.join(actions)} on {arn} to the one who runs this"
