"""A local stand-in for Kinesis that takes every record at once, in a process of its own."""

import asyncio
import functools
from collections.abc import Mapping
from typing import Any

from tests.benchmarks.standin import Connection
from tests.benchmarks.standin_world import World


class KinesisWorld(World):
    """Answers PutRecords, and counts what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self._operations["PutRecords"] = self._put_records
        self._records = 0
        self._data_chars = 0

    def state(self) -> dict[str, Any]:
        """Calls, records, and characters of base64 so far."""
        return super().state() | {"records": self._records, "data_chars": self._data_chars}

    def _put_records(self, request: Mapping[str, Any]) -> dict[str, Any]:
        records = request["Records"]
        self._records += len(records)
        self._data_chars += sum(len(record["Data"]) for record in records)
        taken = {"SequenceNumber": "4" * 56, "ShardId": "shardId-000000000000"}
        return {"FailedRecordCount": 0, "Records": [taken] * len(records)}


async def serve() -> None:
    """Serves until it is ended; the first line on standard output is the port."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(functools.partial(Connection, KinesisWorld(), 0.0), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
