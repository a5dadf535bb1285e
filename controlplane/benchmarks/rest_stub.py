"""A loopback server that answers what order and account benchmarks ask, and notes when.

Run as `python -m controlplane.benchmarks.rest_stub LATENCY_MS`: a process of its own, so that its
work is nobody's but its own; prints its port and ends with its standard input. It speaks the
account calls of Binance and the order calls of Binance, Aster and Pacifica; GET /arrivals tells
the clock (ns) at which each order request was complete, and forgets them.
"""

import asyncio
import sys
import time
from email.utils import formatdate
from typing import Any, ClassVar, Final
from urllib.parse import parse_qs, urlsplit

import msgspec

from markets.venues.ratelimit.limiter import limiter
from markets.venues.ratelimit.terms import Limit, Scope

SYMBOLS: Final = [
    *(f"{base}USDT" for base in ("BTC", "ETH", "SOL", "BNB", "XRP")),
    *(f"COIN{number:03d}USDT" for number in range(295)),
]
"""As many contracts as Binance lists, roughly: what an instance per account has to keep."""
OPEN: Final = 5
"""Positions and open orders of each account."""

_MANY: Final = 1_000_000_000


def expect_no_limits(port: int) -> None:
    """Let this process's limiter count all and hold back nothing: the server refuses nobody."""
    spans = ((Scope.EXIT, 60), (Scope.ACCOUNT, 60), (Scope.ORDERS, 10), (Scope.ORDERS, 60))
    limits = [Limit(scope, _MANY, seconds) for scope, seconds in spans]
    limiter().learn(f"127.0.0.1:{port}", limits)


def _json(value: Any) -> bytes:
    return msgspec.json.encode(value)


def _instrument(symbol: str) -> dict[str, Any]:
    return {
        "symbol": symbol,
        "pair": symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": 4133404800000,
        "onboardDate": 1569398400000,
        "status": "TRADING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": symbol[:-4],
        "quoteAsset": "USDT",
        "marginAsset": "USDT",
        "pricePrecision": 2,
        "quantityPrecision": 3,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": ["PoW"],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": "0.10",
                "maxPrice": "4529764",
                "tickSize": "0.10",
            },
            {"filterType": "LOT_SIZE", "stepSize": "0.001", "maxQty": "1000", "minQty": "0.001"},
            {
                "filterType": "MARKET_LOT_SIZE",
                "stepSize": "0.001",
                "maxQty": "120",
                "minQty": "0.001",
            },
            {"filterType": "MAX_NUM_ORDERS", "limit": 200},
            {"filterType": "MIN_NOTIONAL", "notional": "5"},
        ],
        "orderTypes": ["LIMIT", "MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
    }


def _order(fields: dict[str, str], number: int) -> dict[str, Any]:
    return {
        "orderId": number,
        "symbol": fields["symbol"],
        "status": "NEW",
        "clientOrderId": fields["newClientOrderId"],
        "price": fields.get("price", "0"),
        "avgPrice": "0.00",
        "origQty": fields["quantity"],
        "executedQty": "0",
        "cumQuote": "0",
        "timeInForce": "GTC",
        "type": fields["type"],
        "reduceOnly": False,
        "closePosition": False,
        "side": fields["side"],
        "positionSide": "BOTH",
        "stopPrice": "0",
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
        "origType": fields["type"],
        "time": time.time_ns() // 1_000_000,
        "updateTime": time.time_ns() // 1_000_000,
    }


def _position(symbol: str) -> dict[str, Any]:
    return {
        "symbol": symbol,
        "positionSide": "BOTH",
        "positionAmt": "0.512",
        "entryPrice": "60000.5",
        "breakEvenPrice": "60010",
        "markPrice": "60100.1",
        "unRealizedProfit": "50.99",
        "liquidationPrice": "30000",
        "isolatedMargin": "0",
        "notional": "30771.2",
        "marginAsset": "USDT",
        "isolatedWallet": "0",
        "initialMargin": "3077.1",
        "maintMargin": "123.1",
        "positionInitialMargin": "3077.1",
        "openOrderInitialMargin": "0",
        "adl": 2,
        "bidNotional": "0",
        "askNotional": "0",
        "updateTime": 1_700_000_000_000,
    }


def _answers() -> dict[str, bytes]:
    resting = {"symbol": "BTCUSDT", "quantity": "0.010", "type": "LIMIT", "side": "BUY"}
    asset = {
        "asset": "USDT",
        "walletBalance": "122607.35",
        "unrealizedProfit": "0",
        "marginBalance": "122607.35",
        "maintMargin": "123",
        "initialMargin": "3077",
        "positionInitialMargin": "3077",
        "openOrderInitialMargin": "0",
        "crossWalletBalance": "122607.35",
        "crossUnPnl": "0",
        "availableBalance": "119000",
        "maxWithdrawAmount": "119000",
        "updateTime": 1_700_000_000_000,
    }
    brackets = {
        "bracket": 1,
        "initialLeverage": 75,
        "notionalCap": 10_000_000,
        "notionalFloor": 0,
        "maintMarginRatio": 0.0065,
        "cum": 0,
    }
    pacifica = {
        "symbol": "BTC",
        "tick_size": "1",
        "min_tick": "0",
        "max_tick": "1000000",
        "lot_size": "0.00001",
        "max_leverage": 50,
        "isolated_only": False,
        "min_order_size": "10",
        "max_order_size": "5000000",
        "funding_rate": "0.0000125",
        "next_funding_rate": "0.0000125",
        "created_at": 1_748_881_333_944,
        "instrument_type": "perpetual",
        "base_asset": "BTC",
    }
    return {
        "exchangeInfo": _json(
            {
                "timezone": "UTC",
                "serverTime": 1,
                "rateLimits": [],
                "exchangeFilters": [],
                "assets": [],
                "symbols": [_instrument(symbol) for symbol in SYMBOLS],
            }
        ),
        "account": _json(
            {
                "totalInitialMargin": "3077",
                "totalMaintMargin": "123",
                "totalWalletBalance": "122607.35",
                "totalUnrealizedProfit": "0",
                "totalMarginBalance": "122607.35",
                "availableBalance": "119000",
                "assets": [asset],
                "positions": [],
            }
        ),
        "positionRisk": _json([_position(symbol) for symbol in SYMBOLS[:OPEN]]),
        "openOrders": _json(
            [
                _order({**resting, "price": "60000", "newClientOrderId": f"o{number}"}, number + 1)
                for number in range(OPEN)
            ]
        ),
        "leverageBracket": _json(
            [{"symbol": symbol, "notionalCoef": 1, "brackets": [brackets]} for symbol in SYMBOLS]
        ),
        "info": _json({"success": True, "data": [pacifica], "error": None, "code": None}),
        "prices": _json({"success": True, "data": [], "error": None, "code": None}),
    }


class Stub(asyncio.Protocol):
    """One connection; requests are answered in turn."""

    answers: ClassVar[dict[str, bytes]] = {}
    arrivals: ClassVar[list[int]] = []
    latency: ClassVar[float] = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._waiting = b""

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        while (request := self._next()) is not None:
            arrived = time.time_ns()
            answer = self._answer(*request, arrived)
            head = (
                f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                f"Date: {formatdate(usegmt=True)}\r\nContent-Length: {len(answer)}\r\n\r\n"
            )
            asyncio.get_running_loop().call_later(self.latency, self._send, head.encode() + answer)

    def _send(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)

    def _next(self) -> tuple[str, str, bytes] | None:
        """Return (method, path, body) of the next complete request."""
        head, end, rest = self._waiting.partition(b"\r\n\r\n")
        if not end:
            return None
        length = 0
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        if len(rest) < length:
            return None
        self._waiting = rest[length:]
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        path, query = urlsplit(target).path, urlsplit(target).query
        return method, path, rest[:length] or query.encode()

    def _answer(self, method: str, path: str, body: bytes, arrived: int) -> bytes:
        name = path.rsplit("/", 1)[-1]
        if method == "POST" and name == "order":
            self.arrivals.append(arrived)
            fields = {key: values[0] for key, values in parse_qs(body.decode()).items()}
            return _json(_order(fields, len(self.arrivals)))
        if method == "POST" and name == "create":
            self.arrivals.append(arrived)
            return _json({"success": True, "data": {"order_id": 12345}, "error": None})
        if name == "arrivals":
            told = _json(self.arrivals)
            self.arrivals.clear()
            return told
        if name == "time":
            return _json({"serverTime": arrived // 1_000_000})
        return self.answers.get(name, b"[]")


async def main(latency_ms: float) -> None:
    """Serve until standard input ends."""
    Stub.answers, Stub.latency = _answers(), latency_ms / 1000
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Stub, "127.0.0.1", 0, backlog=1024)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1])))
