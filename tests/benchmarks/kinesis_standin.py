"""Serves the stand-in for Kinesis on loopback, in another process than the one that is measured."""

import asyncio
import base64
import functools
from collections.abc import Mapping
from typing import Any

from tests.audit.kinesis_standin import Kinesis
from tests.benchmarks.standin import Connection
from tests.benchmarks.standin_world import World


class KinesisWorld(World):
    """Answers PutRecords, and counts the records."""

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
        decoded = [{**record, "Data": base64.b64decode(record["Data"])} for record in records]
        # Without a hash key the middle one: one record an entry has only its partition key.
        whole = [{"ExplicitHashKey": str(2**127), **record} for record in decoded]
        return Kinesis().put_records(StreamName="export-audit", Records=whole)


async def serve() -> None:
    """Serves until it is ended; the first line on standard output is the port."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(functools.partial(Connection, KinesisWorld(), 0.0), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
