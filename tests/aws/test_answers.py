"""The answers' types hold every member that botocore knows: a member that a type lacks would be dropped."""

from typing import Any, get_args, get_type_hints

import boto3
import pytest

from processor.aws.answers import DECODERS


@pytest.mark.parametrize("operation", DECODERS)
def test_an_answer_s_type_has_every_member_that_botocore_knows(operation: str) -> None:
    service = "kinesis" if operation == "PutRecords" else "sqs" if "Message" in operation else "dynamodb"
    make: Any = boto3.Session().client
    model = make(service, region_name="us-east-1").meta.service_model
    assert_covers(DECODERS[operation].type, model.operation_model(operation).output_shape, set())


LEFT_OUT = {"ItemCollectionMetrics"}
"""AWS sends it only when a request asks for it, and no request of the service does."""


def assert_covers(kind: Any, shape: Any, seen: set[str]) -> None:
    if shape.type_name == "structure" and shape.name not in seen | {"ConsumedCapacity"}:
        seen.add(shape.name)
        hints = get_type_hints(kind)
        assert hints.keys() >= shape.members.keys() - LEFT_OUT
        for name in shape.members.keys() & hints.keys():
            assert_covers(hints[name], shape.members[name], seen)
    elif shape.type_name in {"list", "map"}:
        assert_covers(get_args(kind)[-1], getattr(shape, "member", None) or shape.value, seen)
    elif shape.type_name != "structure":
        assert kind is {"string": str, "blob": bytes, "boolean": bool, "integer": int}[shape.type_name]
