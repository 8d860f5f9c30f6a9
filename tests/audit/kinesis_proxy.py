"""A proxy before an emulator that fails PutRecords on demand, before or after the put."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.proxy import Answer, Request, Upstream, failure, proxy


class KinesisProxy:
    """What happens to PutRecords now, and how many have failed."""

    def __init__(self) -> None:
        self.endpoint = ""
        self.fails_before_the_put = False
        self.fails_after_the_put = False
        self.failed = 0

    def heal(self) -> None:
        """Forwards every call from now on."""
        self.fails_before_the_put = self.fails_after_the_put = False

    async def treat(self, request: Request, upstream: Upstream) -> Answer:
        """Forwards a call, or fails it."""
        is_put = request.target.endswith(".PutRecords")
        if not (is_put and self.fails_before_the_put):
            answer = await upstream.ask(request)
            if not (is_put and self.fails_after_the_put):
                return answer
        self.failed += 1
        return failure("InternalFailureException", 500)


@contextmanager
def kinesis_proxy(endpoint_url: str) -> Iterator[KinesisProxy]:
    """A proxy that forwards every call until a test makes it fail."""
    treated = KinesisProxy()
    with proxy(endpoint_url, treated.treat) as treated.endpoint:
        yield treated
