"""The entry points in processes of their own, as Lambda starts them."""

import json
import subprocess
import sys
from collections.abc import Mapping

import pytest

from processor.localaws.embedded_aws import EmbeddedAws, isolated_environment
from tests.aws_lambda.functions import Deployed
from tests.aws_lambda.mapping import received
from tests.aws_lambda.test_transitions import pending
from tests.docs.markdown import ROOT
from tests.resources import item_of

INVOKE = """
import json, sys
from processor.aws_lambda.{module} import handler
class Context:
    def get_remaining_time_in_millis(self): return 120_000
print(json.dumps({{"answer": handler(json.loads(sys.stdin.read()), Context())}}))
"""


def invoke(module: str, event: object, variables: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", INVOKE.format(module=module)],
        cwd=ROOT,
        env=isolated_environment() | {"AWS_LAMBDA_FUNCTION_NAME": "function", **variables},
        input=json.dumps(event),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_a_function_is_made_from_the_environment_and_answers(embedded_aws: EmbeddedAws) -> None:
    at = Deployed(embedded_aws)
    at.sqs.send_message(QueueUrl=at.queue_url, MessageBody=pending("req-1"))
    ran = invoke("transitions", {"Records": received(at.sqs, at.queue_url)}, at.variables())
    started, answer = [json.loads(line) for line in ran.stdout.splitlines()]
    assert (started["event"], started["parts"]) == ("service_starting", ["transitions"])
    assert answer == {"answer": {"batchItemFailures": []}}
    assert item_of(embedded_aws.client, at.table, "req-1")


@pytest.mark.parametrize(
    ("module", "variable", "problem"),
    [
        ("transitions", "SQS_EXPORT_EVENTS_QUEUE_URL", "SQS_EXPORT_EVENTS_QUEUE_URL must be set"),
        ("audit", "KINESIS_EXPORT_AUDIT_STREAM", "KINESIS_EXPORT_AUDIT_STREAM must be set"),
    ],
)
def test_a_missing_setting_ends_the_start_before_any_event(
    embedded_aws: EmbeddedAws, module: str, variable: str, problem: str
) -> None:
    ran = invoke(module, {"Records": []}, Deployed(embedded_aws).variables() | {variable: ""})
    assert ran.returncode == 1
    assert problem in ran.stderr.splitlines()[-1]
    assert "answer" not in ran.stdout
