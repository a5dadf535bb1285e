"""Pages of Pacifica's histories: each says where the next one is, or that it is the last."""

import json

import pytest

from markets.venues.checks import MAX_MS, BadAnswer
from markets.venues.pacifica import parsing

EVENT = {
    "amount": "5000",
    "balance": "5000",
    "pending_balance": "0",
    "event_type": "deposit",
    "created_at": 1789199771373,
}


@pytest.mark.parametrize("cursor", [{}, {"next_cursor": None}, {"next_cursor": ""}])
def test_a_page_that_ends_without_a_way_to_the_next_is_no_page(
    cursor: dict[str, str | None],
) -> None:
    page = {"success": True, "data": [EVENT], "has_more": True, **cursor}
    with pytest.raises(BadAnswer, match="no-cursor"):
        parsing.balance_events(json.dumps(page).encode(), now_ms=MAX_MS)
    last = {**page, "has_more": False}
    assert parsing.balance_events(json.dumps(last).encode(), now_ms=MAX_MS).cursor is None
