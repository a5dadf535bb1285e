"""How long a book was out of its threshold is told by the venues' fills alone."""

from tests.faults.rig.outages import Breach, breaches

BOOKS = {"one": "alpha", "two": "alpha", "three": "beta", "spare": ""}


def fill(account: str, at: int, side: str, amount: str, symbol: str = "BTC") -> dict[str, object]:
    price = {"BTC": "60000", "BTCUSDT": "60000", "ETH": "3000"}[symbol]
    shared = {"account": account, "symbol": symbol, "price": price}
    return {**shared, "atNs": at, "side": side, "amount": amount}


def test_a_breach_ends_with_the_fill_that_brings_its_book_back() -> None:
    fills = [
        fill("two", 9, "sell", "0.01", "BTCUSDT"),  # of another venue, told later
        fill("one", 5, "buy", "0.01"),
        fill("spare", 6, "buy", "1"),
        fill("three", 7, "buy", "0.0004"),
    ]
    assert breaches(fills, BOOKS) == [Breach("BTC", 5, 9)]


def test_a_breach_that_lasts_has_no_end_and_ether_counts_by_its_worth() -> None:
    fills = [
        fill("one", 1, "buy", "0.0005"),
        fill("one", 2, "buy", "0.010", "ETH"),  # 0.0005 BTC
        fill("one", 3, "buy", "0.001", "ETH"),
    ]
    assert breaches(fills, BOOKS) == [Breach("ETH", 3, None)]
