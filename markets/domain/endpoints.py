"""Which addresses a venue may have: an allow-list in code, so no setting can point keys elsewhere.

Hosts: Binance, Aster and Pacifica documentation (production and test networks).
"""

import ipaddress
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

HOSTS: Final[Mapping[str, frozenset[str]]] = {
    "binance": frozenset(
        {
            "fapi.binance.com",
            "fstream.binance.com",
            "demo-fapi.binance.com",
            "demo-fstream.binance.com",
            "testnet.binancefuture.com",
            "fstream.binancefuture.com",
        }
    ),
    "aster": frozenset(
        {
            "fapi.asterdex.com",
            "fapi3.asterdex.com",
            "fstream.asterdex.com",
            "fapi.asterdex-testnet.com",
            "fstream.asterdex-testnet.com",
            "fstream5.asterdex-testnet.com",
        }
    ),
    "pacifica": frozenset(
        {"api.pacifica.fi", "ws.pacifica.fi", "test-api.pacifica.fi", "test-ws.pacifica.fi"}
    ),
}


def endpoint_problem(
    dialect: str, address: str, *, scheme: str, allow_loopback: bool
) -> str | None:
    """Return what is wrong with a venue address, or None.

    `scheme` is `http` or `ws`; the secure form is required except on loopback.
    """
    try:
        parts = urlsplit(address)
        host, _port = parts.hostname or "", parts.port
    except ValueError:
        return f"{address[:80]!r} is not an address."
    if parts.username or parts.password or parts.query or parts.fragment:
        return "The address must hold no user, query or fragment."
    if parts.scheme not in {scheme, f"{scheme}s"} or not host:
        return f"The address must begin with {scheme}s:// and name a host."
    if _is_loopback(host):
        return None if allow_loopback else "Loopback addresses are not allowed here."
    if parts.scheme != f"{scheme}s":
        return f"The address must begin with {scheme}s://."
    known = HOSTS.get(dialect, frozenset())
    if host not in known:
        return f"{host} is not a host of {dialect}; known: {', '.join(sorted(known)) or 'none'}."
    return None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
