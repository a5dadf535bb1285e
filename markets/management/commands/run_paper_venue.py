"""Start a paper venue: a simulated exchange on loopback that speaks a real venue's protocol."""

import asyncio
import dataclasses
import json
import os
import signal
from argparse import ArgumentParser
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext_lazy as _

from controlplane.base.arguments import port
from controlplane.kernel.errors import InvalidNumber
from controlplane.kernel.units import finite_decimal
from markets.venues.paper.config import (
    DIALECTS,
    AccountConfig,
    ActorConfig,
    ConfigError,
    PaperConfig,
    account_config,
    checked,
    config_from_json,
    symbol_config,
)
from markets.venues.paper.server import PaperVenue

CONFIG_VARIABLE = "PAPER_VENUE_CONFIG"


class Command(BaseCommand):
    requires_system_checks = ()  # it touches neither the database nor the apps
    help = str(
        _(
            "Run a paper venue on 127.0.0.1 until it is stopped. Options given here win over the "
            "JSON of --config (or of the environment variable PAPER_VENUE_CONFIG), which is the "
            "better place for secrets."
        )
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--config", type=Path, help="a JSON file with the whole configuration")
        add("--name", help="the venue's name")
        add("--dialect", choices=DIALECTS, help="the protocol it speaks; binance when unset")
        add("--port", type=port, help="the port; 0 takes a free one")
        add("--symbols", help="base assets, comma-separated: BTC,ETH")
        add(
            "--account",
            action="append",
            metavar="KEY:SECRET:LABEL:BALANCE[:SYM=SIZE,...]",
            help="an account; may be given several times. For aster and pacifica KEY is the "
            "account's address and SECRET its agent's: the venue knows no private key",
        )
        add("--ledger", type=Path, help="a file to write the ledger to (JSON lines, appended)")
        add("--replay", type=Path, action="append", help="a recorded capture to play")
        add("--speed", help="how fast a capture is played; 1 is its own pace")
        add("--loop", action="store_true", help="play captures over and over")
        add("--seed", type=int, help="the seed of prices and of the actor")
        add("--volatility", help="the largest relative move of one price step")
        add("--latency-ms", type=int, help="how long each answer takes")
        add("--actor", metavar="SECONDS[:SIZE]", help="somebody else trades on the accounts")
        add("--control", action="store_true", help="serve the control endpoint")
        add("--json", action="store_true", help="print the address as a JSON line")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            config = _configuration(options)
        except (ConfigError, InvalidNumber) as error:
            raise CommandError(error.message, returncode=2) from None
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}", returncode=2) from None
        try:
            asyncio.run(self._serve(config, as_json=options["json"]))
        except OSError as error:
            raise CommandError(f"Port {config.port}: {error.strerror}", returncode=1) from None

    async def _serve(self, config: PaperConfig, *, as_json: bool) -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, stop.set)
        async with PaperVenue.start(config) as venue:
            self.stdout.write(_announcement(config, venue, as_json=as_json))
            self.stdout.flush()
            await stop.wait()


def _announcement(config: PaperConfig, venue: PaperVenue, *, as_json: bool) -> str:
    facts = {
        "name": config.name,
        "dialect": config.dialect,
        "rest": venue.rest_url,
        "websocket": venue.ws_url,
        "symbols": [item.instrument.symbol for item in config.symbols],
        "accounts": [account.label for account in config.accounts],
        "pid": os.getpid(),
    }
    if as_json:
        return json.dumps(facts)
    return str(_("Paper venue %(name)s listens on %(rest)s")) % facts


def _configuration(options: dict[str, Any]) -> PaperConfig:
    base = _base_configuration(options["config"])
    changes: dict[str, Any] = {
        field: options[option]
        for field, option in (
            ("name", "name"),
            ("dialect", "dialect"),
            ("port", "port"),
            ("ledger", "ledger"),
            ("seed", "seed"),
            ("latency_ms", "latency_ms"),
        )
        if options[option] is not None
    }
    if options["symbols"] is not None:
        names = [name.strip() for name in options["symbols"].split(",") if name.strip()]
        changes["symbols"] = tuple(symbol_config(name) for name in names)
    if options["account"]:
        changes["accounts"] = tuple(_account(text) for text in options["account"])
    if options["replay"]:
        changes["replay"] = tuple(options["replay"])
    if options["speed"] is not None:
        changes["replay_speed"] = finite_decimal(options["speed"], name="--speed")
    if options["volatility"] is not None:
        changes["volatility"] = finite_decimal(options["volatility"], name="--volatility")
    if options["actor"] is not None:
        changes["actor"] = _actor(options["actor"])
    changes["replay_loop"] = base.replay_loop or options["loop"]
    changes["control"] = base.control or options["control"]
    return checked(dataclasses.replace(base, **changes))


def _base_configuration(path: Path | None) -> PaperConfig:
    if path is not None:
        return config_from_json(path.read_text(encoding="utf-8"))
    if text := os.environ.get(CONFIG_VARIABLE):
        return config_from_json(text)
    return PaperConfig(accounts=(), symbols=(symbol_config("BTC"), symbol_config("ETH")))


def _account(text: str) -> AccountConfig:
    parts = text.split(":")
    if len(parts) not in (4, 5) or not all(parts[:4]):
        raise ConfigError("--account must be KEY:SECRET:LABEL:BALANCE[:SYM=SIZE,...].")
    key, secret, label, balance = parts[:4]
    positions: dict[str, Decimal] = {}
    for item in parts[4].split(",") if len(parts) == 5 else []:
        base, equals, size = item.partition("=")
        if not equals:
            raise ConfigError(f"--account {label}: {item!r} is not SYM=SIZE.")
        positions[base] = finite_decimal(size, name=f"position in {base}")
    return account_config(label, key, secret, finite_decimal(balance, name="balance"), positions)


def _actor(text: str) -> ActorConfig:
    seconds, _colon, size = text.partition(":")
    actor = ActorConfig(
        every_seconds=finite_decimal(seconds, name="--actor seconds"),
        size=finite_decimal(size or "0.01", name="--actor size"),
    )
    if actor.every_seconds <= 0 or actor.size <= 0:
        raise ConfigError("--actor needs seconds and a size above zero.")
    return actor
