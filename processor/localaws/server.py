"""The process of the embedded AWS: `python -m processor.localaws.server PORT REAP_SECONDS`.

It prints one line of JSON to standard output when everything is deployed. It ends when its standard input is
closed, so it ends with the process that started it.
"""

import contextlib
import json
import logging
import os
import signal
import sys
import threading
import time
import warnings
from typing import Any, Literal

import moto.awslambda.utils  # noqa: F401 - else moto pauses to import it at the first stream record
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from processor.localaws.deployment import deploy
from processor.localaws.http import LOOPBACK, Application, Environ, http_server
from processor.localaws.moto_patches import apply_moto_patches
from processor.localaws.reaper import reap
from processor.localaws.turns import Turns

_SERVICES: dict[str, Literal["dynamodb", "dynamodbstreams", "sqs", "kinesis"]] = {
    "DynamoDB_20120810": "dynamodb",
    "DynamoDBStreams_20120810": "dynamodbstreams",
    "AmazonSQS": "sqs",
    "Kinesis_20131202": "kinesis",
}
"""The beginning of `X-Amz-Target` and moto's name of the service."""


def main() -> None:
    """Serves until standard input ends; the exit status is 1 if the port is in use."""
    port, reap_seconds = int(sys.argv[1]), float(sys.argv[2])
    threading.Thread(target=_end_with_input, name="end of input", daemon=True).start()
    _silence_warnings()
    turns = Turns()
    apply_moto_patches(turns)
    try:
        server = http_server(turns.wrap(_moto()), port)
    except OSError:
        _print({"error": f"port {port} on {LOOPBACK} is in use; choose another"})
        sys.exit(1)
    threading.Thread(target=server.serve_forever, name="http", daemon=True).start()
    endpoint_url = f"http://{LOOPBACK}:{server.server_address[1]}"
    _print({"endpoint_url": endpoint_url, **deploy(endpoint_url)})
    pause = threading.Event()
    while not pause.wait(reap_seconds):
        with turns:
            reap(time.time())


def _moto() -> Application:
    """moto as one WSGI application: direct routes to the project's services, moto's router for the rest.

    The router matches the request against each of its services, which takes longer than the answer.
    """
    services = {target: create_backend_app(service) for target, service in _SERVICES.items()}
    router = DomainDispatcherApplication(create_backend_app)

    def answer(environ: Environ, start_response: Any) -> Any:
        target = str(environ.get("HTTP_X_AMZ_TARGET")).partition(".")[0]
        return services.get(target, router)(environ, start_response)

    return answer


def _end_with_input() -> None:
    for pid in [int(line) for line in sys.stdin]:  # processes that must end with the starter
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    os._exit(0)  # no state to save, and no request to wait for


def _silence_warnings() -> None:
    """Drops moto's warnings about resource types that its CloudFormation skips (queue policies)."""
    warnings.simplefilter("ignore")
    logging.getLogger().addHandler(logging.NullHandler())


def _print(answer: dict[str, str]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
