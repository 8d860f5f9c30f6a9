"""A small HTTP API over the status table: `GET /exports/REQUEST_ID`.

    python -m examples.reader_api TABLE PORT

DynamoDB deletes expired items late, by minutes or days. Until then an item whose `ttl` has passed is still
there, and counts as gone: a reader that does not compare `ttl` with its clock shows exports that are over.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from threading import Thread
from typing import Any
from wsgiref.simple_server import make_server

import boto3

MAX_REQUEST_ID_CHARS = 256

Answer = Callable[[str, list[tuple[str, str]]], Any]


def read_export(dynamodb: Any, table: str, request_id: str) -> dict[str, Any] | None:
    """The export's attributes, or None if there is no such export any more.

    Args:
        dynamodb: a boto3 client.
        table: the table's name.
        request_id: the export's id.
    """
    answer = dynamodb.get_item(TableName=table, Key={"requestId": {"S": request_id}})
    item = answer.get("Item")
    if item is None or int(item["ttl"]["N"]) <= time.time():
        return None
    return {name: int(value["N"]) if "N" in value else value["S"] for name, value in item.items()}


def application(dynamodb: Any, table: str) -> Callable[[dict[str, Any], Answer], Iterable[bytes]]:
    """The API as a WSGI application. Check who is asking before you show a signed URL to anybody."""

    def answer(environ: dict[str, Any], start: Answer) -> Iterable[bytes]:
        path = environ["PATH_INFO"].encode("latin-1").decode(errors="replace")  # as WSGI wants it
        request_id = path.removeprefix("/exports/")
        possible = path.startswith("/exports/") and 1 <= len(request_id) <= MAX_REQUEST_ID_CHARS
        export = read_export(dynamodb, table, request_id) if possible else None
        # A signed URL is a credential: no cache may keep it, and nothing of an export outlives it.
        headers = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
        start("200 OK" if export else "404 Not Found", headers)
        return [json.dumps(export or {"error": "not found or expired"}).encode()]

    return answer


def main(table: str, port: int) -> None:
    """Serves on 127.0.0.1 until Ctrl-C; prints the address when it is ready."""
    dynamodb = boto3.client("dynamodb", region_name=os.environ.get("AWS_REGION"))
    with make_server("127.0.0.1", port, application(dynamodb, table)) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        # In a thread of its own: a request in hand would take Ctrl-C for an error of its own.
        serving = Thread(target=server.serve_forever)
        serving.start()
        with suppress(KeyboardInterrupt):
            serving.join()
        server.shutdown()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m examples.reader_api")
    parser.add_argument("table", metavar="TABLE")
    parser.add_argument("port", metavar="PORT", type=int)
    arguments = parser.parse_args()
    main(arguments.table, arguments.port)
