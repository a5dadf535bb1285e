"""How late quotes are when a recorded market bursts, played faster than it was.

A capture's busiest second, with what came just before and after it, is played with the gaps that it
had, divided by SPEED: every frame of the recorded socket, whatever it says. The reader is a process
of its own and does all that `run_feeds` does for a message; a quote's delay runs from its sending
to its place on the board.
"""

import asyncio
import gzip
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from controlplane.benchmarks.report import BenchmarkFailed, Figure, Goal, Report, percentile
from markets.venues.paper.hub import text_frame

SPEED: Final = 4
AROUND: Final = 4
"""Seconds of the capture before and after the busiest one."""
PAUSE_SECONDS: Final = 0.0005
MOST_TOGETHER: Final = 50
READER_SECONDS: Final = 60.0
GOALS: Final = (Goal("delay_p99", 100), Goal("lost", 0))
_CLOCKS: Final = re.compile(rb'"([uET])":(\d+)')

Line = tuple[int, bytes]
"""A frame and when it was received, in ns of the recorder's clock."""


def run(*, count: int, say: Callable[[str], None], capture: Path | None = None) -> Report:
    """Play `count` / 50 rounds of the burst (at least one) of a capture; raises BenchmarkFailed."""
    if capture is None:
        raise BenchmarkFailed("--capture names no recorded market")
    try:
        lines, rate = busiest(capture)
    except (OSError, ValueError) as error:
        raise BenchmarkFailed(f"{capture} is no capture: {error}") from None
    say(f"the busiest second has {rate} messages; {len(lines)} are played {SPEED} times as fast")
    rounds = max(1, count // 50)
    return report(asyncio.run(_played(lines, rounds)), rate)


def busiest(capture: Path) -> tuple[Sequence[Line], int]:
    """Return the frames round the busiest second, and how many that second has."""
    opener = gzip.open if capture.suffix == ".gz" else open
    lines: list[Line] = []
    with opener(capture, "rb") as file:
        for line in file:
            received, _, text = line.rstrip().partition(b" ")
            lines.append((int(received), text))
    if not lines:
        raise ValueError("it is empty")
    seconds = Counter(received // 10**9 for received, _ in lines)
    second, rate = seconds.most_common(1)[0]
    low, high = second - AROUND, second + AROUND
    return [line for line in lines if low <= line[0] // 10**9 <= high], rate


def report(result: dict[str, Any], rate: int) -> Report:
    """Return the figures of what was sent and read."""
    delays: Sequence[float] = result["delays"]
    return Report(
        "feed-burst",
        {
            "delay_p50": Figure(round(percentile(delays, 0.5), 2), "ms"),
            "delay_p99": Figure(round(percentile(delays, 0.99), 2), "ms"),
            "delay_max": Figure(round(max(delays), 2), "ms"),
            "sent_late_p99": Figure(round(percentile(result["late"], 0.99), 2), "ms by the sender"),
            "busiest": Figure(rate * SPEED, "messages/s"),
            "quotes": Figure(len(delays), "quotes"),
            "lost": Figure(result["sent"] - len(delays), "quotes"),
            "cpu": Figure(round(result["cpuMicros"], 1), "µs a quote, other messages included"),
        },
        GOALS,
    )


async def _played(lines: Sequence[Line], rounds: int) -> dict[str, Any]:
    late: list[float] = []
    quotes = sum(b"@bookTicker" in text[:60] for _, text in lines) * rounds

    async def stream(socket: ServerConnection) -> None:
        try:
            await socket.recv()  # what it asks for
            for _ in range(rounds):
                await _play(socket, lines, late)
            await socket.wait_closed()
        except ConnectionClosed:
            return

    async with serve(stream, "127.0.0.1", 0, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        command = [sys.executable, "-m", "controlplane.benchmarks.burst_worker"]
        process = await asyncio.create_subprocess_exec(
            *command,
            str(port),
            str(quotes),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        seconds = (lines[-1][0] - lines[0][0]) / 1e9 / SPEED * rounds
        try:
            async with asyncio.timeout(READER_SECONDS + 2 * seconds):
                out, said = await process.communicate()
        except TimeoutError:
            raise BenchmarkFailed(f"{quotes} quotes were not read in time") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    if process.returncode or not out:
        raise BenchmarkFailed(said.decode(errors="replace")[-500:])
    return {**json.loads(out), "sent": quotes, "late": late}


async def _play(socket: ServerConnection, lines: Sequence[Line], late: list[float]) -> None:
    """Send each frame when it is due, its clocks moved to now and its number the time of sending.

    Frames that are due together are one write, and the library is passed by: it is the reader that
    is measured.
    """
    began, first, at = time.monotonic_ns(), lines[0][0], 0
    while at < len(lines):
        frames: list[bytes] = []
        while at < len(lines) and len(frames) < MOST_TOGETHER:
            due = began + (lines[at][0] - first) // SPEED
            if (now := time.monotonic_ns()) < due:
                break
            frames.append(text_frame(_stamped(lines[at][1], now)))
            late.append((now - due) / 1e6)
            at += 1
        socket.transport.write(b"".join(frames))
        await asyncio.sleep(0 if len(frames) == MOST_TOGETHER else PAUSE_SECONDS)
        await socket.drain()


def _stamped(text: bytes, now: int) -> bytes:
    wall = time.time_ns() // 10**6

    def moved(match: re.Match[bytes]) -> bytes:
        return b'"%b":%d' % (match[1], now if match[1] == b"u" else wall)

    return _CLOCKS.sub(moved, text)
