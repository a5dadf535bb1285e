"""Channels consumers that hold the private streams of accounts."""

from collections.abc import Sequence

from channels.db import database_sync_to_async

from accounts.streams import PrivateStream, StreamPlan, StreamTerms, stream_plan
from markets.consumers import Stream, StreamConsumer
from markets.venues.registry import dialect_facts


class AccountStreamConsumer(StreamConsumer[StreamPlan]):
    """Holds the private stream of one account and follows its keys, proxy and deletion.

    Paused and stopped accounts are held too: what happens on them must still be known.
    """

    kind = "account"

    def __init__(self, *, terms: StreamTerms | None = None) -> None:
        super().__init__()
        self._terms = terms or StreamTerms()

    async def load(self) -> StreamPlan | None:
        return await database_sync_to_async(stream_plan)(self.key)

    def streams(self, plan: StreamPlan) -> Sequence[Stream]:
        if plan.route is None or not dialect_facts(plan.route.dialect).has_streams:
            return ()  # an account without a stream is known by its syncs alone
        return (lambda: PrivateStream(plan, terms=self._terms).run(),)
