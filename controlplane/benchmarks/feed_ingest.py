"""What a quote costs from the socket to the board, beside ccxt.pro, cryptofeed and bare sockets.

Each reader is a process of its own on the same local stream of 20 symbols, one after the other in
one run. Ours does all that `run_feeds` does for a message: parsing, checks, board, latency
quantiles and health, but not the database, which is written ten times a second whatever comes.
cryptofeed wants an environment of its own, whose python is named by `--peer-python`.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from controlplane.benchmarks.report import BenchmarkFailed, Figure, Goal, Report, percentile

SYMBOLS: Final = ("BTCUSDT", "ETHUSDT", *(f"COIN{number:03}USDT" for number in range(18)))
READERS: Final = ("websockets", "socket", "ours", "ccxt.pro")
EACH: Final = 50
"""Messages for each one counted."""
CALM: Final = 1_000
"""Messages a second of a quiet market, where each wakes its reader."""
FAST: Final = 10_000
WARM_UP: Final = 200
"""Messages before the measurement begins."""
READER_SECONDS: Final = 60.0
ANSWER_BYTES: Final = 64 * 1024 * 1024
"""What a reader tells at its end; of more than is buffered, its exit may lose the rest."""
PEER: Final = "cryptofeed"
GOALS: Final = (Goal("cpu_of_ccxt", 1 / 3), Goal("p99_of_ccxt", 1 / 10), Goal("lost", 0))
PEER_GOALS: Final = (Goal("cpu_of_cryptofeed", 1), Goal("p50_of_cryptofeed", 1))
_WORKER: Final = ("-m", "controlplane.benchmarks.ingest_worker")
_NUMBERS: Final = 1000
"""Messages' bids count them, up to here and again."""

Results = Mapping[str, Mapping[str, Any]]
Commands = Mapping[str, Sequence[str]]


def run(*, count: int, say: Callable[[str], None], peer_python: Path | None = None) -> Report:
    """Measure; every reader takes 50 messages for each one counted, at both paces."""
    commands: dict[str, Sequence[str]] = {name: _command(name) for name in READERS}
    if peer_python is not None:
        commands[PEER] = (str(peer_python), str(Path(__file__).with_name("cryptofeed_reader.py")))

    def all_at(pace: int) -> Results:
        return {
            name: asyncio.run(_measured(name, command, pace, count * EACH, say))
            for name, command in commands.items()
        }

    return report(all_at(CALM), all_at(FAST))


def _command(reader: str) -> Sequence[str]:
    return sys.executable, *_WORKER, reader


def report(calm: Results, fast: Results) -> Report:
    """Return the figures of what the readers told at both paces."""
    ours, ccxt = fast["ours"], fast["ccxt.pro"]
    cpu, cpu_calm = (
        {name: result["cpuMicros"] for name, result in results.items()} for results in (fast, calm)
    )
    figures = {
        "cpu": Figure(round(cpu["ours"], 1), "µs a message"),
        "cpu_websockets": Figure(round(cpu["websockets"], 1), "µs a message"),
        "cpu_socket": Figure(round(cpu["socket"], 1), "µs a message"),
        "cpu_of_ccxt": Figure(_ratio(ours, ccxt, "cpuMicros"), "× ccxt.pro"),
        "cpu_over_socket": Figure(round(cpu["ours"] - cpu["socket"], 1), "µs a message"),
        "cpu_calm": Figure(round(cpu_calm["ours"], 1), "µs a message at 1,000 a second"),
        "cpu_calm_of_ccxt": Figure(
            _ratio(calm["ours"], calm["ccxt.pro"], "cpuMicros"), "× ccxt.pro at 1,000 a second"
        ),
        "p50": Figure(round(ours["p50Micros"]), "µs at 10,000 a second"),
        "p99": Figure(round(ours["p99Micros"]), "µs at 10,000 a second"),
        "p99_of_ccxt": Figure(_ratio(ours, ccxt, "p99Micros"), "× ccxt.pro"),
        "messages": Figure(ours["messages"], "messages"),
        "lost": Figure(ours["lost"] + calm["ours"]["lost"], "messages"),
    }
    goals: Sequence[Goal] = GOALS
    if PEER in fast:
        goals = GOALS + PEER_GOALS
        figures |= {
            "cpu_of_cryptofeed": Figure(_ratio(ours, fast[PEER], "cpuMicros"), "× cryptofeed"),
            "p50_of_cryptofeed": Figure(_ratio(ours, fast[PEER], "p50Micros"), "× cryptofeed"),
            "p99_of_cryptofeed": Figure(_ratio(ours, fast[PEER], "p99Micros"), "× cryptofeed"),
        }
    peers: list[Mapping[str, Any]] = [
        _told(name, result, cpu_calm[name]) for name, result in fast.items() if name != "ours"
    ]
    if PEER not in fast:
        peers.append({"name": PEER, "absent": "--peer-python names no environment that has it"})
    return Report("feed-ingest", figures, goals, peers)


def _ratio(ours: Mapping[str, Any], peer: Mapping[str, Any], name: str) -> float:
    return float(round(ours[name] / peer[name], 3))


def _told(name: str, result: Mapping[str, Any], calm: float) -> Mapping[str, Any]:
    told = {key: round(result[key]) for key in ("p50Micros", "p99Micros")}
    cpu = {"cpuMicros": round(result["cpuMicros"], 1), "cpuCalmMicros": round(calm, 1)}
    return {"name": name, **cpu, **told, "lost": result["lost"], "version": result["version"]}


def figures_of(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a reader's own figures come to; of one that reads no bids nothing is `lost`."""
    delays, bids = raw["delays"], raw["bids"]
    numbers = [round((float(bid) - 60_000) * 10) for bid in bids]
    gaps = [(b - a - 1) % _NUMBERS for a, b in pairwise(numbers)]
    return {
        "cpuMicros": raw["spent"] / len(delays) * 1e6,
        "p50Micros": percentile(delays, 0.5) / 1000,
        "p99Micros": percentile(delays, 0.99) / 1000,
        "messages": len(delays),
        "lost": sum(gaps) if bids else None,
        "version": raw.get("version"),
    }


async def _measured(
    reader: str, command: Sequence[str], pace: int, messages: int, say: Callable[[str], None]
) -> Mapping[str, Any]:
    """Run one reader on a stream of its own."""

    async def stream(socket: ServerConnection) -> None:
        try:
            await _send(socket, pace)
        except ConnectionClosed:
            return

    async with serve(stream, "127.0.0.1", 0, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        process = await asyncio.create_subprocess_exec(
            *command,
            str(port),
            str(WARM_UP),
            str(messages),
            *SYMBOLS,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=ANSWER_BYTES,
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
    result = figures_of(json.loads(out))
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
    bid = 60_000 + number % _NUMBERS / 10
    return (
        f'{{"stream":"{symbol.lower()}@bookTicker","data":{{"e":"bookTicker",'
        f'"u":{time.monotonic_ns()},"s":"{symbol}","b":"{bid:.2f}","B":"3.121",'
        f'"a":"{bid + 0.1:.2f}","A":"4.066","T":{wall_ms},"E":{wall_ms}}}}}'
    )
