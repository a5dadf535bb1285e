"""Proxy sessions: the life of one, what may be an exit, and who goes where."""

import ipaddress
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, TypeVar
from urllib.parse import quote

from accounts.choices import ProxyScheme, ProxyStatus
from controlplane.kernel.fsm import move

Key = TypeVar("Key")


class ProxyEvent(StrEnum):
    """What happens to a session: `ROTATE` asks its accounts to leave, `SETTLE` ends that."""

    ROTATE = "rotate"
    SETTLE = "settle"
    FAIL = "fail"
    RECOVER = "recover"


_S, _E = ProxyStatus, ProxyEvent
PROXY_TABLE: Final[Mapping[tuple[ProxyStatus, ProxyEvent], ProxyStatus]] = {
    (_S.ACTIVE, _E.ROTATE): _S.ROTATING,
    (_S.ACTIVE, _E.FAIL): _S.FAILED,
    (_S.ROTATING, _E.SETTLE): _S.ACTIVE,
    (_S.ROTATING, _E.FAIL): _S.FAILED,
    (_S.FAILED, _E.RECOVER): _S.ACTIVE,
}

MAX_PART: Final = 255
"""Bytes of a user or a password in SOCKS5 (RFC 1929, section 2)."""


def advance(status: ProxyStatus, event: ProxyEvent) -> ProxyStatus:
    """Return the status after `event`; raises IllegalMove where the table has none."""
    return move(PROXY_TABLE, status, event)


def is_address(text: str) -> bool:
    """Tell whether a text is an IP address, and nothing more."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def address_problem(ip: str, *, allow_private: bool) -> str | None:
    """Return why nothing may be sent by way of this address, or None.

    With `allow_private` loopback and private networks are fine; what names no single machine,
    and link-local, where clouds keep their credentials, never is. What is no address is not
    quoted: it may be a pasted URL with a password.
    """
    if not is_address(ip):
        return "It is not an IP address."
    address = ipaddress.ip_address(ip)
    address = getattr(address, "ipv4_mapped", None) or address
    if address.is_unspecified or address.is_multicast or address.is_link_local:
        return f"{ip} can be no proxy."
    if not allow_private and not address.is_global:
        return f"{ip} is loopback or private, which is not allowed here."
    return None


def auth_problem(auth: str) -> str | None:
    """Return what is wrong with a proxy's credentials, or None. The text never quotes them."""
    if not auth:
        return None
    user, colon, password = auth.partition(":")
    if "://" in auth:
        return "Give user:password alone, not an address."
    if not colon or not user or not password:
        return "Must be user:password, neither of them empty."
    if not (auth.isascii() and auth.isprintable()) or " " in auth:
        return "Must be ASCII without spaces."
    if max(len(user), len(password)) > MAX_PART:
        return f"User and password have at most {MAX_PART} characters each."
    return None


def proxy_url(scheme: ProxyScheme, ip: str, port: int, auth: str) -> str:
    """Return the address for clients. SOCKS names are resolved beyond the proxy (socks5h)."""
    user, _colon, password = auth.partition(":")
    login = f"{quote(user, safe='')}:{quote(password, safe='')}@" if auth else ""
    host = f"[{ip}]" if ":" in ip else ip
    name = "socks5h" if scheme == ProxyScheme.SOCKS5 else str(scheme)
    return f"{name}://{login}{host}:{port}"


def least_used(users: Mapping[Key, int]) -> Key | None:
    """Return the session with the fewest accounts, the first of several; None of none."""
    return min(users, key=users.__getitem__, default=None)


def rotation_due(since: datetime, minutes: int | None, *, now: datetime) -> bool:
    """Tell whether accounts have been on a session for as long as its profile allows."""
    return minutes is not None and now - since >= timedelta(minutes=minutes)
