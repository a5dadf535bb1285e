"""C58 · Histories of money, line by line: what is kept of a transfer, what is told of a list."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from markets.venues import lines
from markets.venues.checks import BadAnswer
from markets.venues.lines import Line
from markets.venues.types import Quarantined, Transfer

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
GOOD = {"transfer_id": "7", "kind": "TRANSFER", "amount": "1.5", "asset": "USDT"}


@pytest.mark.parametrize("text", ["", "seven\nof nine", "\u0437", "\x00", None])
@pytest.mark.parametrize(("name", "most"), [("transfer_id", 128), ("kind", 40), ("asset", 20)])
def test_c58_a_line_whose_words_no_record_can_keep_is_none(
    name: str, most: int, text: str | None
) -> None:
    with pytest.raises(BadAnswer) as refused:
        lines.transfer(**GOOD | {name: "x" * (most + 1) if text is None else text}, at=AT)
    assert refused.value.reason == f"bad-{name.removeprefix('transfer_')}"
    kept = lines.transfer(**GOOD | {name: "x" * most}, at=AT)
    assert getattr(kept, name) == "x" * most


def test_a_transfer_of_nothing_is_none() -> None:
    assert lines.transfer(**GOOD | {"amount": "0.00"}, at=AT) is None


def test_lines_are_told_once_each_and_none_from_before() -> None:
    def line(number: str, *, ago: int = 0, kind: str = "TRANSFER") -> Line:
        at = AT - timedelta(seconds=ago)
        return Line(at, lines.transfer(**GOOD | {"transfer_id": number, "kind": kind}, at=at))

    bad = Line(None, Quarantined("bad-number", "NaN"))
    found = lines.told(
        [line("1", ago=61), line("2", ago=60), line("3"), bad, line("3"), bad, line("3", kind="X"),
         Line(AT, None)],
        since=AT - timedelta(seconds=60),
    )  # fmt: skip
    assert [(it.kind, it.transfer_id) for it in found if isinstance(it, Transfer)] == [
        ("TRANSFER", "2"), ("TRANSFER", "3"), ("X", "3"),
    ]  # fmt: skip
    assert [it for it in found if isinstance(it, Quarantined)] == [bad.said]
    assert {it.amount for it in found if isinstance(it, Transfer)} == {Decimal("1.5")}
