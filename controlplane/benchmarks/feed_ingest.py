"""What a quote costs from the socket to the board, beside ccxt.pro, cryptofeed and bare sockets.

Each reader is a process of its own on the same local stream of 20 symbols: some messages at a calm
pace, many evenly spaced at a fast one, which delays are of, and as many as fast as it takes them,
which is what CPU is told of: spaced, most messages cost a wake-up whoever reads them. Readers take
turns, one at a time, for several rounds, and each is told by its best one: a busy moment of the
machine only ever adds, so the best is the nearest to what the reader needs by itself. The stream
comes from a process of its own (`ingest_feeder`); where there are two cores it has one and the
reader, whichever it is, the other.

Ours does all that `run_feeds` does for a message: parsing, checks, board,
latency quantiles and health, but not the database, which is written ten times a second whatever
comes. `socket` and `websockets` only take messages off a socket: what they need is the stage's own
share. cryptofeed wants an environment of its own, whose python is named by `--peer-python`.
"""

import asyncio
import json
import os
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, Final

from controlplane.benchmarks.report import BenchmarkFailed, Figure, Goal, Report, percentile

SYMBOLS: Final = ("BTCUSDT", "ETHUSDT", *(f"COIN{number:03}USDT" for number in range(18)))
OURS: Final = "ours"
CCXT: Final = "ccxt.pro"
PEER: Final = "cryptofeed"
READERS: Final = (OURS, CCXT, "websockets", "socket")
ROUNDS: Final = 5
EACH: Final = 150
"""Messages of a round at the fast pace for each one counted; at the calm one a tenth of it."""
CALM: Final = 1_000
"""Messages a second of a quiet market, where each wakes its reader."""
FAST: Final = 10_000
WARM_UP: Final = 200
"""Messages before the measurement begins."""
PATIENCE_SECONDS: Final = 60.0
GOALS: Final = (Goal("cpu_of_ccxt", 1 / 3), Goal("p99_of_ccxt", 1 / 10), Goal("lost", 0))
PEER_GOALS: Final = (Goal("cpu_of_cryptofeed", 1), Goal("p50_of_cryptofeed", 1))
NUMBERS: Final = 1000
"""Messages' bids count them, up to here and again."""
_MODULE: Final = "controlplane.benchmarks."

Phase = tuple[int, int]
"""So many messages, at so many a second."""
Result = Mapping[str, Any]
Round = Mapping[str, Result]
"""What each reader came to, by its name."""


def run(*, count: int, say: Callable[[str], None], peer_python: Path | None = None) -> Report:
    """Measure; raises BenchmarkFailed."""
    commands: dict[str, Sequence[str]] = {name: _command(name) for name in READERS}
    if peer_python is not None:
        commands[PEER] = (str(peer_python), str(Path(__file__).with_name("cryptofeed_reader.py")))
    return report(asyncio.run(_rounds(commands, count * EACH, say)))


async def _rounds(
    commands: Mapping[str, Sequence[str]], messages: int, say: Callable[[str], None]
) -> Sequence[Round]:
    rounds = []
    async with stage(messages) as measured:
        for number in range(ROUNDS):
            seen = {name: await measured(name, commands[name]) for name in commands}
            rounds.append(seen)
            told = ", ".join(
                f"{name} {result['cpuMicros']:.1f} µs p99 {result['p99Micros']:.0f} µs"
                for name, result in seen.items()
            )
            say(f"round {number + 1} of {ROUNDS}, CPU a message and delay: {told}")
    return rounds


def _command(reader: str) -> Sequence[str]:
    return sys.executable, "-m", f"{_MODULE}ingest_worker", reader


# What is told


def report(rounds: Sequence[Round]) -> Report:
    """Return the figures of what the readers came to in each round."""

    def of(name: str, key: str) -> float:
        return float(min(seen[name][key] for seen in rounds))

    def ratio(key: str, peer: str, name: str = OURS) -> float:
        return round(of(name, key) / of(peer, key), 3)

    cpu, calm = "cpuMicros", "cpuCalmMicros"
    over = of(OURS, cpu) - of("socket", cpu)
    figures = {
        "cpu": Figure(round(of(OURS, cpu), 1), "µs a message"),
        "cpu_websockets": Figure(round(of("websockets", cpu), 1), "µs a message"),
        "cpu_socket": Figure(round(of("socket", cpu), 1), "µs a message"),
        "cpu_of_ccxt": Figure(ratio(cpu, CCXT), "× ccxt.pro"),
        "cpu_over_socket": Figure(round(over, 1), "µs a message"),
        "cpu_fast": Figure(round(of(OURS, "cpuFastMicros"), 1), "µs a message at 10,000 a second"),
        "cpu_fast_of_ccxt": Figure(
            ratio("cpuFastMicros", CCXT), "× ccxt.pro at 10,000 a second, each a wake-up"
        ),
        "cpu_calm": Figure(round(of(OURS, calm), 1), "µs a message at 1,000 a second"),
        "cpu_calm_of_ccxt": Figure(ratio(calm, CCXT), "× ccxt.pro at 1,000 a second"),
        "p50": Figure(round(of(OURS, "p50Micros")), "µs at 10,000 a second"),
        "p99": Figure(round(of(OURS, "p99Micros")), "µs at 10,000 a second"),
        "p99_of_ccxt": Figure(ratio("p99Micros", CCXT), "× ccxt.pro"),
        "p99_socket_of_ccxt": Figure(ratio("p99Micros", CCXT, "socket"), "× ccxt.pro"),
        "messages": Figure(sum(seen[OURS]["messages"] for seen in rounds), "messages"),
        "lost": Figure(sum(seen[OURS]["lost"] for seen in rounds), "messages"),
        "sent_late_p99": Figure(round(of(OURS, "sentLateP99Micros")), "µs by the sender"),
    }
    goals: Sequence[Goal] = GOALS
    if PEER in rounds[0]:
        goals = GOALS + PEER_GOALS
        figures |= {
            "cpu_of_cryptofeed": Figure(ratio(cpu, PEER), "× cryptofeed"),
            "p50_of_cryptofeed": Figure(ratio("p50Micros", PEER), "× cryptofeed"),
            "p99_of_cryptofeed": Figure(ratio("p99Micros", PEER), "× cryptofeed"),
        }
    peers: list[Mapping[str, Any]] = [
        _peer(name, [seen[name] for seen in rounds]) for name in rounds[0] if name != OURS
    ]
    if PEER not in rounds[0]:
        peers.append({"name": PEER, "absent": "--peer-python names no environment that has it"})
    return Report("feed-ingest", figures, goals, peers, rounds)


def _peer(name: str, results: Sequence[Result]) -> Mapping[str, Any]:
    told = {
        key: round(min(result[key] for result in results), 1)
        for key in ("cpuMicros", "cpuFastMicros", "cpuCalmMicros", "p50Micros", "p99Micros")
    }
    losses = [result["lost"] for result in results]
    lost = None if None in losses else sum(losses)
    return {"name": name, **told, "lost": lost, "version": results[0]["version"]}


def result_of(raw: Mapping[str, Any], counts: Sequence[int]) -> Result:
    """Return what a reader's own figures come to: delays are at the fast pace.

    `counts` is of messages at each pace. Of a reader that reads no bids nothing is `lost`.
    """
    delays, bids = raw["delays"][counts[0] : counts[0] + counts[1]], raw["bids"]
    numbers = [round((float(bid) - 60_000) * 10) for bid in bids]
    gaps = [(b - a - 1) % NUMBERS for a, b in pairwise(numbers)]
    calm, fast, flood = (
        spent / count * 1e6 for spent, count in zip(raw["spent"], counts, strict=True)
    )
    return {
        "cpuMicros": round(flood, 2),
        "cpuFastMicros": round(fast, 2),
        "cpuCalmMicros": round(calm, 2),
        "p50Micros": round(percentile(delays, 0.5) / 1000, 1),
        "p99Micros": round(percentile(delays, 0.99) / 1000, 1),
        "messages": len(raw["delays"]),
        "lost": sum(gaps) if bids else None,
        "version": raw.get("version"),
    }


# How it is measured


@asynccontextmanager
async def stage(
    messages: int, *, paces: tuple[int, int] = (CALM, FAST)
) -> AsyncIterator[Callable[[str, Sequence[str]], Awaitable[Result]]]:
    """Start the stream; give what runs a reader, by its name and command, on it.

    That raises BenchmarkFailed.
    """
    counts = (WARM_UP, max(1, messages // 10), messages, messages)
    phases = tuple(zip(counts, (paces[0], *paces, 0), strict=True))
    seconds = PATIENCE_SECONDS + 3 * sum(count / pace for count, pace in phases if pace)
    text = ",".join(f"{count}@{pace}" for count, pace in phases)
    command = (sys.executable, "-m", f"{_MODULE}ingest_feeder", text, *SYMBOLS)
    cores = _cores()
    async with _process(command, cores[0]) as feeder:
        port = await _told(feeder, PATIENCE_SECONDS)

        async def measured(reader: str, command: Sequence[str]) -> Result:
            asked = [*command, port, ",".join(map(str, counts)), *SYMBOLS]
            raw = await _read(reader, asked, cores[-1], seconds)
            sent = json.loads(await _told(feeder, PATIENCE_SECONDS))
            result = result_of(raw, counts[1:])
            return {**result, "sentLateP99Micros": round(sent["lateP99Micros"], 1)}

        yield measured


async def _read(
    reader: str, command: Sequence[str], core: int | None, seconds: float
) -> Mapping[str, Any]:
    """Run a reader to its end; return what it tells."""
    with tempfile.TemporaryFile() as told:  # a pipe holds less than a reader tells at its end
        try:
            async with asyncio.timeout(seconds), _process(command, core, told) as process:
                _, said = await process.communicate()
        except TimeoutError:
            raise BenchmarkFailed(f"{reader} did not read all messages in time.") from None
        told.seek(0)
        out = told.read()
    if process.returncode or not out:
        raise BenchmarkFailed(f"{reader}: {said.decode(errors='replace')[-500:]}")
    raw: Mapping[str, Any] = json.loads(out)
    return raw


async def _told(feeder: Process, seconds: float) -> str:
    """Return the next line that the stream's process tells."""
    assert feeder.stdout is not None
    try:
        async with asyncio.timeout(seconds):
            line = await feeder.stdout.readline()
    except TimeoutError:
        raise BenchmarkFailed("The stream's process tells nothing.") from None
    if not line:
        _, said = await feeder.communicate()
        raise BenchmarkFailed(f"No stream: {said.decode(errors='replace')[-500:]}")
    return line.decode().strip()


@asynccontextmanager
async def _process(
    command: Sequence[str], core: int | None, out: int | IO[bytes] = PIPE
) -> AsyncIterator[Process]:
    with _bound_to(core):  # a child inherits it
        process = await asyncio.create_subprocess_exec(*command, stdout=out, stderr=PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _cores() -> Sequence[int | None]:
    """Return the feeder's core first and the reader's last; None where there are no two."""
    if not hasattr(os, "sched_getaffinity") or len(cores := sorted(os.sched_getaffinity(0))) < 2:
        return (None,)
    return cores


@contextmanager
def _bound_to(core: int | None) -> Iterator[None]:
    """Have what is started meanwhile run on one core."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
