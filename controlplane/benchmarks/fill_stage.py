"""The product with accounts on three paper venues, and somebody who trades on them.

Run as `python -m controlplane.benchmarks.fill_stage RESULT COUNT` in an environment that points to
an empty directory; leaves what it measured in the file RESULT.
"""

import asyncio
import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

import django
import psycopg
from django.db import connection, connections

DIALECTS: Final = ("binance", "aster", "pacifica")
ACCOUNTS: Final = 4
"""Accounts of each venue."""
AMOUNT: Final = Decimal("0.002")
READY_SECONDS: Final = 90.0
FILL_SECONDS: Final = 10.0
EACH_SECONDS: Final = 1.0
"""On the average no trade, with the pause after it, may take longer: else nothing is measured."""
BEAT_SECONDS: Final = 20.0
PAUSE_SECONDS: Final = 0.02, 0.12
CHANNEL: Final = "benchmark_fill"
# Tells of each fill when its transaction has been committed, and never before.
TRIGGER: Final = f"""
CREATE FUNCTION {CHANNEL}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_notify('{CHANNEL}', NEW.account_id || ' ' || NEW.trade_id); RETURN NULL; END $$;
CREATE TRIGGER {CHANNEL} AFTER INSERT ON hedging_fill
FOR EACH ROW EXECUTE FUNCTION {CHANNEL}();
"""

Trade = tuple[str, str]
"""An account and a venue's id of one of its trades."""
Times = dict[Trade, int]
"""When something was known of trades, in ns of the wall clock, which the venues share."""


def main() -> None:
    """Start everything, measure, stop everything."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")
    django.setup()
    from controlplane.base import jobs
    from controlplane.management.commands.demo import prepare_database
    from controlplane.supervision import programs
    from controlplane.supervision.supervisor import Program
    from markets.models import Venue

    result, count = Path(sys.argv[1]), int(sys.argv[2])
    prepare_database(result.parent, allow_url=False)
    Venue.objects.update(is_enabled=False)
    jobs.schedules_upsert()
    venues = [StageVenue(name, programs.free_port("127.0.0.1", 0)) for name in DIALECTS]
    papers = []
    for venue in venues:
        path = result.parent / f"{venue.dialect}.json"
        path.write_text(json.dumps(venue.configuration()))
        run = partial(programs.command, "run_paper_venue", "--config", str(path))
        papers.append(Program(venue.dialect, run))
    programs.run(
        host="127.0.0.1",
        port=programs.free_port("127.0.0.1", 0),
        announce=lambda supervisor: None,
        more=[*papers, Program("benchmark", partial(_leave, venues, count, result), True)],
    )


def _leave(venues: Sequence["StageVenue"], count: int, result: Path) -> None:
    connections.close_all()
    facts: dict[str, Any]
    try:
        facts = _measured(venues, count)
    except TimeoutError as problem:
        facts = {"problem": str(problem)}
    result.write_text(json.dumps(facts))


def longest(count: int) -> float:
    """Return how many seconds a stage that measures `count` fills may take, start to end."""
    return READY_SECONDS + EACH_SECONDS * count + 2 * FILL_SECONDS


@dataclass(frozen=True, slots=True)
class StageVenue:
    """A paper venue of one dialect and its accounts, whose keys are the benchmark's own."""

    dialect: str
    port: int

    @property
    def rest(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def websocket(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def labels(self) -> Sequence[str]:
        return [f"{self.dialect}-{number}" for number in range(ACCOUNTS)]

    def configuration(self) -> Mapping[str, Any]:
        """Return what `run_paper_venue --config` reads."""
        accounts = []
        for number, label in enumerate(self.labels):
            name, proof, _credentials = keys(self.dialect, number)
            accounts.append(
                {
                    "label": label,
                    "apiKey": name,
                    "apiSecret": proof,
                    "balance": "1000000",
                    "leverage": 10,
                    "positions": {"BTC": "0.5"},
                }
            )
        return {
            "name": self.dialect,
            "dialect": self.dialect,
            "port": self.port,
            "control": True,
            "symbols": [{"base": "BTC", "price": "61800"}],
            "accounts": accounts,
        }


def keys(dialect: str, number: int) -> tuple[str, str, dict[str, str]]:
    """Return how the venue knows an account, how it proves itself, and its credentials."""
    from nacl.signing import SigningKey

    from controlplane.kernel.secrets import Secret
    from markets.venues import base58
    from markets.venues.aster.facts import MAIN_CHAIN
    from markets.venues.aster.signing import Signer

    if dialect == "aster":
        wallet = Signer(Secret(f"0x{number + 1:064x}"), chain_id=MAIN_CHAIN).address
        agent = f"0x{number + 1001:064x}"
        signer = Signer(Secret(agent), chain_id=MAIN_CHAIN).address
        return wallet, signer, {"public_key": wallet, "agent_key": agent}
    if dialect == "pacifica":
        pairs = [SigningKey(bytes([number + 1, who] * 16)) for who in (1, 2)]
        account, agent_address = (base58.encode(bytes(pair.verify_key)) for pair in pairs)
        secret = base58.encode(bytes(pairs[1]) + bytes(pairs[1].verify_key))
        return account, agent_address, {"public_key": account, "agent_key": secret}
    key, secret = f"stage-key-{number}", f"stage-secret-{number}"
    return key, secret, {"api_key": key, "api_secret": secret}


def _measured(venues: Sequence[StageVenue], count: int) -> dict[str, Any]:
    deadline = time.monotonic() + READY_SECONDS
    for venue in venues:
        _add(venue, deadline)
    with connection.cursor() as cursor:
        cursor.execute(TRIGGER)
    with _committed() as written, _heard(venues) as heard:
        _wait(_all_stand, deadline, "the private streams do not stand")
        _trade(venues, count, written)
        _wait(lambda: len(heard) >= count, time.monotonic() + FILL_SECONDS, "frames are missing")
    emitted = _emitted(venues)
    return {
        "missed": len(emitted.keys() - written.keys()),
        "written": _delays(emitted, written),
        "heard": _delays(emitted, heard),
    }


def _add(venue: StageVenue, deadline: float) -> None:
    """Write a venue with its instruments, one feed and its accounts, as a person would."""
    from accounts.models import ExchangeAccount
    from controlplane.base.audit import Actor, Surface
    from markets.jobs import instruments_sync
    from markets.models import MarketDataFeed, Venue
    from markets.venues.errors import VenueError

    row = Venue.objects.create(
        venue_id=f"stage-{venue.dialect}",
        name=venue.dialect,
        dialect=venue.dialect,
        environment="paper",
        rest_endpoint=venue.rest,
        ws_endpoint=venue.websocket,
    )

    def listed() -> bool:
        try:
            instruments_sync(row, actor=Actor(name="benchmark", surface=Surface.COMMAND))
        except VenueError:
            return False
        return True

    _wait(listed, deadline, f"{venue.dialect} lists nothing")
    MarketDataFeed.objects.create(feed_id=row.pk, exchange=row, symbol="BTC")
    for number, label in enumerate(venue.labels):
        account = ExchangeAccount(
            account_id=label,
            exchange=row,
            account_name=label,
            max_position_value=Decimal(1_000_000),
            **keys(venue.dialect, number)[2],
        )
        account.full_clean()
        account.save()


def _all_stand() -> bool:
    from accounts.models import AccountState

    standing = AccountState.objects.exclude(stream_at=None).exclude(fills_at=None)
    return standing.count() == ACCOUNTS * len(DIALECTS)


def _trade(venues: Sequence[StageVenue], count: int, written: Times) -> None:
    """Trade on one account after the other and wait until each trade is in the record."""
    from controlplane.demo import control

    chance = random.Random(7)  # noqa: S311 - the same trades each run
    turns = cycle([(venue, venue.labels[i]) for i in range(ACCOUNTS) for venue in venues])
    began = time.monotonic()
    for number, (venue, label) in enumerate(islice(turns, count), 1):
        is_odd = (number - 1) // (ACCOUNTS * len(venues)) % 2
        body = {
            "account": label,
            "symbol": "BTC" if venue.dialect == "pacifica" else "BTCUSDT",
            "amount": str(-AMOUNT if is_odd else AMOUNT),
        }
        control.ask(venue, "/control/position", body)
        deadline = time.monotonic() + FILL_SECONDS
        while len(written) < number and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(chance.uniform(*PAUSE_SECONDS))
        if time.monotonic() - began > EACH_SECONDS * count + FILL_SECONDS:
            raise TimeoutError(f"{number} of {count} took too long.")
        if number % 50 == 0:
            sys.stdout.write(f"{number} of {count}\n")
            sys.stdout.flush()


def _emitted(venues: Sequence[StageVenue]) -> Times:
    from controlplane.demo import control

    return {
        (entry["account"], entry["tradeId"]): int(entry["atNs"])
        for venue in venues
        for entry in control.ledger(venue, "fill")
        if entry["external"]
    }


def _delays(emitted: Times, known: Times) -> dict[str, list[float]]:
    """Return milliseconds from the venue's match until something was known, by dialect."""
    delays: dict[str, list[float]] = {name: [] for name in DIALECTS}
    for trade in emitted.keys() & known.keys():
        delays[trade[0].split("-")[0]].append((known[trade] - emitted[trade]) / 1e6)
    return delays


def _wait(condition: Callable[[], bool], deadline: float, problem: str) -> None:
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"In time {problem}.")
        time.sleep(0.2)


@contextmanager
def _committed() -> Iterator[Times]:
    """Note when the database tells of each fill."""
    times: Times = {}
    from controlplane import bus

    with psycopg.connect(**bus.listening_parameters()) as listening:
        listening.execute(f"LISTEN {CHANNEL}")

        def listen(done: threading.Event) -> None:
            while not done.is_set():
                for notice in listening.notifies(timeout=0.2):
                    account, _, trade_id = notice.payload.partition(" ")
                    times.setdefault((account, trade_id), time.time_ns())

        with _thread(listen):
            yield times


@contextmanager
def _heard(venues: Sequence[StageVenue]) -> Iterator[Times]:
    """The peer: bare clients on the same streams, which note when a frame with a fill came."""
    times: Times = {}

    def serve(done: threading.Event) -> None:
        asyncio.run(_hear(venues, times, done))

    with _thread(serve):
        yield times


async def _hear(venues: Sequence[StageVenue], times: Times, done: threading.Event) -> None:
    tasks = [
        asyncio.create_task(_hear_one(venue, number, times))
        for venue in venues
        for number in range(ACCOUNTS)
    ]
    await asyncio.get_running_loop().run_in_executor(None, done.wait)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _hear_one(venue: StageVenue, number: int, times: Times) -> None:
    from websockets.asyncio.client import connect

    from controlplane.kernel.secrets import Secret
    from markets.venues.registry import VenueRegistry
    from markets.venues.types import Credentials, Endpoint, FillReport, OrderUpdate

    registry, endpoint = VenueRegistry(allow_loopback=True), Endpoint(venue.rest, venue.websocket)
    secrets = {name: Secret(value) for name, value in keys(venue.dialect, number)[2].items()}
    client = registry.execution_client(venue.dialect, endpoint, Credentials(**secrets))
    session = registry.private_session(venue.dialect)
    address = await client.open_private_stream()
    await client.close()
    async with connect(address.url, compression=None, proxy=None) as socket:
        for opening in address.frames:
            await socket.send(opening)
        beating = asyncio.create_task(_beat(socket, address.heartbeat))
        async for frame in socket:
            at = time.time_ns()
            for event in session.receive(frame):
                fill = event.fill if isinstance(event, OrderUpdate) else event
                if isinstance(fill, FillReport):
                    times.setdefault((venue.labels[number], fill.trade_id), at)
        beating.cancel()


async def _beat(socket: Any, text: str | None) -> None:
    """Say what keeps the connection, where that is not the protocol's own ping."""
    while text is not None:
        await asyncio.sleep(BEAT_SECONDS)
        await socket.send(text)


@contextmanager
def _thread(work: Callable[[threading.Event], None]) -> Iterator[None]:
    """Have `work` done beside the block; it is to end when its event is set."""
    done = threading.Event()
    thread = threading.Thread(target=work, args=(done,))
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


if __name__ == "__main__":
    main()
