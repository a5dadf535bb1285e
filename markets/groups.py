"""Names of the bus groups of market data; no other module spells them."""

from typing import Final

FEEDS: Final = "feeds"
"""Processes that hold venue sockets: `feed.changed` (feed_id), `account.changed` (account_id)."""
CONSOLE: Final = "console"
"""Pages of people: `console.changed` (topic)."""
BANS: Final = "bans"
"""Every process that sends to venues: `ban.told` (key, seconds)."""
