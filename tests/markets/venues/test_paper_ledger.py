"""The ledger outlives the venue that writes it, goes on where it ended, and is read by pages."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from markets.venues.binance.client import BinanceExecutionClient
from markets.venues.paper.ledger import Ledger
from markets.venues.types import Credentials, Endpoint
from tests.contracts.kits import KITS
from tests.contracts.orders import resting

ROOT = Path(__file__).parents[3]


async def test_what_was_answered_is_in_the_file_after_a_kill_9(
    tmp_path: Path, credentials: Credentials
) -> None:
    path = tmp_path / "ledger.jsonl"
    config = {
        "accounts": [
            {"label": "alpha", "apiKey": "paper-key", "apiSecret": "paper-secret", "balance": 1000}
        ],
        "symbols": ["BTC"],
        "ledger": str(path),
        "startPaused": True,
    }
    venue = await asyncio.create_subprocess_exec(
        sys.executable,
        "manage.py",
        "run_paper_venue",
        "--json",
        cwd=ROOT,
        env={**os.environ, "PAPER_VENUE_CONFIG": json.dumps(config)},
        stdout=asyncio.subprocess.PIPE,
    )
    assert venue.stdout is not None
    facts = json.loads(await asyncio.wait_for(venue.stdout.readline(), 60))
    client = BinanceExecutionClient(Endpoint(facts["rest"], facts["websocket"]), credentials)
    commands = [resting(KITS["binance"](), amount="0.001", price="61000") for _ in range(5)]
    for command in commands:
        await client.submit(command)
    venue.send_signal(signal.SIGKILL)
    await venue.wait()
    await client.close()

    entries = [json.loads(line) for line in path.read_text().splitlines()]
    assert [entry["seq"] for entry in entries] == list(range(1, len(entries) + 1))
    placed = [entry["clientOrderId"] for entry in entries if entry["kind"] == "order"]
    assert placed == [command.client_order_id for command in commands]


def test_a_torn_line_is_cut_off_and_the_sequence_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger(path)
    for number in range(3):
        ledger.append("order", number, clientOrderId=f"c{number}")
    ledger.close()
    with path.open("ab") as torn:
        torn.write(b'{"seq":4,"kind":"ord')
    again = Ledger(path)
    assert again.append("fill", 9)["seq"] == 4
    again.close()
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    assert entries == again.since()
    assert [(entry["seq"], entry["kind"]) for entry in entries][2:] == [(3, "order"), (4, "fill")]


def test_pages_join_without_a_gap_even_when_the_oldest_are_forgotten() -> None:
    ledger = Ledger()
    for number in range(25):
        ledger.append("even" if number % 2 == 0 else "odd", number)
    ledger._entries.popleft()
    seen: list[int] = []
    while page := ledger.since(seen[-1] if seen else 0, limit=7):
        seen += [entry["seq"] for entry in page]
    assert seen == list(range(2, 26))
    assert [entry["seq"] for entry in ledger.since(20, kind="odd")] == [22, 24]
