"""The stream of a table in DynamoDB Local, with what that stream lacks: many shards that split and roll over.

One reader follows the real stream and files each record into the shard that a simulated stream has for its
key. Deletions by the reaper that stands in for DynamoDB's TTL get the `userIdentity` that TTL would give.
"""

import base64
import json
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore import xform_name
from botocore.exceptions import BotoCoreError, ClientError

from processor.localaws.clients import emulator_client
from tests.simulated_stream.client import SimulatedStreamsClient
from tests.simulated_stream.model import TTL_IDENTITY, SimulatedTable
from tests.support.proxy import Answer

IDLE_SECONDS = 0.1
PAGE_RECORDS = 1_000


class StreamFront:
    """Answers for the Streams API of one table."""

    def __init__(self, endpoint_url: str, table: str, *, shards: int) -> None:
        """Takes DynamoDB Local's address, the table, and how many shards its stream begins with."""
        self._table = SimulatedTable(table, time.time, shards=shards)
        self._api = SimulatedStreamsClient(self._table)
        self._endpoint_url = endpoint_url
        self._stop = threading.Event()

    @contextmanager
    def following(self) -> Iterator[None]:
        """Follows the real stream from its beginning."""
        follower = threading.Thread(target=self._follow, name="stream follower", daemon=True)
        follower.start()
        yield
        self._stop.set()
        follower.join()

    def answer(self, operation: str, body: bytes) -> Answer:
        """Answers one call, `GetRecords` for example."""
        headers = {"Content-Type": "application/x-amz-json-1.0"}
        try:
            answer = getattr(self._api, xform_name(operation))(**json.loads(body))
        except ClientError as refused:
            error = {"__type": refused.response["Error"]["Code"], "message": "simulated"}
            return Answer(400, json.dumps(error).encode(), headers)
        return Answer(200, json.dumps(answer).encode(), headers)

    def reads_first_shard(self, body: bytes) -> bool:
        """Whether a GetRecords request is for one of the shards that the stream began with."""
        token = json.loads(base64.b64decode(json.loads(body)["ShardIterator"]))
        with self._table.lock:
            shard = self._table.current.shards.get(token["shard"])
        return shard is not None and shard.parent_id is None

    def reshard(self, seed: int) -> list[str]:
        """Splits one open shard or lets it roll over; the ids of its children."""
        dice = random.Random(seed)
        with self._table.lock:
            open_shards = [each for each in self._table.current.shards.values() if each.closed_at is None]
            shard = dice.choice(open_shards)
            # DynamoDB's number of shards goes with the table's size; here it stays in a range.
            split = len(open_shards) < 4 or (len(open_shards) < 8 and dice.random() < 0.5)
            return self._table.split(shard.shard_id) if split else self._table.roll(shard.shard_id)

    def roll_all(self) -> list[str]:
        """Every open shard rolls over at once; the ids of those that were closed."""
        with self._table.lock:
            shards = [each for each in self._table.current.shards.values() if each.closed_at is None]
            for shard in shards:
                self._table.roll(shard.shard_id)
            return [shard.shard_id for shard in shards]

    def forget(self, seconds: float) -> None:
        """Trims what is older, as AWS does after 24 hours, and keeps no copy of it: a run may last long."""
        with self._table.lock:
            self._table.trim(time.time() - seconds)
            stream = self._table.current
            stream.dropped.clear()
            for shard in stream.shards.values():
                shard.written.clear()
        self._api.reads.clear()

    def _follow(self) -> None:
        streams = emulator_client("dynamodbstreams", self._endpoint_url)
        # botocore's parser would take most of this process's time.
        streams.meta.events.register("before-parse.dynamodb-streams.GetRecords", _take_json)
        dynamodb = emulator_client("dynamodb", self._endpoint_url)
        arn = dynamodb.describe_table(TableName=self._table.name)["Table"]["LatestStreamArn"]
        [shard] = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
        where: dict[str, str] = {"ShardIteratorType": "TRIM_HORIZON"}
        iterator = ""
        while not self._stop.is_set():
            try:
                if not iterator:
                    iterator = streams.get_shard_iterator(StreamArn=arn, ShardId=shard["ShardId"], **where)[
                        "ShardIterator"
                    ]
                page = streams.get_records(ShardIterator=iterator, Limit=PAGE_RECORDS)
            except (ClientError, BotoCoreError):
                iterator = ""
                self._stop.wait(IDLE_SECONDS)
                continue
            iterator = page.get("NextShardIterator") or ""
            for record in page["Records"]:
                self._file(record)
                where = {
                    "ShardIteratorType": "AFTER_SEQUENCE_NUMBER",
                    "SequenceNumber": record["dynamodb"]["SequenceNumber"],
                }
            if not page["Records"]:
                self._stop.wait(IDLE_SECONDS)

    def _file(self, record: dict[str, Any]) -> None:
        change = record["dynamodb"]
        key = change["Keys"]["requestId"]["S"]
        now = time.time()
        with self._table.lock:
            self._table.write(key, record["eventName"], image=change.get("OldImage"))
            filed = self._table.shard_of(key).records[-1]
            number = filed["dynamodb"]["SequenceNumber"]
            filed.pop("userIdentity", None)
            # DynamoDB Local cuts the time to the minute, AWS to the second.
            filed |= record | {
                "dynamodb": change | {"SequenceNumber": number, "ApproximateCreationDateTime": int(now)}
            }
            # The reaper deletes only what has expired, and no other caller deletes so late.
            if record["eventName"] == "REMOVE" and int(change["OldImage"]["ttl"]["N"]) <= now:
                filed["userIdentity"] = dict(TTL_IDENTITY)


def _take_json(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    if response_dict["status_code"] == 200:
        customized_response_dict.update(json.loads(response_dict["body"]))
        response_dict["body"] = b"{}"
