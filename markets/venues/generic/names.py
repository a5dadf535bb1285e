"""The venues ccxt knows and the keys they want, read off its files.

Importing one of its classes takes 0.8 s and 60 MB, the library 3 s and 109 MB. A web process that
checks a form needs neither: what it asks for stands in each class's text as literals.
"""

import ast
import importlib.util
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

from markets.venues.errors import VenueError

FIELDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "apiKey": "api_key",
        "secret": "api_secret",
        "password": "passphrase",
        "privateKey": "agent_key",
        "walletAddress": "public_key",
    }
)
"""ccxt's names of credentials, and the fields of ours that hold them."""
_OWN_ADAPTERS: Final[Mapping[str, str]] = {
    "binance": "binance",
    "binanceusdm": "binance",
    "aster": "aster",
    "pacifica": "pacifica",
}
_USUAL_CREDENTIALS: Final = {"apiKey": True, "secret": True}
"""What ccxt's base class asks for where a class says nothing."""
_CLASS: Final = re.compile(r"^class (\w+)\((\w+)", re.MULTILINE)
_CREDENTIALS: Final = re.compile(r"'requiredCredentials': (\{[^{}]*\})")
_SWAP: Final = re.compile(r"'swap': (True|False|None)")


class UnknownVenue(VenueError):
    """ccxt knows no such venue, or none that this product can trade on."""

    code = "unknown_venue"


@cache
def known_venues() -> frozenset[str]:
    """Return the names of ccxt's exchange classes."""
    return frozenset(path.stem for path in _home().glob("[a-z]*.py") if path.stem != "__init__")


def venue_problem(name: str) -> str | None:
    """Return why a venue of this name cannot be used through ccxt, or None when it can."""
    if not name:
        return "Name the venue as ccxt does, such as bybit."
    if name not in known_venues():
        near = sorted(known for known in known_venues() if known.startswith(name[:3]))
        hint = f"; close to it: {', '.join(near[:6])}" if near else ""
        return f"ccxt knows no venue {name[:40]!r}{hint}."
    if name in _OWN_ADAPTERS:
        return f"{name} has an adapter of its own: choose the dialect {_OWN_ADAPTERS[name]}."
    if _found(name, _SWAP) != "True":
        return f"ccxt offers no perpetual contracts on {name}."
    if unheld := [key for key in _wanted(name) if key not in FIELDS]:
        return f"{name} asks for {', '.join(unheld)}, which accounts here do not hold."
    return None


def check_venue(name: str) -> None:
    """Raise UnknownVenue when a venue of this name cannot be used."""
    if (problem := venue_problem(name)) is not None:
        raise UnknownVenue(problem)


@cache
def required_credentials(name: str) -> tuple[str, ...]:
    """Return the fields of Credentials an account needs; raises UnknownVenue."""
    check_venue(name)
    return tuple(FIELDS[key] for key in _wanted(name))


def _wanted(name: str) -> list[str]:
    text = _found(name, _CREDENTIALS)
    asked = _USUAL_CREDENTIALS if text is None else ast.literal_eval(text)
    return [key for key, is_needed in asked.items() if is_needed]


@cache
def _found(name: str, pattern: re.Pattern[str]) -> str | None:
    """Return the first match in a class's text, or in that of the class it inherits from."""
    text = (_home() / f"{name}.py").read_text()
    if (match := pattern.search(text)) is not None:
        return match[1]
    parents = dict(_CLASS.findall(text))
    parent = parents.get(name, "Exchange")
    return None if parent == "Exchange" else _found(parent, pattern)


@cache
def _home() -> Path:
    spec = importlib.util.find_spec("ccxt")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("ccxt is not installed")
    return Path(spec.submodule_search_locations[0]) / "async_support"
