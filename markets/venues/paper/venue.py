"""One paper venue without sockets: engine, ledger, fan-out, clock and what moves its prices.

A dialect reads it and drives it; `server.py` gives it sockets and time.
"""

import asyncio
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final, Protocol

from markets.venues.paper.config import PaperConfig
from markets.venues.paper.effects import Effects
from markets.venues.paper.engine import Engine
from markets.venues.paper.faults import (
    Channel,
    Fault,
    FaultError,
    FaultKind,
    Faults,
    Stage,
    Standing,
    Subject,
    Topic,
)
from markets.venues.paper.funding import Funding
from markets.venues.paper.hub import Client, Hub
from markets.venues.paper.ledger import Ledger
from markets.venues.paper.lies import Past, View, as_it_is, view_of
from markets.venues.paper.model import (
    Account,
    Market,
    Order,
    OrderKind,
    Quote,
    Settlement,
    TimeInForce,
)
from markets.venues.paper.prices import walks
from markets.venues.paper.rules import (
    AccountChanged,
    EngineEvent,
    IncomeBooked,
    NewOrder,
    OrderChanged,
    Reason,
)
from markets.venues.paper.tampering import Tampering
from markets.venues.types import Side

PAST_SETTLEMENTS: Final = 24
"""How many funding settlements a market has behind it when its venue starts."""


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request as it came in: `query` and `body` are the exact bytes signed."""

    method: str
    path: str
    query: bytes
    body: bytes
    headers: Mapping[str, str]
    view: View = as_it_is
    """What a read is shown of an account."""
    address: str = ""
    """Where it comes from, without the port: limits of requests are each address's own."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What to answer, and what the ledger says about it (never a secret)."""

    status: int
    body: bytes
    headers: Mapping[str, str]
    account: str | None
    code: int | str | None
    params: Mapping[str, str]


class Dialect(Protocol):
    """How one venue speaks. All methods are synchronous: an act is atomic.

    `refusals` are the reasons it has words for, `lacks` the faults that cannot befall it.
    """

    @property
    def refusals(self) -> Collection[Reason]: ...

    @property
    def lacks(self) -> Collection[FaultKind]: ...

    def handle(self, request: Request) -> Reply: ...

    def subject(self, request: Request) -> Subject:
        """Return what a request is about, in no venue's words."""
        ...

    def stream_subject(self, stream: str) -> Subject:
        """Return whose stream it is and what market's."""
        ...

    def refused(
        self, request: Request, reason: Reason, *, status: int | None = None, until_ms: int = 0
    ) -> Reply:
        """Return the venue's own words of refusal; `until_ms` is when a ban ends."""
        ...

    def quote_moved(self, market: Market) -> None: ...

    def second_passed(self, second: int) -> None: ...

    def engine_event(self, event: EngineEvent) -> None: ...

    def accept_socket(self, path: str, query: Mapping[str, str]) -> list[str] | None:
        """Return the streams a socket at `path` starts with; None refuses it."""
        ...

    def is_combined(self, path: str) -> bool: ...

    def client_message(self, client: Client, text: str) -> bytes | None:
        """Act on a client's frame and return the answer, if there is one."""
        ...

    def publish_quote(self, symbol: str, payload: bytes) -> None:
        """Send a recorded quote on."""
        ...

    def end_listen_key(self, label: str) -> None:
        """End an account's user stream as an expiry would, where the venue has such a thing."""
        ...


class Venue:
    """The state that lasts as long as the process."""

    dialect: Dialect

    def __init__(self, config: PaperConfig) -> None:
        self.config = config
        self.ledger = Ledger(config.ledger)
        self.hub = Hub()
        self.past = Past()
        self.clock_offset_ms = config.clock_offset_ms
        self.running = asyncio.Event()
        if not config.start_paused:
            self.running.set()
        self.credentials = {
            account.api_key.reveal(): (account.label, account.api_secret.reveal())
            for account in config.accounts
        }
        self.walks = walks(config.symbols, seed=config.seed, volatility=config.volatility)
        self.replayed: set[str] = set()
        now_ns = self.now_ns()
        self.engine = Engine(
            self._first_markets(now_ns),
            [self._first_account(label, now_ns) for label in self._labels()],
            # Ids grow from the start time, so a venue started again never repeats one.
            first_id=now_ns // 1_000,
            listener=self._engine_event,
        )
        self.effects = Effects(self)
        self.faults = Faults(
            config.seed,
            known=self.effects.known,
            begin=self._begin_fault,
            end=self.effects.end,
            tell=self._tell_fault,
        )
        self.funding = Funding(self.engine, self.faults, self.now_ns)
        self._tampering = Tampering(self.faults, lambda stream: self.dialect.stream_subject(stream))
        for account in config.accounts:
            for base, size in account.positions.items():
                symbol = self.symbol_of(base)
                self.engine.seed_position(
                    self.engine.accounts[account.label], symbol, size, now_ns=now_ns
                )

    @property
    def paused(self) -> bool:
        """True while no price moves."""
        return not self.running.is_set()

    def now_ns(self) -> int:
        """Return the venue's own clock, ns since the epoch."""
        return time.time_ns() + self.clock_offset_ms * 1_000_000

    def now_ms(self) -> int:
        return self.now_ns() // 1_000_000

    @property
    def funding_hours(self) -> int:
        return max(1, self.config.funding_interval_seconds // 3600)

    def symbol_of(self, base: str) -> str:
        """Return the venue symbol of a base asset (or of a venue symbol itself)."""
        for item in self.config.symbols:
            if base in (item.instrument.base, item.instrument.symbol):
                return item.instrument.symbol
        raise KeyError(base)

    def captured_symbol(self, name: str) -> str | None:
        """Return our market of a capture's symbol, which is Binance's; None when we have none."""
        markets = self.engine.markets
        return next((each for each in (name, name.removesuffix("USDT")) if each in markets), None)

    def owner_of(self, stream: str) -> str | None:
        """Return the label of the account a private stream is about; None of a public one."""
        _kind, _colon, subject = stream.partition(":")
        if subject in self.credentials:
            return self.credentials[subject][0]
        return subject if subject in self.engine.accounts else None

    def move_position(self, label: str, symbol: str, amount: Decimal, *, source: str) -> Order:
        """Trade `amount` (signed base) at market as somebody else would; raises Refused."""
        now_ns = self.now_ns()
        new = NewOrder(
            symbol=symbol,
            side=Side.BUY if amount > 0 else Side.SELL,
            kind=OrderKind.MARKET,
            tif=TimeInForce.GTC,
            amount=abs(amount),
            price=Decimal(0),
            client_id=f"{source}_{now_ns}",
            external=True,
        )
        return self.engine.place(self.engine.accounts[label], new, now_ns=now_ns)

    def set_quote(self, symbol: str, quote: Quote) -> None:
        self.engine.set_quote(symbol, quote)
        self.dialect.quote_moved(self.engine.markets[symbol])

    def jump(self, symbol: str, price: Decimal) -> Quote:
        """Set a market's price at once; a replayed market comes back with its next frame."""
        quote = self.walks[symbol].jump(price, self.now_ns())
        # A capture counts its updates from elsewhere than the walk does; ids only ever grow.
        quote.update_id = max(quote.update_id, self.engine.markets[symbol].quote.update_id + 1)
        self.ledger.append("price", quote.at_ns, symbol=symbol, bid=f"{quote.bid:f}")
        self.set_quote(symbol, quote)
        return quote

    def step_prices(self) -> None:
        """Move every market that no capture drives by one step of its walk."""
        if self.paused:
            return
        now_ns = self.now_ns()
        for symbol, walk in self.walks.items():
            if symbol not in self.replayed:
                self.set_quote(symbol, walk.step(now_ns))

    def pass_second(self, second: int) -> None:
        """Do what is due each second: funding, liquidation, marks, dead-man timers."""
        self.faults.expire()
        self._watch_frames()
        self.funding.book_late()
        self.funding.settle_due(self.config.funding_interval_seconds * 1_000_000_000)
        self.engine.liquidate(now_ns=self.now_ns())
        self.dialect.second_passed(second)

    def set_account_keys(self, label: str, api_key: str, api_secret: str) -> None:
        """Replace an account's keys; the old ones stop working at once."""
        kept = {key: value for key, value in self.credentials.items() if value[0] != label}
        self.credentials = {**kept, api_key: (label, api_secret)}

    def _labels(self) -> list[str]:
        return [account.label for account in self.config.accounts]

    def _first_account(self, label: str, now_ns: int) -> Account:
        config = next(item for item in self.config.accounts if item.label == label)
        asset = self.config.symbols[0].instrument.quote
        return Account(label, asset, config.balance, now_ns, default_leverage=config.leverage)

    def _first_markets(self, now_ns: int) -> list[Market]:
        interval = self.config.funding_interval_seconds * 1_000_000_000
        due_ns = (now_ns // interval + 1) * interval
        markets = []
        for item in self.config.symbols:
            quote = self.walks[item.instrument.symbol].step(now_ns)
            past = [
                Settlement(due_ns - back * interval, item.funding_rate, quote.mid)
                for back in range(PAST_SETTLEMENTS, 0, -1)
            ]
            market = Market(item.instrument, quote, item.funding_rate, due_ns, settlements=past)
            markets.append(market)
        return markets

    # Faults

    def check_fault(self, fault: Fault) -> None:
        if fault.kind in self.dialect.lacks:
            raise FaultError(f"{self.config.dialect} has nothing that {fault.kind} could befall.")
        if fault.reason is not None and fault.reason not in self.dialect.refusals:
            raise FaultError(f"{self.config.dialect} has no words for {fault.reason}.")

    def drop_sockets(self, fault: Fault) -> int:
        """Cut the sockets whose streams, or that as a whole, a fault befalls."""
        chosen = [
            client
            for client in self.hub.clients.values()
            if any(fault.matches(subject) for subject in self.socket_subjects(client.streams))
        ]
        for client in chosen:
            client.end(fault.code)
        return len(chosen)

    def socket_subjects(self, streams: Collection[str]) -> list[Subject]:
        """Return what a socket is about: each stream, or nothing said yet."""
        return [self.dialect.stream_subject(stream) for stream in streams] or [Subject()]

    def _begin_fault(self, standing: Standing) -> None:
        self.effects.begin(standing)
        if standing.stage is Stage.FRAME:
            self.hub.tamper = self._tampering

    def _watch_frames(self) -> None:
        self.hub.tamper = self._tampering if self._tampering.is_needed else None

    def _tell_fault(self, kind: str, standing: Standing, where: Mapping[str, Any]) -> None:
        self.ledger.append(
            kind,
            self.now_ns(),
            faultId=standing.fault_id,
            fault=standing.fault.kind.value,
            **where,
        )

    def _engine_event(self, event: EngineEvent) -> None:
        _write(self.ledger, event)
        if self.past.watching and not isinstance(event, IncomeBooked):
            label = event.order.account if isinstance(event, OrderChanged) else event.account.label
            self.past.note(self.engine.accounts[label])
        if isinstance(event, AccountChanged) and event.symbols:
            event = replace(event, account=self.as_told(event.account))
        self.dialect.engine_event(event)

    def as_told(self, account: Account) -> Account:
        """Return what private streams show of an account's positions."""
        subject = Subject(topic=Topic.POSITIONS, account=account.label, channel=Channel.PRIVATE)
        lies = self.faults.take_all(Stage.READ, subject, kind=FaultKind.POSITION_LIES)
        return view_of(lies, self.past)(account)


def _write(ledger: Ledger, event: EngineEvent) -> None:
    if isinstance(event, AccountChanged):
        return
    if not isinstance(event, OrderChanged):
        item = event.income
        ledger.append(
            "income",
            item.at_ns,
            account=item.account,
            symbol=item.symbol,
            type=item.kind,
            amount=f"{item.amount:f}",
            incomeId=item.income_id,
        )
        return
    order = event.order
    named: dict[str, Any] = {
        "account": order.account,
        "symbol": order.symbol,
        "orderId": str(order.order_id),
        "clientOrderId": order.client_id,
        "side": order.side.value,
        "external": order.external,
    }
    if order.builder is not None:
        named["builder"] = order.builder.code
        named["builderFeeRate"] = f"{order.builder.fee_rate:f}"
    ledger.append(
        "order",
        event.at_ns,
        **named,
        execution=event.execution.value,
        type=order.kind.value,
        timeInForce=order.tif.value,
        price=f"{order.price:f}",
        amount=f"{order.amount:f}",
        filled=f"{order.filled:f}",
        status=order.status.value,
        reduceOnly=order.reduce_only,
    )
    if event.trade is not None:
        trade = event.trade
        ledger.append(
            "fill",
            event.at_ns,
            **named,
            tradeId=str(trade.trade_id),
            amount=f"{trade.amount:f}",
            price=f"{trade.price:f}",
            fee=f"{trade.fee:f}",
            feeAsset=trade.fee_asset,
            maker=trade.is_maker,
        )
