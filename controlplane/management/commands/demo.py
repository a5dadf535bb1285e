"""Run everything with paper venues, proxies and sample data."""

import fcntl
import json
import math
import os
import sys
import time
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import psutil
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection
from django.utils.translation import gettext as _

from accounts.models import ExchangeAccount
from controlplane.base import jobs
from controlplane.base.arguments import port, positive
from controlplane.demo import captures, check, data, relay, replay
from controlplane.demo.captures import Recording
from controlplane.demo.layout import SYMBOLS, DemoLayout, DemoVenue, demo_layout
from controlplane.embedded_postgres import server
from controlplane.health import pending_migrations
from controlplane.supervision import programs
from controlplane.supervision.supervisor import Program, Supervisor
from markets.venues.paper.config import symbol_config

CHECK_SECONDS: Final = 120
FRESH_DATABASE: Final = "fresh"
MARKETS: Final = tuple(symbol_config(base).instrument.symbol for base in SYMBOLS)


class Command(BaseCommand):
    help = (
        "Run web, feeds, sentinel and workers with three paper venues (Binance, Aster, Pacifica), "
        "five accounts behind two proxies, and somebody who moves their positions. Starts with "
        "fresh data each time, in a database of its own."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="Address to serve on.")
        parser.add_argument("--port", type=port, default=8000, help="Port; 0 takes a free one.")
        parser.add_argument(
            "--check",
            action="store_true",
            help="End with code 0 once hedges were made and agree with the venues' ledgers.",
        )
        parser.add_argument(
            "--seconds",
            type=positive,
            help=f"End after this long; with --check the limit ({CHECK_SECONDS} when unset).",
        )
        parser.add_argument(
            "--use-database-url",
            action="store_true",
            help="Load the demo into the empty database of DATABASE_URL.",
        )
        parser.add_argument(
            "--replay",
            type=Path,
            action="append",
            default=[],
            metavar="FILE",
            help="A recorded capture all venues play at its own speed, over and over; with "
            "--check once, and every quote must arrive. May be given again for other markets.",
        )
        parser.add_argument("--json", action="store_true", help="Print JSON.")

    def handle(self, **options: Any) -> None:
        started = datetime.fromtimestamp(psutil.Process().create_time(), UTC)
        try:
            recorded = captures.recordings(options["replay"], markets=MARKETS)
        except captures.CaptureRefused as refused:
            raise CommandError(str(refused), returncode=2) from None
        directory = settings.VAR_DIR / "demo"
        directory.mkdir(parents=True, exist_ok=True)
        with only_one(directory / "demo.lock"):
            self._run(directory, started, recorded, options)

    def _run(
        self,
        directory: Path,
        started: datetime,
        recorded: Sequence[Recording],
        options: dict[str, Any],
    ) -> None:
        host = options["host"]
        port = self._port(host, options["port"], strict=not options["check"])
        prepare_database(directory, allow_url=options["use_database_url"])
        layout = replaying(recorded, loops=not options["check"])
        venues = layout.venues
        if layout.has_own_addresses:  # else a proxy cannot be told from us
            settings.EGRESS_ECHO_URL = f"{venues[0].rest}/control/peer"
        password = data.password(directory / "login.json")
        data.demo_load(layout=layout, password=password)
        jobs.schedules_upsert()
        result = directory / "check.json"
        result.unlink(missing_ok=True)
        more = [*outside_programs(directory, layout)]
        if options["check"]:
            limit = options["seconds"] or CHECK_SECONDS + longest(recorded)
            proof = partial(prove, layout, started, limit, recorded, result)
            more.append(Program("check", proof, True))
        elif recorded:
            more.append(Program("replay", partial(replay.begin_when_heard, venues)))
        if options["seconds"] and not options["check"]:
            more.append(Program("timer", partial(time.sleep, options["seconds"]), True))
        login = {
            "address": programs.address(host, port),
            "username": data.USERNAME,
            "password": password,
            **spare_account(venues),
        }
        announce = partial(self._announce, login, options["json"])
        code = programs.run(host=host, port=port, announce=announce, more=more)
        if options["check"]:
            self._conclude(result, as_json=options["json"])
        elif code:
            raise CommandError(_("A program failed."), returncode=code)

    def _port(self, host: str, port: int, *, strict: bool) -> int:
        try:
            return programs.free_port(host, port)
        except OSError as error:
            if not strict:  # a check looks at what happens, not at where
                return programs.free_port(host, 0)
            raise CommandError(
                _("%(host)s:%(port)s cannot be served on: %(error)s. Choose another --port.")
                % {"host": host, "port": port, "error": error}
            ) from error

    def _announce(self, login: dict[str, str], as_json: bool, supervisor: Supervisor) -> None:
        if as_json:
            self.stdout.write(json.dumps(login))
        else:
            self.stdout.write(
                _(
                    "To add an account yourself: exchange %(exchange)s, API key %(apiKey)s, "
                    "API secret %(apiSecret)s\n"
                    "The demo runs at %(address)s — sign in as %(username)s, password %(password)s"
                )
                % login
            )
        self.stdout.flush()

    def _conclude(self, result: Path, *, as_json: bool) -> None:
        if not result.exists():
            raise CommandError(_("The check was interrupted."))
        outcome: dict[str, Any] = json.loads(result.read_text())
        if as_json:
            self.stdout.write(json.dumps(outcome))
        if "problem" in outcome:
            raise CommandError(_("Not shown in time: %(problem)s") % outcome)
        if not as_json:
            self.stdout.write(
                _(
                    "First hedge reconciled %(seconds_to_first_hedge).1f s after the start; "
                    "%(hedges)d hedges, 95 %% within %(hedge_p95_ms)d ms; %(orders)d orders and "
                    "%(fills)d fills agree with the venues' ledgers; %(pss_mb)d MB in use."
                )
                % outcome
            )
            self.stdout.write(
                _(
                    "Hedged across venues: %(crossed)s. %(private_requests)d private requests and "
                    "%(private_sockets)d private sockets went out by %(ways)s, none directly."
                )
                % {
                    **outcome,
                    "crossed": ", ".join(outcome["crossings"]),
                    "ways": ", ".join(outcome["exits"]),
                }
            )
            for feed in outcome["feeds"]:
                self.stdout.write(
                    _(
                        "%(feed)s: %(sent)d quotes sent, %(read)d read, %(dropped)d dropped; "
                        "delay p99 %(delay_p99)s ms, worst %(delay_worst)s ms "
                        "(as recorded: %(recorded_p99)s, %(recorded_worst)s)"
                    )
                    % feed
                )


def replaying(recorded: Sequence[Recording], *, loops: bool) -> DemoLayout:
    """Return the demo's layout on free ports, all venues with the recorded markets."""
    layout = demo_layout(free_port)
    files = sorted({item.path.resolve() for item in recorded})
    prices = {item.base: item.first_price for item in recorded}
    venues = [venue.replaying(files, first_prices=prices, loops=loops) for venue in layout.venues]
    return replace(layout, venues=venues)


def free_port(host: str) -> int:
    """Return a free port of an address of ours."""
    return programs.free_port(host, 0)


def longest(recorded: Sequence[Recording]) -> int:
    """Return how many whole seconds the longest recording takes."""
    return math.ceil(max((item.seconds for item in recorded), default=0))


def spare_account(venues: Sequence[DemoVenue]) -> dict[str, str]:
    """Return the keys of the paper account that a person may add to the console."""
    venue, spare = next((venue, venue.spare) for venue in venues if venue.spare is not None)
    return {
        "exchange": venue.venue_id,
        "apiKey": spare.keys.account["api_key"],
        "apiSecret": spare.keys.account["api_secret"],
    }


@contextmanager
def only_one(path: Path) -> Any:
    """Hold the demo's lock; raises CommandError while another demo runs on the same data."""
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError(_("A demo runs already; end it first.")) from None
        yield


def prepare_database(directory: Path, *, allow_url: bool) -> None:
    """Give the demo a fresh schema; raises CommandError rather than touch somebody's data."""
    if settings.EMBEDDED_POSTGRES:
        _copy_fresh_schema(directory / "postgres")
        return
    if not allow_url:
        raise CommandError(
            _("DATABASE_URL is set. Unset it, or say --use-database-url for an empty database."),
            returncode=2,
        )
    call_command("migrate", interactive=False, verbosity=0)
    if ExchangeAccount.objects.exists():
        raise CommandError(_("The database has accounts; the demo wants an empty one."))


def _copy_fresh_schema(data_dir: Path) -> None:
    # The schema is kept without rows, so only the first start, or a new migration, builds it.
    place = connection.settings_dict
    name = place["NAME"]
    place["DATA_DIR"], place["NAME"] = str(data_dir), FRESH_DATABASE
    server.running(data_dir, FRESH_DATABASE, durable=place["DURABLE"])
    if pending_migrations():
        call_command("migrate", interactive=False, verbosity=0)
    connection.close()
    place["NAME"] = name
    server.copy_database(data_dir, FRESH_DATABASE, name)


def outside_programs(directory: Path, layout: DemoLayout) -> Sequence[Program]:
    """Return what stands for the outside world: the paper venues, and proxies on the way there.

    Their settings, ledgers and logs are files of the demo.
    """
    table = []
    for one in layout.exits:
        proxy = one.relay(directory)
        proxy.log.unlink(missing_ok=True)
        table.append(Program(one.name, partial(relay.serve, proxy)))
    for venue in layout.venues:
        ledger = directory / f"{venue.venue_id}.ledger.jsonl"
        ledger.unlink(missing_ok=True)
        path = directory / f"{venue.venue_id}.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(venue.configuration(ledger=str(ledger))))
        run = partial(programs.command, "run_paper_venue", "--config", str(path))
        table.append(Program(venue.venue_id, run))
    return table


def prove(
    layout: DemoLayout,
    started: datetime,
    seconds: float,
    recorded: Sequence[Recording],
    result: Path,
) -> None:
    """Run the check and leave its outcome in a file; exits with 1 when it fails."""
    try:
        summary = check.check(
            layout,
            directory=result.parent,
            started=started,
            seconds=seconds,
            recorded=recorded,
        )
    except check.NotShown as problem:
        result.write_text(json.dumps({"problem": str(problem)}))
        sys.exit(1)
    family = psutil.Process(os.getppid())
    summary.pss_mb = check.pss_megabytes([family, *family.children(recursive=True), *postgres()])
    result.write_text(json.dumps(asdict(summary)))


def postgres() -> list[psutil.Process]:
    """Return the embedded server's processes."""
    if not settings.EMBEDDED_POSTGRES:
        return []
    pid_file = Path(connection.settings_dict["DATA_DIR"]) / "postmaster.pid"
    postmaster = psutil.Process(int(pid_file.read_text().split("\n", 1)[0]))
    return [postmaster, *postmaster.children(recursive=True)]
