"""Prove which way the accounts went: every private connection came out of a proxy's tunnel."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from controlplane.demo.control import ask, ledger
from controlplane.demo.layout import DemoLayout, DemoVenue
from controlplane.demo.relay import tunnels
from markets.venues.pacifica.ids import from_venue
from strategies.models import OrderIntent

ORDER_IDS: Final = ("newClientOrderId", "client_order_id")
"""How dialects name an order's id in the request that places it."""


@dataclass(frozen=True, slots=True)
class Passage:
    """Something private that a venue got: whose, what, and the address it came from.

    `order_id` is our id of the order that a request is to place, empty for all else.
    """

    account: str
    what: str
    peer: str
    order_id: str = ""
    is_socket: bool = False

    def __str__(self) -> str:
        return f"{self.account} {self.what} from {self.peer or 'nowhere'}"


@dataclass(frozen=True, slots=True)
class Routes:
    """All private passages, those outside every tunnel, and orders by another exit than theirs."""

    requests: int
    sockets: int
    exits: Sequence[str]
    direct: Sequence[Passage]
    astray: Sequence[Passage]

    @property
    def problem(self) -> str:
        """Say what is wrong or was not shown; empty when all went out as it should."""
        if self.direct:
            return f"{len(self.direct)} went out directly: {_told(self.direct)}"
        if self.astray:
            return f"{len(self.astray)} left by an exit not on record: {_told(self.astray)}"
        return "" if self.requests and self.sockets else "nothing private was sent"


def routes(layout: DemoLayout, directory: Path) -> Routes:
    """Compare what the venues got with what the proxies and the intents have written down."""
    passages = [
        passage for venue in layout.venues for passage in (*_requests(venue), *_sockets(venue))
    ]
    ways = {
        tunnel.out: f"{one.ip}:{one.port}"
        for one in layout.exits
        for tunnel in tunnels(one.relay(directory).log)
    }
    return judged(passages, ways=ways, recorded=_recorded())


def judged(
    passages: Sequence[Passage], *, ways: Mapping[str, str], recorded: Mapping[str, str]
) -> Routes:
    """Sort passages by their way.

    `ways` maps the outer end of each tunnel to its proxy, `recorded` an order's id to the proxy
    that is on record for it.
    """
    tunnelled = [item for item in passages if item.peer in ways]
    sockets = sum(item.is_socket for item in passages)
    return Routes(
        requests=len(passages) - sockets,
        sockets=sockets,
        exits=sorted({ways[item.peer] for item in tunnelled}),
        direct=[item for item in passages if item.peer not in ways],
        astray=[
            item
            for item in tunnelled
            if item.order_id and recorded.get(item.order_id) != ways[item.peer]
        ],
    )


def _told(passages: Sequence[Passage]) -> str:
    return "; ".join(map(str, passages[:3]))


def _requests(venue: DemoVenue) -> Iterator[Passage]:
    known = {account.account_id for account in venue.accounts}
    for entry in ledger(venue, "request"):
        if entry["account"] in known:
            what = f"{entry['method']} {entry['path']}"
            yield Passage(entry["account"], what, entry["peer"], _order_id(entry["params"], what))


def _order_id(params: Mapping[str, str], what: str) -> str:
    if not what.startswith("POST ") or "cancel" in what:
        return ""
    return from_venue(next((params[name] for name in ORDER_IDS if name in params), None))


def _sockets(venue: DemoVenue) -> Iterator[Passage]:
    known = {account.account_id for account in venue.accounts}
    for client in ask(venue, "/control/streams")["clients"]:
        for account in known.intersection(client["accounts"]):
            yield Passage(account, f"socket {client['path']}", client["peer"], is_socket=True)


def _recorded() -> dict[str, str]:
    """Return the exit each sent intent has on record, by its order id."""
    sent = OrderIntent.objects.exclude(submission="none").filter(sandbox=False)
    return {
        intent.client_order_id: str(intent.proxy_session or "no proxy")
        for intent in sent.select_related("proxy_session")
    }
