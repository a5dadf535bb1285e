"""Valid rows; a test states only what it is about."""

from decimal import Decimal
from itertools import count
from typing import Any

from accounts.models import ExchangeAccount
from controlplane.kernel.ids import client_order_id, uuid7
from markets.models import Instrument, MarketDataFeed, Venue
from strategies.models import AccountAllocation, OrderIntent, StrategyModule

_numbers = count(1)


def venue(**fields: Any) -> Venue:
    number = next(_numbers)
    return Venue.objects.create(
        **{
            "venue_id": f"paper-{number}",
            "name": f"Paper {number}",
            "dialect": "binance",
            "environment": "paper",
            "rest_endpoint": "http://127.0.0.1:9",
            "ws_endpoint": "ws://127.0.0.1:9",
            **fields,
        }
    )


def instrument(**fields: Any) -> Instrument:
    symbol = fields.pop("symbol", "BTC")
    return Instrument.objects.create(
        **{
            "venue": fields.pop("venue", None) or venue(),
            "venue_symbol": f"{symbol}USDT",
            "symbol": symbol,
            "quote_asset": "USDT",
            "contract_size": Decimal(1),
            "tick": Decimal("0.1"),
            "lot": Decimal("0.001"),
            "min_qty": Decimal("0.001"),
            "min_notional": Decimal(5),
            "maker_fee": Decimal("0.0002"),
            "taker_fee": Decimal("0.0005"),
            **fields,
        }
    )


def feed(**fields: Any) -> MarketDataFeed:
    number = next(_numbers)
    return MarketDataFeed.objects.create(
        **{
            "feed_id": f"feed-{number}",
            "exchange": fields.pop("exchange", None) or venue(),
            "symbol": "BTC",
            **fields,
        }
    )


def account(**fields: Any) -> ExchangeAccount:
    number = next(_numbers)
    return ExchangeAccount.objects.create(
        **{
            "account_id": f"account-{number}",
            "exchange": fields.pop("exchange", None) or venue(),
            "account_name": f"Account {number}",
            "api_key": f"test-api-key-{number}",
            "api_secret": f"test-api-secret-{number}",
            "max_position_value": Decimal(1_000_000),
            **fields,
        }
    )


def module(**fields: Any) -> StrategyModule:
    number = next(_numbers)
    return StrategyModule.objects.create(
        **{
            "module_id": f"module-{number}",
            "name": f"Module {number}",
            "type": "hedge-only",
            "status": "enable",
            **fields,
        }
    )


def allocation(**fields: Any) -> AccountAllocation:
    return AccountAllocation.objects.create(
        **{
            "module": fields.pop("module", None) or module(),
            "account": fields.pop("account", None) or account(),
            "weight": Decimal("0.5"),
            "sandbox_mode": False,
            **fields,
        }
    )


def intent(**fields: Any) -> OrderIntent:
    owner = fields.pop("account", None) or account()
    intent_id = uuid7()
    return OrderIntent.objects.create(
        **{
            "intent_id": intent_id,
            "module": fields.pop("module", None) or module(),
            "account": owner,
            "instrument": fields.pop("instrument", None) or instrument(venue=owner.exchange),
            "symbol": "BTC",
            "side": "buy",
            "type": "market",
            "amount": Decimal("0.01"),
            "client_order_id": client_order_id(intent_id),
            **fields,
        }
    )
