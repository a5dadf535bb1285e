"""What was seen at a venue, told to whoever keeps the record of it.

Fills, orders and hedges are kept by apps to the right of this one, so syncs and private streams
publish here and the composition root subscribes. Handlers run in the publisher's thread, one
after the other, outside any transaction of the publisher. What need not be done before the next
observation a handler returns, and the publisher does it when there is time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from accounts.reading import AccountReading
from markets.venues.types import FillReport, OrderReport


@dataclass(frozen=True, slots=True)
class FillsSeen:
    """Trades of an account, new or seen before, at its venue or in its sandbox."""

    account_id: str
    fills: Sequence[FillReport]
    sandbox: bool = False


@dataclass(frozen=True, slots=True)
class OrdersSeen:
    """Orders of an account. `all_open` means: these are all its open orders at `at`."""

    account_id: str
    orders: Sequence[OrderReport]
    all_open: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class AccountRead:
    """One look at an account over HTTP, its facts written, its trades and orders told before.

    `has_told_fills` is False when whoever records trades could not.
    """

    account_id: str
    reading: AccountReading
    has_told_fills: bool


@dataclass(frozen=True, slots=True)
class AccountMoved:
    """The positions or the margin of an account were written anew."""

    account_id: str


Observation = FillsSeen | OrdersSeen | AccountRead | AccountMoved
Followup = Callable[[], None]
Handler = Callable[[Observation], Followup | None]
_handlers: list[Handler] = []


def subscribe(handler: Handler) -> None:
    """Call `handler` for every later observation; a second registration changes nothing."""
    if handler not in _handlers:
        _handlers.append(handler)


def publish(observation: Observation) -> None:
    """Hand the observation to every handler, then do what they put off."""
    for followup in record(observation):
        followup()


def record(observation: Observation) -> list[Followup]:
    """Hand the observation to every handler; return what they put off, for the caller to do."""
    done = [handler(observation) for handler in _handlers]
    return [followup for followup in done if followup is not None]
