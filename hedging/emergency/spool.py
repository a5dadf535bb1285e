"""What an emergency needs when PostgreSQL is down: the accounts' routes, and a stop asked for.

Two files beside the other local data, both mode 0600. `emergency.routes` is written by the
sentinel: every live account's keys, addresses, proxy and book, encrypted with FERNET_KEYS, so it
is worth no more than a database dump. `emergency.asked` keeps a stop that was pulled meanwhile;
the sentinel engages it when it finds the database again.
"""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from fernet_fields.hkdf import derive_fernet_key

from accounts.egress import Route, route_of
from accounts.models import ExchangeAccount
from controlplane.kernel.errors import ControlPlaneError, Denied
from controlplane.kernel.secrets import Secret
from hedging.domain.emergency import StopScope
from hedging.facts import topology
from markets.venues.types import Credentials, Endpoint

ROUTES: Final = "emergency.routes"
ASKED: Final = "emergency.asked"
PAPER: Final = "paper"


class SpoolUnusable(ControlPlaneError):
    """There is no file of routes, or none that our keys open."""

    code = "spool_unusable"


@dataclass(frozen=True, slots=True)
class SpooledAccount:
    """An account as it was last known, and how to reach it."""

    account_id: str
    venue_id: str
    book: str
    is_paper: bool
    route: Route


@dataclass(frozen=True, slots=True)
class AskedStop:
    """A stop pulled while the database was away."""

    scope: str
    target: str
    reason: str
    flatten: bool
    drill: bool


def routes_write() -> int:
    """Write every account that can be reached as of now; return how many."""
    books = {name: book.key for book in topology() if not book.sandbox for name in book.account_ids}
    lines = []
    for account in ExchangeAccount.objects.for_sync():
        with suppress(ControlPlaneError):  # no keys, or no way out: nothing could be cancelled
            lines.append(_line(account, books.get(account.pk, f"live:{account.pk}")))
    _write(ROUTES, _fernet().encrypt(json.dumps(lines).encode()))
    return len(lines)


def routes_read() -> Sequence[SpooledAccount]:
    """Return the accounts last written; raises SpoolUnusable."""
    try:
        lines = json.loads(_fernet().decrypt((_directory() / ROUTES).read_bytes()))
    except (OSError, InvalidToken) as error:
        raise SpoolUnusable(f"{_directory() / ROUTES}: {type(error).__name__}") from None
    return [_account(line) for line in lines]


def covered(
    accounts: Sequence[SpooledAccount], scope: str, target: str, *, drill: bool
) -> Sequence[SpooledAccount]:
    """Return the accounts in a scope; raises Denied for one that is wrong or not known here."""
    key = (
        {
            StopScope.ACCOUNT: "account_id",
            StopScope.VENUE: "venue_id",
            StopScope.BOOK: "book",
        }.get(StopScope(scope))
        if scope in set(StopScope)
        else None
    )
    if key is None and scope != StopScope.ALL:
        raise Denied("UNKNOWN_SCOPE", f"UNKNOWN_SCOPE: scope={scope}, without the database")
    if key is None and target:
        raise Denied("TARGET_NOT_EXPECTED", f"TARGET_NOT_EXPECTED: target={target}")
    found = [it for it in accounts if key is None or getattr(it, key) == target]
    if not found:
        raise Denied("UNKNOWN_TARGET", f"UNKNOWN_TARGET: scope={scope}, target={target}")
    return [it for it in found if it.is_paper or not drill]


def asked_write(asked: AskedStop) -> None:
    """Keep a stop until the database is back."""
    _write(ASKED, json.dumps(asdict(asked)).encode())


def asked_read() -> AskedStop | None:
    """Return the stop that was asked for meanwhile, if any."""
    try:
        return AskedStop(**json.loads((_directory() / ASKED).read_text()))
    except FileNotFoundError:
        return None


def asked_done() -> None:
    """Forget the stop: it is engaged."""
    (_directory() / ASKED).unlink(missing_ok=True)


def _line(account: ExchangeAccount, book: str) -> Mapping[str, Any]:
    route = route_of(account)
    keys = {name: getattr(account, name).reveal() for name in account.secret_fields}
    return {
        "account": account.pk,
        "venue": account.exchange_id,
        "book": book,
        "paper": account.exchange.environment == PAPER,
        "dialect": route.dialect,
        "endpoint": asdict(route.endpoint),
        "keys": keys,
        "proxy": None if route.proxy_url is None else route.proxy_url.reveal(),
    }


def _account(line: Mapping[str, Any]) -> SpooledAccount:
    return SpooledAccount(
        account_id=line["account"],
        venue_id=line["venue"],
        book=line["book"],
        is_paper=line["paper"],
        route=Route(
            dialect=line["dialect"],
            endpoint=Endpoint(**line["endpoint"]),
            credentials=Credentials(**{name: Secret(key) for name, key in line["keys"].items()}),
            proxy_url=None if line["proxy"] is None else Secret(line["proxy"]),
        ),
    )


def _write(name: str, content: bytes) -> None:
    """Replace a file at once, readable by its owner alone."""
    _directory().mkdir(parents=True, exist_ok=True)
    draft = _directory() / f"{name}.{os.getpid()}"
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    draft.replace(_directory() / name)


def _directory() -> Path:
    return Path(settings.VAR_DIR)


def _fernet() -> MultiFernet:
    """Return the cipher of the credential columns: the first key encrypts, all decrypt."""
    return MultiFernet([Fernet(derive_fernet_key(key)) for key in settings.FERNET_KEYS])
