"""An AWS account on ministack that enforces IAM: the data plane, and people, each with their policies."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from tests.engines.ministack import ROOT_KEY, Ministack
from tests.infra.cloudformation import INFRA, parameter_defaults
from tests.infra.policies import Policy, policy
from tests.waiting import eventually

REGION = "us-east-1"
ACCOUNT_ID = "000000000000"
NAMES = {
    "Partition": "aws",
    "Region": REGION,
    "AccountId": ACCOUNT_ID,
    **parameter_defaults("watch.yaml"),
}
STREAM_ACTIONS = ("dynamodb:DescribeStream", "dynamodb:GetShardIterator", "dynamodb:GetRecords")
# What the emulator asks for beyond AWS (see test_least_privilege.py); in no template.
EMULATOR_ONLY = {
    "task": (
        "sqs:DeleteMessageBatch",
        "sqs:ChangeMessageVisibilityBatch",
        "sqs:SendMessageBatch",
        "dynamodb:BatchExecuteStatement",
        *STREAM_ACTIONS,
    ),
    "probe": ("sqs:SendMessageBatch",),
    "look": (
        *("sqs:ChangeMessageVisibilityBatch", "kinesis:GetRecords", "dynamodb:DescribeStream"),
        *("logs:FilterLogEvents", "ecs:DescribeServices", "ecs:DescribeTasks"),
    ),
    "redrive": ("sqs:SendMessageBatch", "sqs:DeleteMessageBatch"),
    "replay": ("sqs:DeleteMessageBatch", *STREAM_ACTIONS),
}

Clients = Callable[[str], Any]


@dataclass(frozen=True)
class Person:
    """Somebody with access keys, and where the things are that a call may be about."""

    client: Clients
    outputs: dict[str, str]
    environment: dict[str, str]
    """What leads an AWS SDK here as this person."""

    @property
    def events(self) -> str:
        """The event queue's URL."""
        return self.outputs["EventsQueueUrl"]

    @property
    def dead_letters(self) -> str:
        """The dead-letter queue's URL."""
        return self.outputs["DeadLetterQueueUrl"]


def emulator_only(*actions: str) -> Policy:
    """What the emulator asks for beyond AWS."""
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    return {"Version": "2012-10-17", "Statement": [statement]}


class Account:
    """The account, reached as its root user; makes people."""

    def __init__(self, endpoint_url: str, certificate: Path) -> None:
        self._endpoint_url = endpoint_url
        self._certificate = certificate
        self.root = self._clients(ROOT_KEY, ROOT_KEY)
        self.outputs = self._deployed()

    def bearer(self, *names: str) -> Person:
        """A user with these policies of `infra/iam`, and what the emulator asks for beyond AWS."""
        own = [policy(name, NAMES) for name in names]
        return self.person("-".join(names), *own, *(emulator_only(*EMULATOR_ONLY[name]) for name in names))

    def person(self, name: str, *policies: Policy) -> Person:
        """A user with exactly these policies."""
        iam = self.root("iam")
        iam.create_user(UserName=name)
        for number, document in enumerate(policies):
            iam.put_user_policy(
                UserName=name, PolicyName=f"policy-{number}", PolicyDocument=json.dumps(document)
            )
        key = iam.create_access_key(UserName=name)["AccessKey"]
        environment = {
            "AWS_ENDPOINT_URL": self._endpoint_url,
            "AWS_CA_BUNDLE": str(self._certificate),
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
        }
        clients = self._clients(key["AccessKeyId"], key["SecretAccessKey"])
        return Person(clients, self.outputs, environment)

    def _clients(self, key: str, secret: str) -> Clients:
        @cache
        def client(service: str) -> Any:
            make: Any = boto3.client
            return make(
                service,
                endpoint_url=self._endpoint_url,
                region_name=REGION,
                aws_access_key_id=key,
                aws_secret_access_key=secret,
                verify=str(self._certificate),
                config=Config(retries={"total_max_attempts": 1}, read_timeout=30),
            )

        return client

    def _deployed(self) -> dict[str, str]:
        cloudformation = self.root("cloudformation")
        cloudformation.create_stack(StackName="data", TemplateBody=(INFRA / "data.yaml").read_text())

        def finished() -> Any:
            stack = cloudformation.describe_stacks(StackName="data")["Stacks"][0]
            return None if stack["StackStatus"] == "CREATE_IN_PROGRESS" else stack

        stack = eventually(finished, 60)
        assert stack["StackStatus"] == "CREATE_COMPLETE"
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


@contextmanager
def iam_account(folder: Path) -> Iterator[Account]:
    """An account for as long as the context lasts. It speaks HTTPS, since our queues refuse plain HTTP."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *files, *subject],
        check=True,
        capture_output=True,
        timeout=60,
    )
    with Ministack(auth=True, certificate=certificate, key=key).require() as server:
        yield Account(server.endpoint_url, certificate)
