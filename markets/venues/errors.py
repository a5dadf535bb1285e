"""What can go wrong at a venue, split by who must act next (never by a library's class)."""

from http import HTTPStatus
from typing import Final

from controlplane.kernel.errors import ControlPlaneError
from markets.venues.ratelimit.terms import Scope


class VenueError(ControlPlaneError):
    """Any trouble with a venue. The message is redacted before it gets here."""

    code = "venue_error"


class VenueRejected(VenueError):
    """Definitive: the venue understood and refused. `venue_code` is its own code."""

    code = "venue_rejected"

    def __init__(self, venue_code: str, message: str) -> None:
        super().__init__(message, details={"venueCode": venue_code})
        self.venue_code = venue_code


class OrderNotFound(VenueRejected):
    """The venue does not know the order. Just after a send this proves nothing."""

    code = "order_not_found"


class ClockRefused(VenueRejected):
    """The venue refused the time a request was signed with: its clock must be measured anew."""

    code = "clock_refused"


class AlreadySo(VenueRejected):
    """The venue refused to set what is set already: for the one who asked, a success."""

    code = "already_so"


class NotSent(VenueError):
    """Proven: not one byte of the request reached the venue. Safe to decide anew."""

    code = "not_sent"


class Withheld(NotSent):
    """We kept an order back in the last moment: it is not wanted any more."""

    code = "withheld"


class ProxyRefused(NotSent):
    """The outbound proxy is away or refuses us: its fault or its password, not the venue's key."""

    code = "proxy_refused"


class NotOffered(NotSent):
    """The venue has no such thing, or not in a form we may rely on (see its capabilities)."""

    code = "not_offered"


class RateLimited(VenueError):
    """The venue refused to look at the request, or our own limiter kept it back; nothing was
    accepted.

    `retry_after` is the seconds to wait. `scope` says what has to wait: all behind the address,
    the account, its orders, or, where it is None, nobody in particular.
    """

    code = "rate_limited"

    def __init__(
        self, message: str, *, retry_after: float, scope: Scope | None = Scope.EXIT
    ) -> None:
        super().__init__(message, details={"retryAfter": retry_after})
        self.retry_after = retry_after
        self.scope = scope


MOST_KEPT: Final = 64 * 1024
"""Bytes of an answer that are kept as evidence."""


class OutcomeUnknown(VenueError):
    """The act may or may not have happened. Only proof closes this; never send again.

    `body` is the beginning of what was answered, as it came; empty when nothing was. `status` is
    the answer's HTTP status, 0 without an answer.
    """

    code = "outcome_unknown"

    def __init__(self, message: str, *, body: bytes = b"", status: int = 0) -> None:
        super().__init__(message)
        self.body = body[:MOST_KEPT]
        self.status = status

    @property
    def is_venues_failure(self) -> bool:
        """True when the venue said that it failed (RFC 9110, 15.6)."""
        return self.status >= HTTPStatus.INTERNAL_SERVER_ERROR


class AuthenticationFailed(VenueError):
    """The venue refused the key or the signature. Halt the account, tell a person."""

    code = "authentication_failed"


class VenueUnavailable(VenueError):
    """A read did not succeed: what was asked for is unknown, not empty."""

    code = "venue_unavailable"


class MissingCredential(VenueError):
    """The account lacks a key this venue needs, or it has the wrong form."""

    code = "missing_credential"
