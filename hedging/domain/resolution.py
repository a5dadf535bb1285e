"""What looks at a venue prove of an order whose send may or may not have happened.

Found is proof at once. *Not accepted* is proof only when the venue can accept the request no
more and has said so twice, on every endpoint that would show the order. All else stays unknown.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

SETTLE: Final = timedelta(seconds=12)
"""After the expiry: the venue's books may lag, and its clock may be measured before signing."""
APART: Final = timedelta(seconds=5)
"""Two looks that say "not found" are at least this far apart."""
AGAIN: Final = timedelta(seconds=1)
"""The pause before the next look while a venue does not answer; else this for each look so far."""
SELDOM: Final = timedelta(minutes=5)
"""The longest pause: looks cost of a limit what finding out about other orders needs, and the
longer ago an order is, the more of the venue's records each has to read.
"""


class Answer(StrEnum):
    """What one endpoint said. `unclear`: something is there that may be the order's doing."""

    FOUND = "found"
    NOT_FOUND = "not-found"
    UNCLEAR = "unclear"
    UNANSWERED = "unanswered"
    NOT_ASKED = "not-asked"


class Verdict(StrEnum):
    """Where a look has brought the order."""

    FOUND = "found"
    UNKNOWN = "unknown"
    NOT_ACCEPTED = "not-accepted"


@dataclass(frozen=True, slots=True)
class Look:
    """One look, begun at `at`.

    `by_id`: the order asked for by our id. `listed`: open orders and the history of trades.
    `trades`: any trade since the signing that is the order's. `position`: a change of the
    position that trades do not explain.
    """

    at: datetime
    by_id: Answer
    listed: Answer
    trades: Answer
    position: Answer

    @property
    def answers(self) -> tuple[Answer, ...]:
        return (self.by_id, self.listed, self.trades, self.position)

    @property
    def shows_absence(self) -> bool:
        """Tell whether every endpoint said explicitly that there is nothing."""
        return set(self.answers) == {Answer.NOT_FOUND}

    @property
    def speaks_against(self) -> bool:
        """Tell whether anything seen may be the order."""
        return not {Answer.FOUND, Answer.UNCLEAR}.isdisjoint(self.answers)


def provable_from(expires_at: datetime) -> datetime:
    """Return from when on "not found" counts.

    `expires_at` is the signed time, the receive window and the clocks' bound together.
    """
    return expires_at + SETTLE


def verdict(expires_at: datetime, looks: Sequence[Look]) -> Verdict:
    """Return what `looks`, oldest first, prove together."""
    if looks and Answer.FOUND in looks[-1].answers:
        return Verdict.FOUND
    begin = provable_from(expires_at)
    first: Look | None = None
    for look in looks:
        if look.speaks_against:
            first = None
        elif look.shows_absence and look.at >= begin:
            if first is not None and look.at - first.at >= APART:
                return Verdict.NOT_ACCEPTED
            first = first or look
    return Verdict.UNKNOWN


def next_look_at(expires_at: datetime, last: Look, *, looks: int) -> datetime:
    """Return the earliest time for the look after `last`, the newest of `looks` so far."""
    begin = provable_from(expires_at)
    if last.by_id is Answer.UNANSWERED:
        return last.at + AGAIN
    if last.at < begin:
        return min(last.at + AGAIN * looks, begin)
    if not last.speaks_against:
        return last.at + APART
    return last.at + max(AGAIN, min((last.at - expires_at) / 4, SELDOM))
