"""No event is later than now: a time from the future is a lie, or in another unit.

Everything that venues date passes here, whichever way it came. It matters beyond the one report:
rows remember the newest time they were told, so one event from the future would make all that
follow look old.
"""

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar, cast

from markets.venues.checks import EPOCH, BadAnswer
from markets.venues.types import AccountUpdate, BookTop, MarkPrice, OrderUpdate, Quarantined

MAX_AHEAD_MS: Final = 60_000
"""How far an event may be ahead of the clock it is held against: clocks differ by seconds."""
_MILLISECOND: Final = timedelta(milliseconds=1)

Said = TypeVar("Said")
Event = TypeVar("Event")


def wall_ms() -> int:
    """Return this machine's time, for where the venue's own clock has not been measured."""
    return time.time_ns() // 1_000_000


def check_time(said: Said, *, now_ms: int) -> Said:
    """Return a report, or reports; raises BadAnswer when one is dated after `now_ms`."""
    newest = _newest_ms(said)
    if newest > now_ms + MAX_AHEAD_MS:
        raise BadAnswer("future", f"{newest - now_ms} ms ahead")
    return said


def timely(events: Sequence[Event], *, now_ms: int) -> Sequence[Event]:
    """Return a frame's events with those from the future quarantined, as any event may be."""
    latest = now_ms + MAX_AHEAD_MS
    for event in events:
        if _newest_ms(event) > latest:
            return [_judged(event, now_ms) for event in events]
    return events


def timed(receive: Callable[[str | bytes], Sequence[Event]]) -> Callable[..., Sequence[Event]]:
    """Return a session's `receive` whose events are timely by this machine's clock."""

    def received(frame: str | bytes) -> Sequence[Event]:
        events, now_ms = receive(frame), wall_ms()
        first = events[0] if len(events) == 1 else None
        if type(first) is BookTop and first.venue_ms <= now_ms + MAX_AHEAD_MS:
            return events  # as nearly every frame of quotes
        return timely(events, now_ms=now_ms)

    return received


def _judged(event: Event, now_ms: int) -> Event:
    try:
        return check_time(event, now_ms=now_ms)
    except BadAnswer as error:
        symbol = getattr(event, "venue_symbol", "")
        return cast(Event, Quarantined(error.reason, error.detail, symbol))


def _newest_ms(said: Any) -> int:
    """Return the newest time that something said is dated, 0 where it is not."""
    if isinstance(said, BookTop | MarkPrice):
        return said.venue_ms
    if isinstance(said, AccountUpdate):
        return max((said.venue_ms, *map(_newest_ms, said.positions)))
    if isinstance(said, OrderUpdate):
        return max(_newest_ms(said.order), _newest_ms(said.fill))
    rows = said if isinstance(said, list | tuple) else getattr(said, "rows", None)
    if rows is not None:
        return max(map(_newest_ms, rows), default=0)
    at = getattr(said, "at", None)
    return (at - EPOCH) // _MILLISECOND if isinstance(at, datetime) else 0
