"""cryptofeed as a reader of feed-ingest's stream, in an environment of its own.

Run by its path with that environment's python as `cryptofeed_reader.py PORT COUNT,… SYMBOL…`;
nothing of this project can be imported there. Prints one JSON object of what `ingest_worker` keeps:
the CPU seconds of each COUNT of messages after the first, each one's delay in ns, and its bid.
"""

import asyncio
import json
import os
import sys
import time
from importlib.metadata import version
from itertools import accumulate, pairwise
from typing import Any

import uvloop  # type: ignore[import-untyped,unused-ignore]
from cryptofeed import FeedHandler, connection  # type: ignore[import-not-found]
from cryptofeed.defines import TICKER  # type: ignore[import-not-found]
from cryptofeed.exchanges import BinanceFutures  # type: ignore[import-not-found]
from cryptofeed.symbols import Symbols  # type: ignore[import-not-found]


def main() -> None:
    """Read until all messages have come, then end the process."""
    port, counts = int(sys.argv[1]), [int(count) for count in sys.argv[2].split(",")]
    names = {f"{name.removesuffix('USDT')}-USDT-PERP": name for name in sys.argv[3:]}
    types = {"instrument_type": dict.fromkeys(names, "perpetual"), "tick_size": {}}
    Symbols.set(BinanceFutures.id, names, types)
    connect = connection.connect

    def dial(_address: str, **options: Any) -> Any:
        """Open a plain socket: the library itself speaks to nothing but TLS."""
        options.pop("ssl", None)
        return connect(f"ws://127.0.0.1:{port}/stream", **options)

    connection.connect = dial
    delays: list[int] = []
    bids: list[object] = []
    times: list[float] = []
    bounds = list(accumulate(counts))

    async def take(ticker: Any, _received: float) -> None:
        delays.append(time.monotonic_ns() - ticker.raw["u"])
        bids.append(ticker.bid)
        if len(delays) == bounds[len(times)]:
            times.append(time.process_time())
            if len(times) == len(bounds):
                spent = [after - before for before, after in pairwise(times)]
                read = [str(bid) for bid in bids[counts[0] :]]
                told = {"delays": delays[counts[0] :], "bids": read, "spent": spent}
                print(json.dumps({**told, "version": version("cryptofeed")}), flush=True)  # noqa: T201
                os._exit(0)  # the library has no way to end that is not as long as a run

    asyncio.set_event_loop(uvloop.new_event_loop())
    handler = FeedHandler(config={"uvloop": False, "log": {"disabled": True}})
    handler.add_feed(
        BinanceFutures(symbols=list(names), channels=[TICKER], callbacks={TICKER: take})
    )
    handler.run()


if __name__ == "__main__":
    main()
