"""The control endpoint of the demo's paper venues."""

import json
import urllib.request
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Protocol


class PaperAddress(Protocol):
    """Whatever knows where a paper venue is."""

    @property
    def rest(self) -> str: ...


def ledger(venue: PaperAddress, kind: str, *, since: int = 0) -> Iterator[dict[str, Any]]:
    """Yield a venue's ledger entries of one kind, oldest first, after the one numbered `since`."""
    while True:
        page = ask(venue, f"/control/ledger?kind={kind}&since={since}")["entries"]
        yield from page
        if not page:
            return
        since = page[-1]["seq"]


def ask(venue: PaperAddress, path: str, body: dict[str, Any] | None = None) -> Any:
    """Return the answer of a paper venue's control endpoint."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(venue.rest + path, data=data)  # noqa: S310 - loopback
    with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
        return json.loads(answer.read(), parse_float=Decimal)
