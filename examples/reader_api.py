"""A small HTTP API over the status table: `GET /exports/REQUEST_ID`.

    python -m examples.reader_api TABLE PORT HOST [HOST ...]

DynamoDB deletes expired items minutes or days late. Until then an item with `ttl <= now` is still there, and
a reader must treat it as gone.

Every producer may send a `completed` event with any URL. The reader shows only https URLs at
one of HOST: the hosts of the storage that holds the files.

Clients poll cheaply: `ETag` names what they have, `If-None-Match` turns the same answer into a 304 without a
body, `?wait=20` holds the request until something changes, and `Retry-After` is when to ask again. An answer
with a terminal status has no `Retry-After`: it does not change any more.
"""

import argparse
import hashlib
import json
import os
import time
from collections.abc import Callable, Container, Iterable
from contextlib import suppress
from socketserver import ThreadingMixIn
from threading import Event, Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit
from wsgiref.simple_server import WSGIServer, make_server

import boto3

MAX_REQUEST_ID_CHARS = 256
MAX_WAIT_SECONDS = 20.0
LOOK_SECONDS = 1.0  # between two reads of a request that waits; each costs half a read unit
RETRY_AFTER_SECONDS = 2
TERMINAL = ("completed", "failed")

Answer = Callable[[str, list[tuple[str, str]]], Any]


def read_export(dynamodb: Any, table: str, request_id: str) -> dict[str, Any] | None:
    """The living export's attributes, or None.

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


def without_foreign_url(export: dict[str, Any], hosts: Container[str]) -> dict[str, Any]:
    """The export, without its signed URL if that is not https at one of these hosts."""
    url = export.get("signedUrl", "")
    try:
        parts = urlsplit(url)
        trusted = parts.scheme == "https" and parts.hostname in hosts and parts.port in {None, 443}
    except ValueError:  # not a URL, or its port is not a number
        trusted = False
    # A browser reads a backslash as a slash, so it may find another host in the URL.
    if trusted and "@" not in parts.netloc and "\\" not in url:
        return export
    return {name: value for name, value in export.items() if name != "signedUrl"}


def etag_of(export: dict[str, Any] | None) -> str:
    """A name for exactly this answer."""
    return f'"{hashlib.sha256(json.dumps(export, sort_keys=True).encode()).hexdigest()[:32]}"'


def application(
    dynamodb: Any, table: str, hosts: Container[str], *, look_seconds: float = LOOK_SECONDS
) -> Callable[[dict[str, Any], Answer], Iterable[bytes]]:
    """The API as a WSGI application. Check who is asking before you show a signed URL."""

    def wait_for_change(request_id: str, known: str, seconds: float) -> dict[str, Any] | None:
        deadline = time.monotonic() + seconds
        while True:
            found = read_export(dynamodb, table, request_id)
            export = None if found is None else without_foreign_url(found, hosts)
            is_final = export is not None and export["status"] in TERMINAL
            left = deadline - time.monotonic()
            if is_final or etag_of(export) != known or left <= 0:
                return export
            Event().wait(min(left, look_seconds))

    def answer(environ: dict[str, Any], start: Answer) -> Iterable[bytes]:
        path = environ["PATH_INFO"].encode("latin-1").decode(errors="replace")  # as WSGI wants it
        request_id = path.removeprefix("/exports/")
        possible = path.startswith("/exports/") and 1 <= len(request_id) <= MAX_REQUEST_ID_CHARS
        known = environ.get("HTTP_IF_NONE_MATCH", "")
        seconds = wait_seconds(environ.get("QUERY_STRING", ""))
        export = wait_for_change(request_id, known, seconds) if possible else None
        # A signed URL is a credential: no cache may keep it, and nothing of an export outlives it.
        headers = [("Cache-Control", "no-store"), ("ETag", etag_of(export))]
        if export is not None and export["status"] not in TERMINAL:
            headers.append(("Retry-After", str(RETRY_AFTER_SECONDS)))
        if known == etag_of(export):
            start("304 Not Modified", headers)
            return []
        start("200 OK" if export else "404 Not Found", [("Content-Type", "application/json"), *headers])
        return [json.dumps(export or {"error": "not found or expired"}).encode()]

    return answer


def wait_seconds(query: str) -> float:
    """How long a request may wait: `wait` in the query, at most 20 seconds; 0 if it is no number."""
    try:
        return max(0.0, min(MAX_WAIT_SECONDS, float(parse_qs(query).get("wait", ["0"])[0])))
    except ValueError:
        return 0.0


class ThreadingServer(ThreadingMixIn, WSGIServer):
    """A thread for each request: one that waits must not hold up the others."""

    daemon_threads = True


def main(table: str, port: int, hosts: Container[str]) -> None:
    """Serves on 127.0.0.1 until Ctrl-C; prints the address when it is ready."""
    dynamodb = boto3.client("dynamodb", region_name=os.environ.get("AWS_REGION"))
    with make_server("127.0.0.1", port, application(dynamodb, table, hosts), ThreadingServer) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        # In another thread, so that Ctrl-C reaches this one and not a request.
        serving = Thread(target=server.serve_forever)
        serving.start()
        with suppress(KeyboardInterrupt):
            serving.join()
        server.shutdown()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m examples.reader_api")
    parser.add_argument("table", metavar="TABLE")
    parser.add_argument("port", metavar="PORT", type=int)
    parser.add_argument("hosts", metavar="HOST", nargs="+", help="a host of signed URLs that may be shown")
    arguments = parser.parse_args()
    main(arguments.table, arguments.port, arguments.hosts)
