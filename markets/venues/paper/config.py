"""What a paper venue is started with, read strictly from JSON or built in code."""

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from controlplane.kernel.errors import ControlPlaneError, InvalidNumber
from controlplane.kernel.secrets import Secret
from controlplane.kernel.units import finite_decimal, positive_decimal
from markets.venues.paper.capture import read_capture
from markets.venues.paper.model import Instrument

BINANCE_USDM: Final = "binance"
PACIFICA: Final = "pacifica"
DIALECTS: Final = (BINANCE_USDM, "aster", PACIFICA)
HOUR: Final = 3600


class ConfigError(ControlPlaneError):
    """A paper venue cannot be started with what it was given."""

    code = "paper_config"


@dataclass(frozen=True, slots=True)
class SymbolConfig:
    """A market: its rules and the price it starts at."""

    instrument: Instrument
    price: Decimal
    funding_rate: Decimal


@dataclass(frozen=True, slots=True)
class AccountConfig:
    """An account and how it is known. `api_key` names it and `api_secret` proves who calls:

    binance: the API key and its secret; aster: the login wallet's address and its agent's;
    pacifica: the account's public key and its agent's (its own again when it has none).
    """

    label: str
    api_key: Secret
    api_secret: Secret
    balance: Decimal
    positions: Mapping[str, Decimal] = field(default_factory=dict)
    leverage: int = 20


@dataclass(frozen=True, slots=True)
class ActorConfig:
    """Somebody else on the accounts: about every `every_seconds` a market order of about `size`.

    `size` is in units of the symbol's price relative to BTC, so 0.01 means 0.01 BTC or its worth.
    """

    every_seconds: Decimal
    size: Decimal
    accounts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PaperConfig:
    """All of a paper venue. `volatility` is the largest relative move of one price step."""

    accounts: tuple[AccountConfig, ...]
    symbols: tuple[SymbolConfig, ...]
    name: str = "paper"
    dialect: str = BINANCE_USDM
    port: int = 0
    seed: int = 1
    volatility: Decimal = Decimal("0.00005")
    step_ms: int = 100
    latency_ms: int = 0
    clock_offset_ms: int = 0
    funding_interval_seconds: int = 0  # none given: as the venue has it
    replay: tuple[Path, ...] = ()
    replay_speed: Decimal = Decimal(1)
    replay_loop: bool = False
    start_paused: bool = False
    enforce_limits: bool = False
    ledger: Path | None = None
    control: bool = False
    actor: ActorConfig | None = None


# Tick, lot and a plausible price, as Binance listed these contracts; any other base gets DEFAULT.
_KNOWN: Final[Mapping[str, tuple[str, str, str]]] = {
    "BTC": ("0.10", "0.001", "61800"),
    "ETH": ("0.01", "0.001", "2680"),
    "SOL": ("0.01", "0.01", "155"),
    "BNB": ("0.01", "0.01", "520"),
    "XRP": ("0.0001", "0.1", "0.58"),
    "DOGE": ("0.00001", "1", "0.105"),
    "ADA": ("0.0001", "1", "0.34"),
    "AVAX": ("0.001", "1", "22.5"),
    "LINK": ("0.001", "0.01", "10.4"),
    "SUI": ("0.0001", "0.1", "0.85"),
}
_DEFAULT: Final = ("0.001", "0.1", "25")
# Maker and taker of the first tier, as ccxt 4.5.90 lists them.
_FEES: Final[Mapping[str, tuple[str, str]]] = {
    BINANCE_USDM: ("0.0002", "0.0005"),
    "aster": ("0.0001", "0.00035"),
    PACIFICA: ("0.00015", "0.0004"),
}


def symbol_config(
    base: str,
    *,
    quote: str = "USDT",
    price: Decimal | None = None,
    tick: Decimal | None = None,
    lot: Decimal | None = None,
    min_notional: Decimal = Decimal(5),
    funding_rate: Decimal = Decimal("0.0001"),
) -> SymbolConfig:
    """Return a market for a base asset; what is not given comes from a table of known contracts."""
    if not base.isascii() or not base.isalnum() or base != base.upper():
        raise ConfigError(f"{base!r} is no base asset: use capitals and digits, like BTC.")
    known_tick, known_lot, known_price = _KNOWN.get(base, _DEFAULT)
    lot = Decimal(known_lot) if lot is None else lot
    instrument = Instrument(
        symbol=f"{base}{quote}",
        base=base,
        quote=quote,
        tick=Decimal(known_tick) if tick is None else tick,
        lot=lot,
        min_qty=lot,
        max_qty=lot * 1_000_000,
        max_market_qty=lot * 120_000,
        min_notional=min_notional,
    )
    return SymbolConfig(instrument, Decimal(known_price) if price is None else price, funding_rate)


def account_config(
    label: str,
    api_key: str,
    api_secret: str,
    balance: Decimal,
    positions: Mapping[str, Decimal] | None = None,
    *,
    leverage: int = 20,
) -> AccountConfig:
    return AccountConfig(
        label, Secret(api_key), Secret(api_secret), balance, dict(positions or {}), leverage
    )


def config_from_json(text: str) -> PaperConfig:
    """Read a whole configuration; raises ConfigError that names the field at fault."""
    try:
        raw = json.loads(text, parse_float=Decimal)
    except ValueError as error:
        raise ConfigError(f"The configuration is not JSON: {error}") from None
    return config_from_mapping(raw)


def config_from_mapping(raw: object) -> PaperConfig:
    """Read a configuration of JSON values; unknown keys are refused."""
    reader = _Reader(raw, "configuration")
    symbols = tuple(_symbol(item) for item in reader.list("symbols"))
    config = PaperConfig(
        accounts=tuple(_account(item) for item in reader.list("accounts")),
        symbols=symbols,
        name=reader.text("name", "paper"),
        dialect=reader.text("dialect", BINANCE_USDM),
        port=reader.integer("port", 0),
        seed=reader.integer("seed", 1),
        volatility=reader.decimal("volatility", Decimal("0.00005")),
        step_ms=reader.integer("stepMs", 100),
        latency_ms=reader.integer("latencyMs", 0),
        clock_offset_ms=reader.integer("clockOffsetMs", 0),
        funding_interval_seconds=reader.integer("fundingIntervalSeconds", 0),
        replay=tuple(Path(str(item)) for item in reader.list("replay")),
        replay_speed=reader.decimal("replaySpeed", Decimal(1)),
        replay_loop=reader.flag("replayLoop"),
        start_paused=reader.flag("startPaused"),
        enforce_limits=reader.flag("enforceLimits"),
        ledger=Path(path) if (path := reader.text("ledger", "")) else None,
        control=reader.flag("control"),
        actor=_actor(actor) if (actor := reader.take("actor")) is not None else None,
    )
    reader.finish()
    return checked(config)


def checked(config: PaperConfig) -> PaperConfig:
    """Return `config`, or raise ConfigError when its parts do not fit together."""
    if config.dialect not in DIALECTS:
        raise ConfigError(f"Unknown dialect {config.dialect!r}; known: {', '.join(DIALECTS)}.")
    config = _as_listed(config)
    if not config.symbols:
        raise ConfigError("A venue needs at least one symbol.")
    if not 0 <= config.port <= 65535:
        raise ConfigError(f"Port {config.port} is not between 0 and 65535.")
    if config.step_ms < 1 or config.latency_ms < 0 or config.funding_interval_seconds < 1:
        raise ConfigError("Steps and the funding interval are at least 1, a latency at least 0.")
    if config.replay_speed <= 0:
        raise ConfigError("The replay speed must be above zero.")
    _require_unique("symbol", [item.instrument.symbol for item in config.symbols])
    _require_unique("account label", [account.label for account in config.accounts])
    _require_unique("API key", [account.api_key.reveal() for account in config.accounts])
    bases = {item.instrument.base for item in config.symbols}
    for account in config.accounts:
        if unknown := sorted(set(account.positions) - bases):
            raise ConfigError(f"Account {account.label}: no market for {', '.join(unknown)}.")
    labels = {account.label for account in config.accounts}
    if config.actor and (unknown := sorted(set(config.actor.accounts) - labels)):
        raise ConfigError(f"The actor names unknown accounts: {', '.join(unknown)}.")
    for path in config.replay:
        if not path.is_file():
            raise ConfigError(f"There is no capture at {path}.")
        _check_protocol(config, path)
    return config


def _check_protocol(config: PaperConfig, path: Path) -> None:
    """Refuse a capture that cannot be read, and Pacifica's where another protocol is spoken.

    Pacifica itself tells what other captures hold in its own words.
    """
    try:
        first = next(read_capture([path]), None)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise ConfigError(f"{path} is no capture: {error}") from None
    if first is not None and first.is_pacifica and config.dialect != PACIFICA:
        raise ConfigError(f"{path} is not a capture of what {config.dialect} speaks.")


def _as_listed(config: PaperConfig) -> PaperConfig:
    """Return `config` with what the venue itself settles: names, fees, the funding interval."""
    maker, taker = _FEES[config.dialect]
    bare = config.dialect == PACIFICA
    symbols = tuple(
        replace(
            item,
            instrument=replace(
                item.instrument,
                symbol=item.instrument.base if bare else item.instrument.symbol,
                quote="USDC" if bare else item.instrument.quote,
                maker_fee=Decimal(maker),
                taker_fee=Decimal(taker),
            ),
        )
        for item in config.symbols
    )
    usual = HOUR if bare else 8 * HOUR
    return replace(
        config,
        symbols=symbols,
        funding_interval_seconds=config.funding_interval_seconds or usual,
    )


def _require_unique(what: str, values: Sequence[str]) -> None:
    if len(set(values)) != len(values):
        raise ConfigError(f"Each {what} may be given only once.")


def _symbol(raw: object) -> SymbolConfig:
    if isinstance(raw, str):
        return symbol_config(raw)
    reader = _Reader(raw, "symbol")
    result = symbol_config(
        reader.text("base"),
        quote=reader.text("quote", "USDT"),
        price=reader.optional_positive("price"),
        tick=reader.optional_positive("tick"),
        lot=reader.optional_positive("lot"),
        min_notional=reader.decimal("minNotional", Decimal(5)),
        funding_rate=reader.decimal("fundingRate", Decimal("0.0001")),
    )
    reader.finish()
    return result


def _account(raw: object) -> AccountConfig:
    reader = _Reader(raw, "account")
    positions = reader.take("positions") or {}
    if not isinstance(positions, dict):
        raise ConfigError("account.positions must map a base asset to a size.")
    result = account_config(
        reader.text("label"),
        reader.text("apiKey"),
        reader.text("apiSecret"),
        reader.decimal("balance"),
        {base: _number(size, f"positions.{base}") for base, size in positions.items()},
        leverage=reader.integer("leverage", 20),
    )
    reader.finish()
    return result


def _actor(raw: object) -> ActorConfig:
    reader = _Reader(raw, "actor")
    result = ActorConfig(
        every_seconds=reader.decimal("everySeconds"),
        size=reader.decimal("size", Decimal("0.01")),
        accounts=tuple(str(item) for item in reader.list("accounts")),
    )
    reader.finish()
    if result.every_seconds <= 0 or result.size <= 0:
        raise ConfigError("The actor's seconds and size must be above zero.")
    return result


def _number(value: object, name: str) -> Decimal:
    try:
        return finite_decimal(value, name=name)
    except InvalidNumber as error:
        raise ConfigError(error.message) from None


class _Reader:
    """Takes the fields of one JSON object, and complains about what is wrong or left over."""

    def __init__(self, raw: object, name: str) -> None:
        if not isinstance(raw, dict):
            raise ConfigError(f"The {name} must be a JSON object.")
        self._raw: dict[str, Any] = dict(raw)
        self._name = name

    def take(self, key: str) -> Any:
        return self._raw.pop(key, None)

    def text(self, key: str, default: str | None = None) -> str:
        value = self.take(key)
        if value is None and default is not None:
            return default
        if not isinstance(value, str) or (not value and default is None):
            raise ConfigError(f"{self._name}.{key} must be a text.")
        return value

    def integer(self, key: str, default: int) -> int:
        value = self.take(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int):
            raise ConfigError(f"{self._name}.{key} must be a whole number.")
        return value

    def decimal(self, key: str, default: Decimal | None = None) -> Decimal:
        value = self.take(key)
        if value is None and default is not None:
            return default
        return _number(value, f"{self._name}.{key}")

    def optional_positive(self, key: str) -> Decimal | None:
        value = self.take(key)
        if value is None:
            return None
        try:
            return positive_decimal(value, name=f"{self._name}.{key}")
        except InvalidNumber as error:
            raise ConfigError(error.message) from None

    def flag(self, key: str) -> bool:
        value = self.take(key)
        if value is None:
            return False
        if not isinstance(value, bool):
            raise ConfigError(f"{self._name}.{key} must be true or false.")
        return value

    def list(self, key: str) -> "list[Any]":
        value = self.take(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise ConfigError(f"{self._name}.{key} must be a list.")
        return value

    def finish(self) -> None:
        if self._raw:
            raise ConfigError(f"{self._name} has unknown fields: {', '.join(sorted(self._raw))}.")
