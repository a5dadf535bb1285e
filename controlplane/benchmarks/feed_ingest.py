"""What a quote costs from the socket to the board, beside ccxt.pro and the websocket library alone.

Each reader is a process of its own on the same local stream of 20 symbols, one after the other in
one run. Ours does all that `run_feeds` does for a message: parsing, checks, board, latency
quantiles and health, but not the database, which is written ten times a second whatever comes.
"""

import asyncio
import importlib.util
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from controlplane.benchmarks.report import BenchmarkFailed, Figure, Goal, Report

SYMBOLS: Final = ("BTCUSDT", "ETHUSDT", *(f"COIN{number:03}USDT" for number in range(18)))
READERS: Final = ("websockets", "socket", "ours", "ccxt.pro")
EACH: Final = 50
"""Messages for each one counted."""
CALM: Final = 1_000
"""Messages a second of a quiet market, where each wakes its reader."""
FAST: Final = 10_000
READER_SECONDS: Final = 60.0
GOALS: Final = (Goal("cpu_of_ccxt", 1 / 3), Goal("p99_of_ccxt", 1 / 10))

Results = Mapping[str, Mapping[str, Any]]


def run(*, count: int, say: Callable[[str], None]) -> Report:
    """Measure; every reader takes 50 messages for each one counted, at both paces."""
    calm = {name: asyncio.run(_measured(name, CALM, count * EACH, say)) for name in READERS}
    fast = {name: asyncio.run(_measured(name, FAST, count * EACH, say)) for name in READERS}
    return report(calm, fast)


def report(calm: Results, fast: Results) -> Report:
    """Return the figures of what the readers told at both paces."""
    cpu, cpu_calm = (
        {name: result["cpuMicros"] for name, result in results.items()} for results in (fast, calm)
    )
    figures = {
        "cpu": Figure(round(cpu["ours"], 1), "µs a message"),
        "cpu_websockets": Figure(round(cpu["websockets"], 1), "µs a message"),
        "cpu_socket": Figure(round(cpu["socket"], 1), "µs a message"),
        "cpu_of_ccxt": Figure(round(cpu["ours"] / cpu["ccxt.pro"], 3), "× ccxt.pro"),
        "cpu_over_socket": Figure(round(cpu["ours"] - cpu["socket"], 1), "µs a message"),
        "cpu_calm": Figure(round(cpu_calm["ours"], 1), "µs a message at 1,000 a second"),
        "cpu_calm_of_ccxt": Figure(
            round(cpu_calm["ours"] / cpu_calm["ccxt.pro"], 3), "× ccxt.pro at 1,000 a second"
        ),
        "p50": Figure(round(fast["ours"]["p50Micros"]), "µs at 10,000 a second"),
        "p99": Figure(round(fast["ours"]["p99Micros"]), "µs at 10,000 a second"),
        "p99_of_ccxt": Figure(
            round(fast["ours"]["p99Micros"] / fast["ccxt.pro"]["p99Micros"], 3), "× ccxt.pro"
        ),
        "messages": Figure(fast["ours"]["messages"], "messages"),
    }
    peers: list[Mapping[str, Any]] = [
        {"name": name, "cpuMicros": round(cpu[name], 1), **_rounded(fast[name])}
        for name in ("ccxt.pro", "websockets", "socket")
    ]
    if importlib.util.find_spec("cryptofeed") is None:
        peers.append({"name": "cryptofeed", "absent": "it needs an environment of its own"})
    return Report("feed-ingest", figures, GOALS, peers)


def _rounded(result: Mapping[str, Any]) -> dict[str, float]:
    return {name: round(result[name]) for name in ("p50Micros", "p99Micros")}


async def _measured(
    reader: str, pace: int, messages: int, say: Callable[[str], None]
) -> Mapping[str, Any]:
    """Run one reader on a stream of its own."""

    async def stream(socket: ServerConnection) -> None:
        try:
            await _send(socket, pace)
        except ConnectionClosed:
            return

    async with serve(stream, "127.0.0.1", 0, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        command = [sys.executable, "-m", "controlplane.benchmarks.ingest_worker"]
        process = await asyncio.create_subprocess_exec(
            *command,
            reader,
            str(port),
            str(messages),
            *SYMBOLS,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(READER_SECONDS + 3 * messages / pace):
                out, said = await process.communicate()
        except TimeoutError:
            raise BenchmarkFailed(f"{reader} did not read {messages} messages in time.") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    if process.returncode or not out:
        raise BenchmarkFailed(f"{reader}: {said.decode(errors='replace')[-500:]}")
    result: dict[str, Any] = json.loads(out)
    say(f"{reader} at {pace} a second: {result['cpuMicros']:.1f} µs a message")
    return result


async def _send(socket: ServerConnection, pace: int) -> None:
    """Send quotes of all symbols in turn, each stamped as it is sent, until the reader leaves."""
    began, sent = time.monotonic(), 0
    while True:
        due = int((time.monotonic() - began) * pace)
        while sent < due:
            await socket.send(_frame(SYMBOLS, sent))
            sent += 1
        await asyncio.sleep(0.001)


def _frame(symbols: Sequence[str], number: int) -> str:
    symbol, wall_ms = symbols[number % len(symbols)], time.time_ns() // 1_000_000
    bid = 60_000 + number % 1000 / 10
    return (
        f'{{"stream":"{symbol.lower()}@bookTicker","data":{{"e":"bookTicker",'
        f'"u":{time.monotonic_ns()},"s":"{symbol}","b":"{bid:.2f}","B":"3.121",'
        f'"a":"{bid + 0.1:.2f}","A":"4.066","T":{wall_ms},"E":{wall_ms}}}}}'
    )
