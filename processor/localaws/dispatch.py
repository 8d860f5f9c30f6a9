"""Routes a request to moto's service.

moto's router matches the request against each of its services, which takes longer than the answer.
"""

from typing import Any, Literal

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from processor.localaws.http import Application, Environ

_SERVICES: dict[str, Literal["dynamodb", "dynamodbstreams", "sqs", "kinesis"]] = {
    "DynamoDB_20120810": "dynamodb",
    "DynamoDBStreams_20120810": "dynamodbstreams",
    "AmazonSQS": "sqs",
    "Kinesis_20131202": "kinesis",
}
"""The beginning of `X-Amz-Target` and moto's name of the service."""


class MotoApplication:
    """moto as one WSGI application: direct routes to the project's services, moto's router for the rest."""

    def __init__(self) -> None:
        self._applications: dict[str, Application] = {
            target: create_backend_app(service) for target, service in _SERVICES.items()
        }
        self._rest: Application = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: Environ, start_response: object) -> Any:
        """Answers a request (PEP 3333)."""
        target = str(environ.get("HTTP_X_AMZ_TARGET")).partition(".")[0]
        return self._applications.get(target, self._rest)(environ, start_response)
