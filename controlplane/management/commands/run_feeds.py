"""Hold the venues' sockets: quotes to the board and on to the database, accounts' own streams."""

import asyncio
import json
import signal
import time
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from typing import Any, Final

import uvloop
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext_lazy as _

from accounts.consumers import AccountStreamConsumer
from accounts.selectors import streamed_accounts
from controlplane import bus
from controlplane.kernel.clock import SYSTEM_CLOCK
from markets.consumers import FeedConsumer
from markets.feeds.board import QuoteBoard
from markets.feeds.holding import Holding
from markets.feeds.line import FeedLine
from markets.feeds.plans import FeedPlan, feed_plans
from markets.feeds.publisher import Publisher
from markets.feeds.standby import Standby
from markets.feeds.supervisor import StreamKind, Supervisor
from markets.feeds.trunks import Trunks
from markets.models import MarketDataFeed
from markets.venues.registry import VenueRegistry

REPORT_SECONDS: Final = 3.0


class Command(BaseCommand):
    help = str(
        _(
            "Hold the sockets of every enabled market data feed and the private stream of every "
            "account until stopped. What is added, changed or switched off meanwhile is followed "
            "within a second. Run on several hosts, they share the streams, and what a dead one "
            "held is taken over within 5 seconds."
        )
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--feed",
            action="append",
            metavar="FEED",
            help="hold only this feed, and no account; may be repeated",
        )
        parser.add_argument(
            "--json", action="store_true", help="print a line of JSON every few seconds"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        only = options["feed"] and frozenset(options["feed"])
        if only:
            known = set(MarketDataFeed.objects.filter(pk__in=only).values_list("pk", flat=True))
            if unknown := sorted(only - known):
                raise CommandError(
                    str(_("There is no feed %(feeds)s.")) % {"feeds": ", ".join(unknown)},
                    returncode=2,
                )
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._hold(only, as_json=options["json"]))

    async def _hold(self, only: frozenset[str] | None, *, as_json: bool) -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, stop.set)
        board = QuoteBoard(SYSTEM_CLOCK)
        holding = Holding(SYSTEM_CLOCK, is_sharing=only is None)
        publisher = Publisher(board, holding, clock=SYSTEM_CLOCK)
        kinds = [_feeds(board, only)]
        if only is None:
            app = AccountStreamConsumer.as_asgi()
            kinds.append(StreamKind("account", streamed_accounts, app, is_exclusive=True))
        supervisor = Supervisor(kinds, holding)
        bus.ensure_listening()
        parts: list[asyncio.Task[None]] = [
            asyncio.create_task(publisher.run(), name="publisher"),
            asyncio.create_task(supervisor.run(), name="supervisor"),
            asyncio.create_task(self._report(board, publisher, as_json=as_json), name="report"),
        ]
        stopping = asyncio.create_task(stop.wait())
        done, _waiting = await asyncio.wait([stopping, *parts], return_when=asyncio.FIRST_COMPLETED)
        for part in parts:  # the publisher first: it still writes what the streams brought
            part.cancel()
            await asyncio.gather(part, return_exceptions=True)
        for part in parts:
            if part in done:
                part.result()

    async def _report(self, board: QuoteBoard, publisher: Publisher, *, as_json: bool) -> None:
        if not as_json:
            self.stdout.write(str(_("Holding the feeds' sockets; Ctrl-C stops.")))
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            if as_json:
                self.stdout.write(json.dumps(_figures(board, publisher)))
                self.stdout.flush()


def _feeds(board: QuoteBoard, only: frozenset[str] | None) -> StreamKind:
    registry = VenueRegistry(allow_loopback=settings.ALLOW_LOOPBACK_VENUES)

    def wanted() -> Mapping[str, FeedPlan]:
        plans = feed_plans()
        return {key: plan for key, plan in plans.items() if only is None or key in only}

    standby = Standby(registry, SYSTEM_CLOCK)
    trunks = Trunks(registry, SYSTEM_CLOCK)
    app = FeedConsumer.as_asgi(board=board, registry=registry, standby=standby, trunks=trunks)
    return StreamKind("feed", wanted, app)


def _figures(board: QuoteBoard, publisher: Publisher) -> dict[str, Any]:
    now = board.clock.monotonic()
    lines: Sequence[FeedLine] = sorted(board, key=lambda line: line.feed_id)
    return {
        "feeds": [
            {
                "feedId": line.feed_id,
                "status": line.status(now).value,
                "source": line.source(now).value,
                "ageMs": None if (age := line.age_ms(now)) is None else round(age),
                "quotes": line.quotes,
                "dropped": dict(line.drops),
                "connections": line.connections,
                "wsLatencyP95": line.latency_p95,
                "delayP99": p99,
                "delayWorst": worst,
                "link": line.link,
                "marksTrouble": line.marks_trouble,
            }
            for line in lines
            for p99, worst in (line.delays,)
        ],
        "stored": publisher.stored,
        "tasks": len(asyncio.all_tasks()),
        "cpuSeconds": round(time.process_time(), 3),
    }
