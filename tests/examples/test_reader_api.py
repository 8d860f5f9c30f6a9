"""The example of a reader: polls cost little, and a change ends a wait."""

import json
import threading
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from examples.reader_api import MAX_WAIT_SECONDS, application, wait_seconds, without_foreign_url
from handlers.export import Export, Status
from processor.localaws.embedded_aws import EmbeddedAws
from tests.resources import status_table
from tests.waiting import eventually

HOST = "example-bucket.s3.amazonaws.com"


class Api:
    """The application over a table of its own, called as a WSGI server does."""

    def __init__(self, aws: EmbeddedAws) -> None:
        self.table = status_table(aws.client)
        self.dynamodb = aws.client("dynamodb")
        self.reads = 0
        self.application = application(self, self.table, {HOST}, look_seconds=0.02)

    def get_item(self, **arguments: Any) -> Any:
        self.reads += 1
        return self.dynamodb.get_item(**arguments)

    def put(self, status: Status, *, seconds_left: int = 60, url: str | None = None) -> None:
        now = datetime.now(UTC)
        export = Export("req-1", status, now, now, int(now.timestamp()) + seconds_left, url)
        self.dynamodb.put_item(TableName=self.table, Item=export.to_item())

    def get(
        self, known: str = "", query: str = "", path: str = "/exports/req-1"
    ) -> tuple[str, dict[str, str], Any]:
        """Status, headers and body."""
        seen: list[Any] = []
        environ = {"PATH_INFO": path, "QUERY_STRING": query, "HTTP_IF_NONE_MATCH": known}
        body = b"".join(self.application(environ, lambda *answer: seen.append(answer)))
        [(status, headers)] = seen
        return status, dict(headers), json.loads(body) if body else None


@pytest.fixture
def api(embedded_aws: EmbeddedAws) -> Api:
    return Api(embedded_aws)


def test_an_answer_that_the_client_has_is_a_304_without_a_body(api: Api) -> None:
    api.put(Status.PROCESSING)
    status, headers, body = api.get()
    assert (status, body["status"], headers["Retry-After"]) == ("200 OK", "processing", "2")
    assert api.get(headers["ETag"])[::2] == ("304 Not Modified", None)
    api.put(Status.COMPLETED)
    status, changed, body = api.get(headers["ETag"])
    assert (status, body["status"]) == ("200 OK", "completed")
    assert "Retry-After" not in changed
    assert changed["Cache-Control"] == headers["Cache-Control"] == "no-store"


def test_a_change_ends_a_wait(api: Api) -> None:
    api.put(Status.PENDING)
    _, headers, _ = api.get()
    answers: list[Any] = []
    waiting = threading.Thread(target=lambda: answers.append(api.get(headers["ETag"], "wait=20")))
    waiting.start()
    eventually(lambda: api.reads >= 3)
    assert answers == []
    api.put(Status.FAILED)
    waiting.join(10)
    [(status, _, body)] = answers
    assert (status, body["status"]) == ("200 OK", "failed")


def test_a_wait_without_a_change_ends_in_a_304(api: Api) -> None:
    api.put(Status.PENDING)
    _, headers, _ = api.get()
    begun = time.monotonic()
    assert api.get(headers["ETag"], "wait=0.2")[0] == "304 Not Modified"
    assert time.monotonic() - begun >= 0.2


def test_a_terminal_status_is_not_waited_for(api: Api) -> None:
    api.put(Status.COMPLETED)
    _, headers, _ = api.get()
    before = api.reads
    assert api.get(headers["ETag"], "wait=20")[0] == "304 Not Modified"
    assert api.reads == before + 1


def test_an_expired_export_is_gone_while_its_item_is_still_there(api: Api) -> None:
    api.put(Status.PROCESSING, seconds_left=0)
    status, headers, body = api.get()
    assert (status, body) == ("404 Not Found", {"error": "not found or expired"})
    assert "Retry-After" not in headers


@pytest.mark.parametrize(
    "path", ["/exports/unknown", "/exports/", "/", "/other/req-1", f"/exports/{'x' * 257}"]
)
def test_nothing_is_found_where_nothing_is(api: Api, path: str) -> None:
    api.put(Status.PROCESSING)
    assert api.get(path=path)[::2] == ("404 Not Found", {"error": "not found or expired"})


@pytest.mark.parametrize(
    ("query", "seconds"),
    [("", 0), ("wait=3", 3), ("wait=1e9", MAX_WAIT_SECONDS), ("wait=-1", 0), ("wait=soon", 0), ("wait=", 0)],
)
def test_a_wait_lasts_at_most_twenty_seconds(query: str, seconds: float) -> None:
    assert wait_seconds(query) == seconds


def test_a_signed_url_of_another_host_is_not_shown(api: Api) -> None:
    api.put(Status.COMPLETED, url=f"https://{HOST}/report?X-Amz-Signature=1")
    _, headers, body = api.get()
    assert body["signedUrl"] == f"https://{HOST}/report?X-Amz-Signature=1"
    api.put(Status.COMPLETED, url="https://evil.example/report")
    status, _, body = api.get(headers["ETag"])
    assert (status, body["status"]) == ("200 OK", "completed")
    assert "signedUrl" not in body


@pytest.mark.parametrize(
    "url",
    [
        f"http://{HOST}/r",
        f"https://{HOST}.evil.example/r",
        f"https://{HOST}@evil.example/r",
        f"https://evil.example\\@{HOST}/r",
        f"https://user@{HOST}/r",
        f"https://{HOST}:8443/r",
        f"https://{HOST}:port/r",
        "https://[::1/r",
        f"//{HOST}/r",
        "javascript:alert(1)",
    ],
)
def test_only_https_at_a_named_host_is_trusted(url: str) -> None:
    export = {"status": "completed", "signedUrl": url}
    assert without_foreign_url(export, {HOST}) == {"status": "completed"}
