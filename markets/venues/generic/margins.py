"""Accounts' margin states, read off each venue's own answer: ccxt has no common form of them."""

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from controlplane.kernel.units import QuoteAmount
from markets.venues.checks import BadAnswer
from markets.venues.generic.facts import Margins
from markets.venues.generic.parsing import number, unsigned
from markets.venues.types import BalanceReport

Row = Mapping[str, Any]


def balance(said: Any, kind: Margins, *, asset: str, at: datetime) -> BalanceReport:
    """Read ccxt's balance structure by the venue's own answer in it; raises BadAnswer."""
    equity, wallet, available, initial, maintenance = _READERS[kind](said["info"], asset)
    return BalanceReport(
        asset=asset,
        equity=QuoteAmount(equity),
        wallet_balance=QuoteAmount(wallet),
        available=QuoteAmount(available),
        initial_margin=QuoteAmount(initial),
        maintenance_margin=QuoteAmount(maintenance),
        at=at,
    )


_State = tuple[Decimal, Decimal, Decimal, Decimal, Decimal]


def _bybit(info: Any, asset: str) -> _State:
    """GET /v5/account/wallet-balance, a unified account: totals in USD."""
    row = _only(info["result"]["list"])
    return (
        number(row, "totalEquity"),
        number(row, "totalWalletBalance"),
        number(row, "totalAvailableBalance"),
        unsigned(row, "totalInitialMargin"),
        unsigned(row, "totalMaintenanceMargin"),
    )


def _okx(info: Any, asset: str) -> _State:
    """GET /api/v5/account/balance: the settlement asset's own row, in that asset."""
    row = _only([item for item in _only(info["data"])["details"] if item.get("ccy") == asset])
    return (
        number(row, "eq"),
        number(row, "cashBal"),
        number(row, "availEq"),
        unsigned(row, "imr"),
        unsigned(row, "mmr"),
    )


def _hyperliquid(info: Any, asset: str) -> _State:
    """POST /info clearinghouseState; the wallet is the account's value less open profit."""
    summary = info["marginSummary"]
    open_profit = sum(
        (number(item["position"], "unrealizedPnl") for item in info["assetPositions"]), Decimal(0)
    )
    equity = number(summary, "accountValue")
    return (
        equity,
        equity - open_profit,
        number(info, "withdrawable"),
        unsigned(summary, "totalMarginUsed"),
        unsigned(info, "crossMaintenanceMarginUsed"),
    )


def _only(rows: Any) -> Row:
    if not isinstance(rows, list) or len(rows) != 1 or not isinstance(rows[0], dict):
        raise BadAnswer("malformed", "not one account")
    return rows[0]


_READERS: Final[Mapping[Margins, Callable[[Any, str], _State]]] = {
    Margins.BYBIT: _bybit,
    Margins.OKX: _okx,
    Margins.HYPERLIQUID: _hyperliquid,
}
