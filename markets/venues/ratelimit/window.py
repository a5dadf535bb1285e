"""One limit as it fills: our own requests, and what the venue tells of everybody's.

A window knows of three things and lets a request pass only where all have room:

- what this process sent within the last `seconds`: so it alone stays under the limit in any
  window, however the venue cuts them;
- what the venue last told was used by all processes and hosts together, plus what we sent since;
- what we sent and have no answer to: bounded by this process's part of the blind share, so that
  all processes together cannot overrun what the venue told them.

Times are nanoseconds of one monotonic clock.
"""

from collections import deque
from typing import Final

from markets.venues.ratelimit.terms import BLIND_SHARE, SECOND_NS, SHARES, Kind, Limit

UNTIL_ANSWERED: Final = SECOND_NS // 20
"""When to look again while only an answer can make room; an answer wakes the waiting anyway."""


class Window:
    """The use of one limit by one exit or account, as one of `processes` sees it.

    `is_told` says that the venue's answers tell of it. Where they do not, each process may fill
    an equal part of the limit, and no more.
    """

    def __init__(self, limit: Limit, *, processes: int, is_told: bool) -> None:
        self.limit = limit
        self._is_told = is_told
        self._processes = processes
        self._span_ns = limit.seconds * SECOND_NS
        self._amount = limit.amount
        self._sent: deque[tuple[int, int]] = deque()
        self._own = 0
        self._unanswered = 0
        self._lost = 0
        self._lost_ns = 0
        self._told = 0
        self._told_sent_ns = 0
        self._told_until_ns = 0

    @property
    def amount(self) -> int:
        """Return the limit, as the venue last told it."""
        return self._amount

    def used(self, now_ns: int) -> int:
        """Return what counts as used by everybody, as far as it is known."""
        self._forget(now_ns)
        if now_ns >= self._told_until_ns:
            return self._own
        return max(self._own, self._told + self._unanswered + self._lost)

    def ceiling(self, kind: Kind) -> int:
        """Return how full the window may be after a request of a kind."""
        whole = self._amount if self._is_told else self._amount // self._processes
        return whole * SHARES[kind] // 100

    def wait_ns(self, amount: int, kind: Kind, now_ns: int) -> int:
        """Return how long until there may be room for `amount`; 0 is now."""
        if amount == 0:
            return 0
        self._forget(now_ns)
        room = self.ceiling(kind) - amount
        wait = self._wait_for_own(room, now_ns)
        if now_ns < self._told_until_ns and self._told + self._unanswered + self._lost > room:
            wait = max(wait, self._told_until_ns - now_ns)
        if self._is_blind(amount, kind):
            wait = max(wait, UNTIL_ANSWERED)
        return wait

    def take(self, amount: int, now_ns: int) -> None:
        """Count a request that leaves now."""
        if amount:
            self._sent.append((now_ns, amount))
            self._own += amount
            self._unanswered += amount

    def answered(self, amount: int) -> None:
        """Count a request as answered: the venue has counted it by now."""
        self._unanswered -= amount

    def lost(self, amount: int, now_ns: int) -> None:
        """Count a request that got no answer: the venue may have counted it."""
        self._unanswered -= amount
        self._lost += amount
        self._lost_ns = now_ns

    def unsent(self, amount: int, *, taken_ns: int) -> None:
        """Give back a request that provably never left: the venue cannot have counted it."""
        self._unanswered -= amount
        if amount and (taken_ns, amount) in self._sent:
            self._sent.remove((taken_ns, amount))
            self._own -= amount

    def tell(
        self, used: int, *, sent_ns: int, until_ns: int, limit: int | None, now_ns: int
    ) -> None:
        """Believe the venue's count in the answer to what was sent at `sent_ns`.

        Of two answers that of the later request counts, whichever came first.
        """
        if sent_ns < self._told_sent_ns:
            return
        self._told, self._told_sent_ns = used, sent_ns
        self._told_until_ns = min(until_ns, now_ns + self._span_ns)
        if sent_ns >= self._lost_ns:
            self._lost = 0
        if limit is not None:
            self.learn(limit)

    def learn(self, amount: int) -> None:
        """Take the venue's own figure of the limit."""
        if amount > 0:
            self._amount = amount

    def _wait_for_own(self, room: int, now_ns: int) -> int:
        """Return when so much of our own is forgotten that no more than `room` is left."""
        if self._own <= room:
            return 0
        if room < 0:
            return self._span_ns
        left = self._own
        for at_ns, amount in self._sent:
            left -= amount
            if left <= room:
                return at_ns + self._span_ns - now_ns
        return self._span_ns

    def _is_blind(self, amount: int, kind: Kind) -> bool:
        """Tell whether too much is unanswered. One request at a time may always leave."""
        if not self._is_told or kind is Kind.URGENT or self._unanswered == 0:
            return False
        part = self._amount * BLIND_SHARE // 100 // self._processes
        return self._unanswered + amount > part

    def _forget(self, now_ns: int) -> None:
        while self._sent and self._sent[0][0] + self._span_ns <= now_ns:
            self._own -= self._sent.popleft()[1]
