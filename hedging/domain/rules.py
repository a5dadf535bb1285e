"""Stop rules: what is watched of every account, and what comes of being beyond a threshold.

Pure. A rule's measure must be beyond its threshold in several readings in a row, each newer than
the last. A rule that has acted holds its accounts until a person lets them go, and only readings
from after that count again: it fires once.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final

from accounts.choices import AccountStatus
from accounts.domain.stoploss import Doubt, seen_again
from controlplane.kernel.units import ZERO

DUE_WITHIN: Final = 2
"""An account is silent when not heard of for so many of its sync intervals, at least."""


class RuleTrigger(StrEnum):
    """What a rule measures; each is a trigger of stops too.

    `margin`: maintenance margin in equity, a ratio. `rejects`: orders that the venue refused in
    the window. `mismatch`: USD of a position that trades do not explain, for certain.
    `stale-data`: seconds since an account with something at stake, or any price of what it holds,
    was heard of.
    """

    MARGIN = "margin"
    REJECTS = "rejects"
    MISMATCH = "mismatch"
    STALE_DATA = "stale-data"


class RuleScope(StrEnum):
    """How much around the account is stopped."""

    ACCOUNT = "account"
    BOOK = "book"
    VENUE = "venue"


class RuleAction(StrEnum):
    """`pause`: nothing more is opened. `stop`: an emergency stop that keeps positions.

    `flatten`: an emergency stop that closes them.
    """

    PAUSE = "pause"
    STOP = "stop"
    FLATTEN = "flatten"


class Doubts:
    """How often in a row each thing has been seen beyond its threshold."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Doubt] = {}
        self._seen: set[tuple[str, str]] = set()

    def note(self, key: tuple[str, str], *, at: datetime) -> int:
        """Count a reading of `at` that was beyond; return how many there were in a row."""
        self._seen.add(key)
        self._known[key] = doubt = seen_again(self._known.get(key), at=at)
        return doubt.count

    def forget(self, key: tuple[str, str]) -> None:
        """Count anew from here on."""
        self._known.pop(key, None)

    def round_over(self) -> None:
        """Forget what was not seen since the last call: it is no longer beyond."""
        self._known = {key: doubt for key, doubt in self._known.items() if key in self._seen}
        self._seen.clear()


def is_armed(action: RuleAction, status: AccountStatus) -> bool:
    """Tell whether a rule may act on an account: on one that it holds already it does not."""
    if action is RuleAction.PAUSE:
        return status is AccountStatus.ACTIVE
    return status is not AccountStatus.EMERGENCY


def margin_ratio(*, maintenance: Decimal, equity: Decimal) -> Decimal:
    """Return maintenance margin in equity; venues liquidate at one. Without equity it is one."""
    if maintenance <= 0:
        return ZERO
    return maintenance / equity if equity > 0 else Decimal(1)


def silence(
    *, heard: Iterable[datetime | None], since: datetime, due: timedelta, now: datetime
) -> Decimal:
    """Return for how many seconds nothing was heard; zero while nothing more is due.

    `heard` are the last times of what speaks of one thing: the newest counts. Nobody listened
    before `since`, so what was not heard until then is no silence.
    """
    last = max([since, *(moment for moment in heard if moment is not None)])
    age = now - last
    return ZERO if age <= due else Decimal(str(age.total_seconds()))
