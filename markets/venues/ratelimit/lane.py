"""What one exit, account, or account's orders may still send: its windows and its ban."""

from collections.abc import Iterable, Sequence

from markets.venues.ratelimit.ban import MARGIN_NS, Ban
from markets.venues.ratelimit.terms import SECOND_NS, SHARES, Cost, Kind, Limit, Scope, Told, Use
from markets.venues.ratelimit.window import Window


class Lane:
    """Times are nanoseconds of one monotonic clock."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.scope = Scope.EXIT
        self.ban = Ban()
        self.windows: list[Window] = []

    def open(self, scope: Scope, limits: Iterable[Limit], *, processes: int, is_told: bool) -> None:
        """Give the lane its windows; one that was only heard of has none."""
        self.scope = scope
        self.windows = [
            Window(limit, processes=processes, is_told=is_told)
            for limit in limits
            if limit.scope is scope
        ]

    def learn(self, limits: Iterable[Limit]) -> None:
        """Take the venue's own figures for the limits this lane has."""
        for limit in limits:
            for window in self.windows:
                if (limit.scope, limit.seconds) == (self.scope, window.limit.seconds):
                    window.learn(limit.amount)

    def wait_ns(self, cost: Cost, now_ns: int) -> int:
        """Return how long a request must wait at least; 0 is now."""
        amount = cost.of(self.scope)
        wait = self.ban.wait_ns(now_ns)
        for window in self.windows:
            wait = max(wait, window.wait_ns(amount, cost.kind, now_ns))
        return wait

    def take(self, cost: Cost, now_ns: int) -> bool:
        """Count a request that leaves now; tell whether it tries the way after a ban."""
        for window in self.windows:
            window.take(cost.of(self.scope), now_ns)
        return self.ban.take()

    def answered(self, cost: Cost, told: Sequence[Told], *, sent_ns: int, now_ns: int) -> None:
        """Take in what the answer to a request tells of the use."""
        for window in self.windows:
            window.answered(cost.of(self.scope))
            for one in told:
                if (one.scope, one.seconds) == (self.scope, window.limit.seconds):
                    window.tell(
                        one.used,
                        sent_ns=sent_ns,
                        until_ns=now_ns + one.seconds_left * SECOND_NS,
                        limit=one.limit,
                        now_ns=now_ns,
                    )

    def lost(self, cost: Cost, now_ns: int) -> None:
        for window in self.windows:
            window.lost(cost.of(self.scope), now_ns)

    def unsent(self, cost: Cost, *, taken_ns: int) -> None:
        for window in self.windows:
            window.unsent(cost.of(self.scope), taken_ns=taken_ns)

    def banned(self, seconds: int, now_ns: int) -> bool:
        """Close the lane for so long; tell whether that is news."""
        return self.ban.extend(now_ns + seconds * SECOND_NS + MARGIN_NS)

    def uses(self, now_ns: int) -> list[Use]:
        until_ns = self.ban.until_ns(now_ns)
        left = 0 if until_ns is None else -(-(until_ns - now_ns) // SECOND_NS)
        return [
            Use(
                self.key,
                self.scope,
                window.limit.seconds,
                window.used(now_ns),
                window.amount,
                window.amount - window.amount * SHARES[Kind.RECOVERY] // 100,
                left,
            )
            for window in self.windows
        ]
