"""Rules of market data that the database itself keeps, whatever the door (raw SQL too)."""

import pgtrigger

from controlplane.bus import CHANNEL
from markets import groups

_FEED: tuple[str, ...] = (
    "exchange",
    "symbol",
    "ws_endpoint",
    "http_endpoint",
    "freshness_threshold",
    "failover_deadline",
    "forced_source",
    "synthetic_sources",
    "is_enabled",
)
_VENUE: tuple[str, ...] = ("dialect", "rest_endpoint", "ws_endpoint", "is_enabled")


def tell_feed_changed() -> pgtrigger.Trigger:
    """Send `feed.changed`, and word to the console, when a feed is made, deleted or configured."""
    return pgtrigger.Trigger(
        name="tell_feed_changed",
        when=pgtrigger.After,
        operation=pgtrigger.Insert | pgtrigger.Update | pgtrigger.Delete,
        func=f"""
            IF TG_OP = 'UPDATE' AND NOT ({_differs(_FEED)}) THEN
                RETURN NULL;
            END IF;
            PERFORM pg_notify('{CHANNEL}', json_build_object(
                'group', '{groups.FEEDS}', 'type', 'feed.changed',
                'feed_id', CASE WHEN TG_OP = 'DELETE' THEN OLD.feed_id ELSE NEW.feed_id END
            )::text);
            {_TELL_CONSOLE}
            RETURN NULL;
        """,
    )


def keep_settled() -> pgtrigger.Trigger:
    """Pass over updates of a settled funding rate: a late estimate in a batch is no error."""
    return pgtrigger.Trigger(
        name="funding_rate_frozen",
        when=pgtrigger.Before,
        operation=pgtrigger.Update,
        condition=pgtrigger.Q(old__is_settled=True),
        func="RETURN NULL;",
    )


def tell_venue_feeds_changed() -> pgtrigger.Trigger:
    """Send `feed.changed` for each feed of a venue whose addresses or switch have changed."""
    return pgtrigger.Trigger(
        name="tell_venue_feeds_changed",
        when=pgtrigger.After,
        operation=pgtrigger.Update,
        func=f"""
            IF NOT ({_differs(_VENUE)}) THEN
                RETURN NULL;
            END IF;
            PERFORM pg_notify('{CHANNEL}', json_build_object(
                'group', '{groups.FEEDS}', 'type', 'feed.changed', 'feed_id', feed_id
            )::text) FROM markets_marketdatafeed WHERE exchange = NEW.venue_id;
            {_TELL_CONSOLE}
            RETURN NULL;
        """,
    )


# NOTIFY sends equal messages of one transaction once.
_TELL_CONSOLE = f"""PERFORM pg_notify('{CHANNEL}', json_build_object(
                'group', '{groups.CONSOLE}', 'type', 'console.changed', 'topic', 'feeds'
            )::text);"""


def _differs(columns: tuple[str, ...]) -> str:
    return " OR ".join(f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in columns)
