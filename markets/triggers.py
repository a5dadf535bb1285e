"""Word of changed feeds, from the database itself, so that every door is heard (raw SQL too)."""

import pgtrigger

from controlplane.bus import CHANNEL
from markets import groups

_CONFIGURATION = (
    "exchange",
    "symbol",
    "ws_endpoint",
    "http_endpoint",
    "freshness_threshold",
    "failover_deadline",
    "is_enabled",
)


def tell_feed_changed() -> pgtrigger.Trigger:
    """Send `feed.changed` on the bus when a feed is made, deleted or configured anew."""
    changed = " OR ".join(f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in _CONFIGURATION)
    return pgtrigger.Trigger(
        name="tell_feed_changed",
        when=pgtrigger.After,
        operation=pgtrigger.Insert | pgtrigger.Update | pgtrigger.Delete,
        func=f"""
            IF TG_OP = 'UPDATE' AND NOT ({changed}) THEN
                RETURN NULL;
            END IF;
            PERFORM pg_notify('{CHANNEL}', json_build_object(
                'group', '{groups.FEEDS}', 'type', 'feed.changed',
                'feed_id', CASE WHEN TG_OP = 'DELETE' THEN OLD.feed_id ELSE NEW.feed_id END
            )::text);
            RETURN NULL;
        """,
    )
