"""What a drawdown is measured from when money comes in and goes out meanwhile.

Pure. What is paid in is no gain and what is paid out no loss: a transfer changes no drawdown, so a
peak moves with it by the share by which it changed the equity. Moved by the amount instead, what is
taken out of an account below its peak would look like a loss (900 of 1,000, and 800 taken out: 100
of 200), and what is put in would hide one (900 of 1,000, and 9,000 put in: 9,900 of 10,000).

A transfer is dated by the venue's clock and a reading by ours as its request left: whether one near
the other shows in it is not known.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from controlplane.kernel.units import ZERO

BEFORE: Final = timedelta(seconds=25)
"""A reading begun so long before a transfer may show it: an answer may take 20 s, clocks differ."""
AFTER: Final = timedelta(seconds=5)
"""A reading begun later than this after a transfer shows it."""
HELD_FOR: Final = timedelta(seconds=5)
"""An action is held back for so long, from the first reading beyond its limit on, while a fall of
the wallet that no trade, fee or funding explains may be a transfer that is not read yet."""


@dataclass(frozen=True, slots=True)
class Flow:
    """A transfer by the venue's time; `amount` is USD, positive when it came in."""

    at: datetime
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Stretch:
    """The highest and the last equity (USD) read between two transfers; None: none was read."""

    highest: Decimal | None = None
    last: Decimal | None = None

    def with_reading(self, equity: Decimal) -> "Stretch":
        """Return the stretch with one more reading at its end."""
        return Stretch(equity if self.highest is None else max(self.highest, equity), equity)


def spans(
    flows: Sequence[Flow], *, since: datetime, until: datetime
) -> Sequence[tuple[datetime, datetime]]:
    """Return the spans between transfers, oldest first, whose readings are on one side for certain.

    One more than `flows`, which are in order. A span may be empty, its end before its beginning.
    """
    begins = [since, *(max(since, flow.at + AFTER) for flow in flows)]
    ends = [*(min(until, flow.at - BEFORE) for flow in flows), until]
    return list(zip(begins, ends, strict=True))


def moved(peak: Decimal, *, equity: Decimal, amount: Decimal) -> Decimal:
    """Return a peak as it is after a transfer of `amount` on `equity`, all USD.

    By the share that the transfer made of the equity. When it left nothing, nothing is left of the
    peak either: what comes later begins anew. Where there was no equity to be a share of, by the
    amount. Never negative.
    """
    if equity <= 0:
        return max(ZERO, peak + amount)
    return max(ZERO, peak * (equity + amount) / equity)


def peaks(stretches: Sequence[Stretch], flows: Sequence[Flow]) -> Sequence[Decimal | None]:
    """Return the highest equity before the first of `flows` and after each, on the capital of then.

    None where nothing has been read yet. `stretches` are those that `spans` parts, one more than
    `flows`. Where nothing was read between two transfers equity is what the first one left.
    """
    found: list[Decimal | None] = []
    peak = equity = None
    for index, stretch in enumerate(stretches):
        if index and peak is not None and equity is not None:
            amount = flows[index - 1].amount
            peak, equity = moved(peak, equity=equity, amount=amount), equity + amount
        read = [value for value in (peak, stretch.highest) if value is not None]
        peak = max(read, default=None)
        equity = equity if stretch.last is None else stretch.last
        found.append(peak)
    return found


def peak_of(stretches: Sequence[Stretch], flows: Sequence[Flow], *, at: datetime) -> Decimal | None:
    """Return the peak (USD) to hold a reading of `at` against; None when there is none.

    Of a transfer that the reading may show or not, what makes the smaller drawdown is taken: that
    is over seconds after the transfer.
    """
    certain = sum(flow.at + AFTER < at for flow in flows)
    possible = sum(flow.at - BEFORE <= at for flow in flows)
    known = peaks(stretches, flows)[certain : possible + 1]
    return min((peak for peak in known if peak is not None), default=None)


def is_certain(flows: Sequence[Flow], *, at: datetime) -> bool:
    """Tell whether a reading of `at` shows all of these transfers."""
    return all(flow.at + AFTER < at for flow in flows)
