"""Margin terms, position mode and dead-man timer of one account at a ccxt venue."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from markets.venues.checks import BadAnswer
from markets.venues.commands import timer_ms, whole_leverage
from markets.venues.errors import AlreadySo, NotOffered, NotSent, VenueUnavailable
from markets.venues.generic import parsing
from markets.venues.generic.calls import Calls
from markets.venues.generic.facts import Timer, VenueFacts
from markets.venues.ratelimit.terms import Kind
from markets.venues.types import MarginMode, MarginTerms, PositionMode


class Terms:
    """Sets and reads them on one exchange instance."""

    def __init__(self, exchange: Any, facts: VenueFacts, calls: Calls) -> None:
        self._exchange = exchange
        self._facts = facts
        self._calls = calls

    async def set_leverage(self, venue_symbol: str, leverage: Decimal) -> None:
        whole = whole_leverage(leverage)
        with suppress(AlreadySo):
            await self._act(self._exchange.set_leverage, whole, venue_symbol)

    async def read(self, venue_symbol: str) -> MarginTerms:
        leverage: Decimal | None = None
        mode: MarginMode | None = None
        if self._has("fetchLeverage"):
            leverage, mode = await self._calls.read(
                partial(self._exchange.fetch_leverage, venue_symbol),
                partial(_leverage, venue_symbol=venue_symbol),
            )
        if self._has("fetchMarginMode"):
            mode = await self._calls.read(
                partial(self._exchange.fetch_margin_mode, venue_symbol), _margin_mode
            )
        if leverage is None and mode is None:
            raise VenueUnavailable(f"ccxt reads no margin terms of {self._exchange.id}.")
        return MarginTerms(venue_symbol, leverage, mode)

    async def set_margin_mode(self, venue_symbol: str, mode: MarginMode) -> None:
        if not self._facts.sets_margin_mode:
            raise NotOffered(f"{self._exchange.id} keeps no margin mode that can be set alone.")
        with suppress(AlreadySo):
            await self._act(self._exchange.set_margin_mode, mode.value, venue_symbol)

    async def position_mode(self) -> PositionMode:
        if self._facts.is_one_way:
            return PositionMode.ONE_WAY
        if not self._has("fetchPositionMode"):
            raise VenueUnavailable(f"ccxt reads no position mode of {self._exchange.id}.")
        return await self._calls.read(self._exchange.fetch_position_mode, _position_mode)

    async def set_one_way(self) -> None:
        if self._facts.is_one_way:
            return
        if not self._has("setPositionMode"):
            raise NotOffered(f"ccxt sets no position mode on {self._exchange.id}.")
        with suppress(AlreadySo):
            await self._act(self._exchange.set_position_mode, False)

    async def set_timer(self, after: timedelta) -> None:
        milliseconds, kind = timer_ms(after), self._facts.timer
        if kind is None:
            raise NotOffered(f"No dead-man timer of {self._exchange.id} is known to work.")
        arm = partial(self._exchange.cancel_all_orders_after, milliseconds)
        if kind is Timer.HYPERLIQUID:
            await self._calls.act(
                arm if milliseconds else self._unschedule, _heard, kind=Kind.URGENT
            )
            return
        if milliseconds % 1000:
            raise NotSent("The venue takes whole seconds; ccxt would cut a fraction, even to none.")
        await self._calls.act(arm, partial(_triggered, is_armed=milliseconds > 0), kind=Kind.URGENT)

    async def _unschedule(self) -> Any:
        """Take the scheduled time back: an action without one; ccxt would schedule it for now."""
        action, nonce = {"type": "scheduleCancel"}, self._exchange.incrementing_nonce()
        signature = self._exchange.sign_l1_action(action, nonce)
        return await self._exchange.privatePostExchange(
            {"action": action, "nonce": nonce, "signature": signature}
        )

    async def _act(self, method: Any, *arguments: Any) -> None:
        await self._calls.act(partial(method, *arguments), lambda _said: None)

    def _has(self, name: str) -> bool:
        return self._exchange.has[name] is True


def _leverage(said: Any, *, venue_symbol: str) -> tuple[Decimal, MarginMode | None]:
    row = _mapping(said)
    if row.get("symbol") != venue_symbol:
        raise BadAnswer("not-ours", f"leverage of {row.get('symbol')}")
    long, short = (parsing.positive(row, name) for name in ("longLeverage", "shortLeverage"))
    if long != short:
        raise BadAnswer("hedge-mode", f"leverages {long} and {short}")
    return long, None if row.get("marginMode") is None else _margin_mode(row)


def _margin_mode(said: Any) -> MarginMode:
    text = str(_mapping(said).get("marginMode"))
    try:
        return MarginMode(text)
    except ValueError:
        raise BadAnswer("unknown-margin-mode", text[:40]) from None


def _position_mode(said: Any) -> PositionMode:
    is_hedged = _mapping(said).get("hedged")
    if not isinstance(is_hedged, bool):
        raise BadAnswer("malformed", "no position mode")
    return PositionMode.HEDGE if is_hedged else PositionMode.ONE_WAY


def _triggered(said: Any, *, is_armed: bool) -> None:
    """POST /api/v5/trade/cancel-all-after answers with the time of the trigger, 0 for none."""
    rows = _mapping(said).get("data")
    if not isinstance(rows, list) or not rows:
        raise BadAnswer("malformed", "no trigger time")
    if (parsing.unsigned(_mapping(rows[0]), "triggerTime") > 0) is not is_armed:
        raise BadAnswer("not-ours", "the timer is not as it was set")


def _heard(said: Any) -> None:
    if _mapping(said).get("status") != "ok":
        raise BadAnswer("malformed", "not ok")


def _mapping(said: Any) -> Mapping[str, Any]:
    if not isinstance(said, Mapping):
        raise BadAnswer("malformed", "no object")
    return said
