"""Small loopback venues that answer as Bybit v5, OKX v5 and Hyperliquid do, one order book each.

The shapes are those the vendors' API pages show (and ccxt's classes quote). What they have been
asked stands in `requests`; `answer` replaces the next answer to an order.
"""

import json
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import parse_qsl

from aiohttp import web

from controlplane.kernel.secrets import Secret
from markets.venues.ports import ExecutionClient
from markets.venues.registry import VenueRegistry
from markets.venues.types import Credentials, Endpoint


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass
class Placed:
    """An order in contracts."""

    venue_id: str
    client_id: str
    side: str
    price: str
    amount: str
    filled: str = "0"
    status: str = "open"
    reduce_only: bool = False
    at: int = field(default_factory=now_ms)


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    fields: Mapping[str, Any]
    text: str


class StubVenue(ABC):
    """One venue of one account; subclasses say how it speaks."""

    ccxt_id: ClassVar[str]
    symbol: ClassVar[str]
    credentials: ClassVar[Credentials]

    def __init__(self) -> None:
        self.orders: dict[str, Placed] = {}
        self.trades: list[dict[str, Any]] = []
        self.requests: list[Request] = []
        self.answer: web.Response | None = None
        self.answers: dict[str, Any] = {}
        self.port = 0

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(f"http://127.0.0.1:{self.port}", "", ccxt_id=self.ccxt_id)

    @asynccontextmanager
    async def serve(self) -> "AsyncIterator[StubVenue]":
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        try:
            yield self
        finally:
            await runner.cleanup()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[ExecutionClient]:
        """The adapter's client of the one account."""
        made = VenueRegistry(allow_loopback=True).execution_client(
            "generic", self.endpoint, self.credentials
        )
        yield made
        await made.close()

    async def _handle(self, request: web.Request) -> web.Response:
        text = await request.text()
        fields = json.loads(text) if text else dict(parse_qsl(request.query_string))
        asked = Request(request.method, request.path, fields, text)
        self.requests.append(asked)
        if self.answer is not None and self.is_order(asked):
            answer, self.answer = self.answer, None
            self.place(fields)
            return answer
        said = self.say(asked)
        return said if isinstance(said, web.Response) else web.json_response(said)

    def order_requests(self) -> list[Request]:
        return [item for item in self.requests if self.is_order(item)]

    @abstractmethod
    def is_order(self, asked: Request) -> bool: ...

    @abstractmethod
    def place(self, fields: Mapping[str, Any]) -> Placed: ...

    @abstractmethod
    def say(self, asked: Request) -> Any: ...

    @abstractmethod
    def refusal(self) -> web.Response:
        """Return the venue's refusal of an order that the account has no margin for."""

    @abstractmethod
    def undecided(self) -> web.Response:
        """Return an error after which the order may have been accepted."""

    def keep(self, order: Placed) -> Placed:
        self.orders[order.client_id] = order
        return order

    def open_orders(self) -> list[Placed]:
        return [order for order in self.orders.values() if order.status == "open"]


class BybitStub(StubVenue):
    ccxt_id = "bybit"
    symbol = "BTC/USDT:USDT"
    credentials = Credentials(api_key=Secret("bybit-key-1"), api_secret=Secret("bybit-secret-1"))

    def is_order(self, asked: Request) -> bool:
        return asked.path == "/v5/order/create"

    def place(self, fields: Mapping[str, Any]) -> Placed:
        return self.keep(
            Placed(
                f"order-{len(self.orders) + 1}",
                fields["orderLinkId"],
                fields["side"],
                fields.get("price", "0"),
                fields["qty"],
                reduce_only=fields.get("reduceOnly", False),
            )
        )

    def refusal(self) -> web.Response:
        return web.json_response(
            {"retCode": 110007, "retMsg": "ab not enough for new order", "result": {}, "time": 1}
        )

    def undecided(self) -> web.Response:
        return web.json_response(
            {"retCode": 10016, "retMsg": "Server error.", "result": {}, "time": now_ms()}
        )

    def say(self, asked: Request) -> Any:
        ask = {
            "/v5/market/time": lambda: {"timeSecond": "1", "timeNano": str(time.time_ns())},
            "/v5/market/instruments-info": lambda: self._instruments(asked),
            "/v5/market/orderbook": self._book,
            "/v5/market/tickers": self._tickers,
            "/v5/account/wallet-balance": self._wallet,
            "/v5/position/list": self._positions,
            "/v5/order/realtime": lambda: self._orders(asked, self.open_orders()),
            "/v5/order/history": lambda: self._orders(
                asked, [item for item in self.orders.values() if item.status != "open"]
            ),
            "/v5/execution/list": lambda: self._executions(asked),
            "/v5/order/create": lambda: self._ids(self.place(asked.fields)),
            "/v5/order/cancel": lambda: self._cancel(asked),
            "/v5/order/cancel-all": self._cancel_all,
            "/v5/position/set-leverage": lambda: self._unless_so("110043"),
            "/v5/account/info": lambda: {"marginMode": "REGULAR_MARGIN", "dcpStatus": "OFF"},
            "/v5/account/set-margin-mode": lambda: {"reasons": []},
            "/v5/position/switch-mode": lambda: self._unless_so("110025"),
        }[asked.path]
        result = ask()
        if isinstance(result, web.Response):
            return result
        return {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": now_ms()}

    def _unless_so(self, code: str) -> Any:
        """Say as the venue does that nothing would change, when the test told us to."""
        if not self.answers.get("unchanged"):
            return {}
        return web.json_response({"retCode": int(code), "retMsg": "not modified", "result": {}})

    def _instruments(self, asked: Request) -> Any:
        if asked.fields.get("status") == "PreLaunch":
            return {"category": "linear", "list": [], "nextPageCursor": ""}
        linear = {
            "symbol": "BTCUSDT",
            "contractType": "LinearPerpetual",
            "status": "Trading",
            "baseCoin": "BTC",
            "quoteCoin": "USDT",
            "launchTime": "1585526400000",
            "deliveryTime": "0",
            "deliveryFeeRate": "",
            "priceScale": "2",
            "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
            "priceFilter": {"minPrice": "0.10", "maxPrice": "1999999.80", "tickSize": "0.10"},
            "lotSizeFilter": {
                "maxOrderQty": "1190.000",
                "minOrderQty": "0.001",
                "qtyStep": "0.001",
                "postOnlyMaxOrderQty": "1190.000",
                "minNotionalValue": "5",
            },
            "unifiedMarginTrade": True,
            "fundingInterval": 480,
            "settleCoin": "USDT",
        }
        usdc = {**linear, "symbol": "BTCPERP", "quoteCoin": "USDC", "settleCoin": "USDC"}
        return {"category": "linear", "list": [linear, usdc], "nextPageCursor": ""}

    def _book(self) -> Any:
        return {
            "s": "BTCUSDT",
            "b": [["65485.4", "47.081829"]],
            "a": [["65485.5", "16.798"]],
            "ts": self.answers.get("book_ms", now_ms()),
            "u": 230704,
            "seq": 1432604333,
            "cts": now_ms(),
        }

    def _tickers(self) -> Any:
        row = {
            "symbol": "BTCUSDT",
            "lastPrice": "65485.4",
            "indexPrice": "65490.1",
            "markPrice": "65487.20",
            "fundingRate": "-0.0001",
            "nextFundingTime": str(now_ms() + 3_600_000),
            "fundingIntervalHour": "8",
            "bid1Price": "65485.4",
            "bid1Size": "47.081",
            "ask1Price": "65485.5",
            "ask1Size": "16.798",
        }
        return {"category": "linear", "list": [row]}

    def _wallet(self) -> Any:
        row = {
            "accountType": "UNIFIED",
            "totalEquity": "1003.12345678901234",
            "totalWalletBalance": "1001.5",
            "totalAvailableBalance": "900.25",
            "totalInitialMargin": "90.5",
            "totalMaintenanceMargin": "45.25",
            "coin": [
                {"coin": "USDT", "equity": "1003.1", "walletBalance": "1001.5", "locked": "0"}
            ],
        }
        return {"list": [row]}

    def _positions(self) -> Any:
        row = {
            "positionIdx": self.answers.get("position_idx", 0),
            "symbol": "BTCUSDT",
            "side": "Sell",
            "size": "0.250",
            "avgPrice": "65000.5",
            "positionValue": "16250.125",
            "markPrice": "65487.2",
            "liqPrice": "",
            "positionIM": "1625.01",
            "positionMM": "81.25",
            "unrealisedPnl": "-121.675",
            "tradeMode": 0,
            "leverage": "10",
            "updatedTime": str(now_ms()),
        }
        return {"category": "linear", "list": [row], "nextPageCursor": ""}

    def _orders(self, asked: Request, orders: list[Placed]) -> Any:
        wanted = asked.fields.get("orderLinkId")
        rows = [self._row(item) for item in orders if wanted in (None, item.client_id)]
        return {"category": "linear", "list": rows, "nextPageCursor": ""}

    def _row(self, order: Placed) -> Any:
        statuses = {"open": "New", "canceled": "Cancelled", "closed": "Filled"}
        status = statuses[order.status]
        if order.status == "open" and order.filled != "0":
            status = "PartiallyFilled"
        return {
            "orderId": order.venue_id,
            "orderLinkId": order.client_id,
            "symbol": self.answers.get("order_symbol", "BTCUSDT"),
            "tpslMode": "Full",
            "price": order.price,
            "qty": order.amount,
            "side": order.side,
            "orderStatus": status,
            "orderType": "Limit",
            "timeInForce": "GTC",
            "avgPrice": order.price if order.filled != "0" else "",
            "cumExecQty": order.filled,
            "cumExecValue": "0" if order.filled == "0" else "655.0",
            "cumExecFee": "0",
            "leavesQty": order.amount,
            "reduceOnly": order.reduce_only,
            "positionIdx": 0,
            "createdTime": str(order.at),
            "updatedTime": str(order.at),
        }

    def _executions(self, asked: Request) -> Any:
        start, end = int(asked.fields["startTime"]), int(asked.fields.get("endTime", now_ms()))
        rows = [row for row in self.trades if start <= int(row["execTime"]) <= end]
        page = sorted(rows, key=lambda row: -int(row["execTime"]))[: int(asked.fields["limit"])]
        return {"category": "linear", "list": page, "nextPageCursor": ""}

    def trade(self, number: int, at: int) -> None:
        self.trades.append(
            {
                "symbol": "BTCUSDT",
                "orderId": "order-1",
                "orderLinkId": "",
                "side": "Buy",
                "execId": f"trade-{number}",
                "execPrice": "65485.5",
                "execQty": "0.010",
                "execValue": "654.855",
                "execFee": "0.36017025",
                "feeRate": "0.00055",
                "feeCurrency": "USDT",
                "execType": "Trade",
                "isMaker": False,
                "execTime": str(at),
            }
        )

    def _ids(self, order: Placed) -> Any:
        return {"orderId": order.venue_id, "orderLinkId": order.client_id}

    def _cancel(self, asked: Request) -> Any:
        order = self.orders.get(asked.fields["orderLinkId"])
        if order is None or order.status != "open":
            return web.json_response(
                {"retCode": 110001, "retMsg": "order not exists or too late to cancel"}
            )
        order.status = "canceled"
        return self._ids(order)

    def _cancel_all(self) -> Any:
        orders = self.open_orders()
        for order in orders:
            order.status = "canceled"
        return {"list": [self._ids(order) for order in orders], "success": "1"}


class OkxStub(StubVenue):
    """Contracts of 0.01 BTC, so every size is converted."""

    ccxt_id = "okx"
    symbol = "BTC/USDT:USDT"
    credentials = Credentials(
        api_key=Secret("okx-key-1"),
        api_secret=Secret("okx-secret-1"),
        passphrase=Secret("okx-pass"),
    )

    def is_order(self, asked: Request) -> bool:
        return asked.path == "/api/v5/trade/order" and asked.method == "POST"

    def place(self, fields: Mapping[str, Any]) -> Placed:
        return self.keep(
            Placed(
                str(7000 + len(self.orders)),
                fields["clOrdId"],
                fields["side"],
                fields.get("px", ""),
                fields["sz"],
                reduce_only=fields.get("reduceOnly", False) is True,
            )
        )

    def refusal(self) -> web.Response:
        return self._refused("51008", "Order failed. Insufficient USDT margin in account")

    def undecided(self) -> web.Response:
        return self._refused("51149", "Order timed out. Please try again later.")

    def duplicate(self) -> web.Response:
        return self._refused("51016", "Duplicated client order ID")

    @staticmethod
    def _refused(code: str, message: str) -> web.Response:
        row = {"clOrdId": "", "ordId": "", "tag": "", "sCode": code, "sMsg": message}
        return web.json_response({"code": "1", "msg": "All operations failed", "data": [row]})

    def say(self, asked: Request) -> Any:
        ask = {
            "/api/v5/public/time": lambda: [{"ts": str(now_ms())}],
            "/api/v5/public/instruments": self._instruments,
            "/api/v5/market/books": self._book,
            "/api/v5/public/funding-rate": self._funding,
            "/api/v5/public/mark-price": self._marks,
            "/api/v5/account/balance": self._balance,
            "/api/v5/account/positions": self._positions,
            "/api/v5/trade/orders-pending": lambda: [self._row(o) for o in self.open_orders()],
            "/api/v5/trade/order": lambda: self._order(asked),
            "/api/v5/trade/cancel-order": lambda: self._cancel(asked),
            "/api/v5/trade/fills-history": self._fills,
            "/api/v5/account/bills-archive": self._bills,
            "/api/v5/account/set-leverage": lambda: [{"lever": "5"}],
            "/api/v5/account/leverage-info": self._leverage,
            "/api/v5/account/config": lambda: [
                {"uid": "1", "acctLv": "2", "posMode": self.answers.get("posMode", "net_mode")}
            ],
            "/api/v5/account/set-position-mode": lambda: [{"posMode": "net_mode"}],
            "/api/v5/trade/cancel-all-after": lambda: [
                {"triggerTime": self.answers.get("trigger", str(now_ms() + 60_000)), "ts": "1"}
            ],
        }[asked.path]
        data = ask()
        return data if isinstance(data, web.Response) else {"code": "0", "msg": "", "data": data}

    def _instruments(self) -> Any:
        row = {
            "alias": "",
            "baseCcy": "",
            "ctMult": "1",
            "ctType": "linear",
            "ctVal": self.answers.get("ctVal", "0.01"),
            "ctValCcy": "BTC",
            "expTime": "",
            "instFamily": "BTC-USDT",
            "instId": "BTC-USDT-SWAP",
            "instType": "SWAP",
            "lever": "100",
            "listTime": "1611916828000",
            "lotSz": "0.01",
            "minSz": "0.01",
            "quoteCcy": "",
            "settleCcy": "USDT",
            "state": "live",
            "tickSz": "0.1",
            "uly": "BTC-USDT",
        }
        inverse = {
            **row,
            "instId": "BTC-USD-SWAP",
            "ctType": "inverse",
            "ctVal": "100",
            "ctValCcy": "USD",
            "settleCcy": "BTC",
            "uly": "BTC-USD",
            "instFamily": "BTC-USD",
        }
        return [row, inverse]

    def _leverage(self) -> Any:
        sides = self.answers.get("levers", {"net": "5.00000000"})
        return [
            {"instId": "BTC-USDT-SWAP", "lever": lever, "mgnMode": "cross", "posSide": side}
            for side, lever in sides.items()
        ]

    def _book(self) -> Any:
        return [
            {
                "asks": [["65485.5", "250", "0", "3"]],
                "bids": [["65485.4", "1200.5", "0", "4"]],
                "ts": str(now_ms()),
                "seqId": 3235851742,
            }
        ]

    def _funding(self) -> Any:
        due = now_ms() + 3_600_000
        return [
            {
                "fundingRate": "0.0000751",
                "fundingTime": str(due),
                "instId": "BTC-USDT-SWAP",
                "instType": "SWAP",
                "nextFundingRate": "",
                "nextFundingTime": str(due + 28_800_000),
                "ts": str(now_ms()),
            }
        ]

    def _marks(self) -> Any:
        row = {"instId": "BTC-USDT-SWAP", "instType": "SWAP", "markPx": "65487.2"}
        return [{**row, "ts": str(now_ms())}]

    def _balance(self) -> Any:
        usdt = {
            "ccy": "USDT",
            "eq": "5021.33",
            "cashBal": "5000.25",
            "availEq": "4000.5",
            "imr": "800.125",
            "mmr": "40.5",
            "upl": "21.08",
        }
        return [{"totalEq": "5021.33", "details": [usdt], "imr": "", "mmr": "", "uTime": "1"}]

    def _positions(self) -> Any:
        row = {
            "instId": "BTC-USDT-SWAP",
            "instType": "SWAP",
            "mgnMode": "cross",
            "posSide": self.answers.get("posSide", "net"),
            "pos": "-12.5",
            "avgPx": "65000.1",
            "markPx": "65487.2",
            "liqPx": "",
            "imr": "818.5",
            "mmr": "32.7",
            "upl": "-60.88",
            "lever": "10",
            "margin": "",
            "notionalUsd": "8185.9",
            "cTime": str(now_ms()),
            "uTime": str(now_ms()),
        }
        return [row]

    def _order(self, asked: Request) -> Any:
        if asked.method == "POST":
            order = self.place(asked.fields)
            return [{**self._ids(order), "tag": ""}]
        found = self.orders.get(asked.fields.get("clOrdId", ""))
        if found is None:
            return web.json_response({"code": "51603", "msg": "Order does not exist", "data": []})
        return [self._row(found)]

    def _ids(self, order: Placed) -> dict[str, str]:
        return {"clOrdId": order.client_id, "ordId": order.venue_id, "sCode": "0", "sMsg": ""}

    def _row(self, order: Placed) -> Any:
        states = {"open": "live", "canceled": "canceled", "closed": "filled"}
        return {
            "instId": "BTC-USDT-SWAP",
            "instType": "SWAP",
            "ordId": order.venue_id,
            "clOrdId": order.client_id,
            "side": order.side,
            "px": order.price,
            "sz": order.amount,
            "accFillSz": order.filled,
            "avgPx": order.price if order.filled != "0" else "",
            "state": states[order.status],
            "ordType": "limit",
            "posSide": "net",
            "reduceOnly": "true" if order.reduce_only else "false",
            "fee": "0",
            "feeCcy": "USDT",
            "cTime": str(order.at),
            "uTime": str(order.at),
        }

    def _cancel(self, asked: Request) -> Any:
        by_id = {order.venue_id: order for order in self.orders.values()}
        ours, theirs = asked.fields.get("clOrdId", ""), asked.fields.get("ordId", "")
        order = self.orders.get(ours) or by_id.get(theirs)
        if order is None or order.status != "open":
            return self._refused("51400", "Cancellation failed as the order does not exist.")
        order.status = "canceled"
        return [self._ids(order)]

    def _fills(self) -> Any:
        row = {
            "instId": "BTC-USDT-SWAP",
            "instType": "SWAP",
            "tradeId": "744876980",
            "ordId": "7000",
            "clOrdId": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "billId": "680800019749904384",
            "side": "sell",
            "fillPx": "65485.4",
            "fillSz": "12.5",
            "execType": "M",
            "fee": "-1.63",
            "feeCcy": "USDT",
            "posSide": "net",
            "ts": str(now_ms() - 60_000),
        }
        return [row]

    def _bills(self) -> Any:
        row = {
            "bal": "5000",
            "balChg": "-0.42",
            "billId": "680800019754098688",
            "ccy": "USDT",
            "fee": "0",
            "instId": "BTC-USDT-SWAP",
            "instType": "SWAP",
            "pnl": "-0.42",
            "subType": "173",
            "type": "8",
            "sz": "12.5",
            "ts": str(now_ms() - 3_600_000),
        }
        return [row]


class HyperliquidStub(StubVenue):
    ccxt_id = "hyperliquid"
    symbol = "BTC/USDC:USDC"
    credentials = Credentials(
        public_key=Secret("0x" + "ab" * 20), agent_key=Secret("0x" + "1f" * 32)
    )

    def is_order(self, asked: Request) -> bool:
        return asked.path == "/exchange" and asked.fields["action"]["type"] == "order"

    def place(self, fields: Mapping[str, Any]) -> Placed:
        (row,) = fields["action"]["orders"]
        side = "B" if row["b"] else "A"
        number = str(77738308 + len(self.orders))
        return self.keep(Placed(number, row["c"], side, row["p"], row["s"], reduce_only=row["r"]))

    def refusal(self) -> web.Response:
        return self._error("Insufficient margin to place order. asset=0")

    def undecided(self) -> web.Response:
        return self._error("Something of which nobody has heard")

    @staticmethod
    def _error(message: str) -> web.Response:
        data = {"statuses": [{"error": message}]}
        return web.json_response({"status": "ok", "response": {"type": "order", "data": data}})

    def say(self, asked: Request) -> Any:
        if asked.path == "/exchange":
            return self._act(asked)
        return {
            "exchangeStatus": lambda: {"specialStatuses": None, "time": now_ms()},
            "metaAndAssetCtxs": self._universe,
            "l2Book": self._book,
            "userAbstraction": lambda: "disabled",
            "clearinghouseState": self._state,
            "frontendOpenOrders": lambda: [self._row(order) for order in self.open_orders()],
            "orderStatus": lambda: self._status(asked),
            "userFillsByTime": self._fills,
            "userFunding": self._funding,
        }[asked.fields["type"]]()

    def _universe(self) -> Any:
        btc = {"szDecimals": 5, "name": "BTC", "maxLeverage": 40, "marginTableId": 56}
        context = {
            "funding": "0.0000125",
            "openInterest": "25000.1",
            "prevDayPx": "65000.0",
            "dayNtlVlm": "3000000000.0",
            "premium": "0.0003",
            "oraclePx": "65480.0",
            "markPx": "65487.0",
            "midPx": "65485.5",
            "impactPxs": ["65485.0", "65486.0"],
        }
        return [{"universe": [btc]}, [context]]

    def _book(self) -> Any:
        return {
            "coin": "BTC",
            "time": now_ms(),
            "levels": [
                [{"px": "65485.0", "sz": "3.25", "n": 4}],
                [{"px": "65486.0", "sz": "1.5", "n": 2}],
            ],
        }

    def _state(self) -> Any:
        position = {
            "coin": "BTC",
            "szi": "-0.0123",
            "entryPx": "65000.0",
            "leverage": {"type": "cross", "value": 10},
            "liquidationPx": "90000.5",
            "marginUsed": "80.55",
            "maxLeverage": 40,
            "positionValue": "805.49",
            "returnOnEquity": "0",
            "unrealizedPnl": "-5.99",
        }
        summary = {
            "accountValue": "994.01",
            "totalMarginUsed": "80.55",
            "totalNtlPos": "805.49",
            "totalRawUsd": "1800",
        }
        return {
            "assetPositions": [{"position": position, "type": "oneWay"}],
            "crossMaintenanceMarginUsed": "10.07",
            "crossMarginSummary": summary,
            "marginSummary": summary,
            "time": now_ms(),
            "withdrawable": "900.5",
        }

    def _row(self, order: Placed) -> Any:
        return {
            "coin": "BTC",
            "side": order.side,
            "limitPx": order.price,
            "sz": "0.0" if order.status == "closed" else order.amount,
            "oid": int(order.venue_id),
            "timestamp": order.at,
            "origSz": order.amount,
            "cloid": order.client_id,
            "reduceOnly": order.reduce_only,
            "orderType": "Limit",
            "tif": "Gtc",
            "isTrigger": False,
            "triggerPx": "0.0",
            "children": [],
        }

    def _status(self, asked: Request) -> Any:
        order = self.orders.get(str(asked.fields["oid"]))
        if order is None:
            return {"status": "unknownOid"}
        status = {"open": "open", "canceled": "canceled", "closed": "filled"}[order.status]
        told = {"order": self._row(order), "status": status, "statusTimestamp": order.at}
        return {"status": "order", "order": told}

    def _act(self, asked: Request) -> Any:
        action = asked.fields["action"]
        if action["type"] == "order":
            order = self.place(asked.fields)
            status: Any = {"resting": {"oid": int(order.venue_id)}}
        elif action["type"] == "cancelByCloid":
            found = self.orders.get(action["cancels"][0]["cloid"])
            if found is None or found.status != "open":
                return self._error("Order was never placed, already canceled, or filled. asset=0")
            found.status, status = "canceled", "success"
        else:
            return {"status": "ok", "response": {"type": "default"}}
        return {
            "status": "ok",
            "response": {"type": action["type"], "data": {"statuses": [status]}},
        }

    def _fills(self) -> Any:
        row = {
            "coin": "BTC",
            "px": "65485.0",
            "sz": "0.0123",
            "side": "A",
            "time": now_ms() - 60_000,
            "startPosition": "0.0",
            "dir": "Open Short",
            "closedPnl": "0.0",
            "hash": "0xa166e3fa63c25663024b03f2e0da011a00307e4017465df020210d3d432e7cb8",
            "oid": 77738308,
            "crossed": True,
            "fee": "0.36",
            "tid": 118906512037719,
            "feeToken": "USDC",
            "cloid": None,
        }
        return [row]

    def _funding(self) -> Any:
        delta = {
            "type": "funding",
            "coin": "BTC",
            "usdc": "-0.125",
            "szi": "-0.0123",
            "fundingRate": "0.0000125",
        }
        return [{"time": now_ms() - 3_600_000, "hash": "0x" + "0" * 64, "delta": delta}]


STUBS: dict[str, type[StubVenue]] = {
    stub.ccxt_id: stub for stub in (BybitStub, OkxStub, HyperliquidStub)
}
