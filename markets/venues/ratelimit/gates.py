"""How a client gets its way through this process's limiter."""

from markets.venues.ratelimit.limiter import Gate, limiter
from markets.venues.ratelimit.names import account_name, exit_name, host_name
from markets.venues.ratelimit.terms import Terms


def open_gate(rest: str, proxy_url: str | None, terms: Terms, *, public: str | None) -> Gate:
    """Return a client's way through this process's limiter; `public` identifies its account."""
    return limiter().gate(
        host_name(rest),
        exit_name=exit_name(proxy_url),
        account=None if not public else account_name(public),
        terms=terms,
    )
