"""Dead-man timers: where a venue has them, it cancels our resting orders when we fall silent."""

import time
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from django.conf import settings
from django.utils.translation import gettext as _

from accounts.models import ExchangeAccount
from controlplane.base import events
from controlplane.kernel.events import EventType, Occurrence, Severity
from controlplane.kernel.secrets import redact
from hedging.emergency.asking import ask_all
from markets.venues.ports import ExecutionClient
from markets.venues.registry import capabilities
from strategies.models import OrderIntent

REFRESH_SECONDS: Final = 15.0
"""How often a timer is set anew; venues advise a quarter to a half of its length."""
OFF: Final = timedelta(0)
RESTING: Final = ("limit", "post-only")


@dataclass(slots=True)
class TimerWatch:
    """Keeps a timer of `DEAD_MAN_SECONDS` running for every account with resting orders.

    A timer is disarmed when its orders are gone, lest it cancel the next ones. One set by an
    earlier process runs out by itself, which is what it is for.
    """

    _set_at: dict[str, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))
    """account -> venue symbol -> when its timer was last set."""
    _told: set[str] = field(default_factory=set)
    unprotected: dict[str, str] = field(default_factory=dict)
    """Accounts with resting orders that their venue would not cancel, and why."""

    def look(self) -> int:
        """Set the timers that are due and disarm those nobody needs; return how many."""
        after = timedelta(seconds=settings.DEAD_MAN_SECONDS)
        if not after:
            return 0
        resting = _resting()
        accounts = _accounts({*resting, *self._set_at})
        able = {name: account for name, account in accounts.items() if _has_timer(account)}
        self.unprotected = {
            name: _("its venue has no timer") for name in resting if name not in able
        }
        wanted = {name: self._wanted(name, resting.get(name, set()), after) for name in able}
        due = {name: terms for name, terms in wanted.items() if terms}
        done = self._set({name: able[name] for name in due}, due)
        self._tell(resting)
        return done

    def _wanted(
        self, name: str, symbols: Collection[str], after: timedelta
    ) -> Mapping[str, timedelta]:
        """Return, by contract, what its timer is to be set to now."""
        known, now = self._set_at.get(name, {}), time.monotonic()
        due = {it for it in symbols if now - known.get(it, -REFRESH_SECONDS) >= REFRESH_SECONDS}
        return dict.fromkeys(due, after) | dict.fromkeys(set(known) - set(symbols), OFF)

    def _set(
        self,
        accounts: Mapping[str, ExchangeAccount],
        due: Mapping[str, Mapping[str, timedelta]],
    ) -> int:
        async def set_all(name: str, client: ExecutionClient) -> None:
            for symbol, after in sorted(due[name].items()):
                await client.set_dead_man_timer(symbol, after)

        answers = ask_all(accounts, set_all)
        for name, answer in answers.items():
            if isinstance(answer, BaseException):
                self.unprotected[name] = redact(str(answer) or type(answer).__name__)
                continue
            for symbol, after in due[name].items():
                if after:
                    self._set_at[name][symbol] = time.monotonic()
                else:
                    del self._set_at[name][symbol]
            if not self._set_at[name]:
                del self._set_at[name]
        return sum(len(due[name]) for name in answers if name not in self.unprotected)

    def _tell(self, resting: Mapping[str, Collection[str]]) -> None:
        """Tell once of each account that has become unprotected."""
        exposed = {name: why for name, why in self.unprotected.items() if name in resting}
        self._told &= set(exposed)
        for name in exposed.keys() - self._told:
            self._told.add(name)
            events.publish(
                Occurrence(
                    type=EventType.EMERGENCY,
                    severity=Severity.WARN,
                    account_id=name,
                    message=_("Nobody cancels the resting orders of %(account)s if we fall silent: "
                              "%(why)s.") % {"account": name, "why": exposed[name]},
                    payload={"code": "unprotected", "why": exposed[name]},
                )
            )  # fmt: skip


def _resting() -> Mapping[str, set[str]]:
    """Return, by account, the contracts in which live orders rest or may come to rest."""
    found: dict[str, set[str]] = defaultdict(set)
    rows = OrderIntent.objects.live().filter(state="submitted", type__in=RESTING).order_by()
    for name, symbol in rows.values_list("account_id", "instrument__venue_symbol"):
        found[name].add(symbol)
    return found


def _accounts(names: Collection[str]) -> Mapping[str, ExchangeAccount]:
    rows = ExchangeAccount.objects.syncable().for_sync().filter(pk__in=names)
    return {account.pk: account for account in rows}


def _has_timer(account: ExchangeAccount) -> bool:
    venue = account.exchange
    return capabilities(venue.dialect, venue.endpoint()).dead_man_timer
