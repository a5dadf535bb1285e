"""Names of exits and accounts: they tell them apart and hold no secret."""

from hashlib import sha256
from typing import Final
from urllib.parse import urlsplit

DIRECT: Final = "direct"
_LENGTH: Final = 12


def host_name(rest: str) -> str:
    """Return what a venue's addresses have in common: host and, where it is given, port."""
    return urlsplit(rest).netloc or rest


def exit_name(proxy_url: str | None) -> str:
    """Return the name of the way out. A pool may give each user name an address of its own, so
    it is part of the name, unreadable; a password is not.
    """
    if proxy_url is None:
        return DIRECT
    parts = urlsplit(proxy_url)
    place = f"{parts.hostname}:{parts.port}"
    return f"{place}#{_digest(parts.username)}" if parts.username else place


def account_name(public: str) -> str:
    """Return a name made of what identifies an account at its venue: an address or an API key."""
    return f"account#{_digest(public)}"


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:_LENGTH]
