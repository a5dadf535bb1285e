"""A venue's account history read line by line: a bad line is set aside and hides no other.

For histories of money, where a line left out is seen (the wallet does not add up) and a listing
refused for one bad line would hide all that the others explain.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from controlplane.kernel.units import QuoteAmount
from markets.venues import checks
from markets.venues.checks import BadAnswer
from markets.venues.moments import check_time
from markets.venues.types import Quarantined, Transfer

MAX_ID: Final = 128
MAX_WORD: Final = 20
"""As long as the record's columns: what is longer is no id, kind or asset."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line's time, None where it is not believed, and what it says of transfers, if anything."""

    dated: datetime | None
    said: Transfer | Quarantined | None


ReadLine = Callable[[msgspec.Raw], tuple[datetime, Transfer | None]]


def read_lines(rows: Iterable[msgspec.Raw], read: ReadLine, *, now_ms: int) -> Sequence[Line]:
    """Return every line, in the venue's order; one that `read` refuses is quarantined.

    So is one dated after `now_ms`, the venue's clock.
    """
    return [_line(row, read, now_ms) for row in rows]


def _line(row: msgspec.Raw, read: ReadLine, now_ms: int) -> Line:
    try:
        dated, transfer = read(row)
        return Line(dated, check_time(transfer, now_ms=now_ms))
    except BadAnswer as error:
        return Line(None, Quarantined(error.reason, error.detail))


def transfer(
    *, transfer_id: str, kind: str, amount: str, asset: str, at: datetime
) -> Transfer | None:
    """Return the transfer that a venue's texts tell, None for one of nothing; raises BadAnswer."""
    for name, text, most in (
        ("id", transfer_id, MAX_ID),
        ("kind", kind, 2 * MAX_WORD),
        ("asset", asset, MAX_WORD),
    ):
        if not text or len(text) > most or not text.isascii() or not text.isprintable():
            raise BadAnswer(f"bad-{name}", text[:40])
    moved = checks.number(amount, "amount")
    return Transfer(transfer_id, kind, QuoteAmount(moved), asset, at) if moved else None


def told(lines: Iterable[Line], *, since: datetime) -> list[Transfer | Quarantined]:
    """Return what lines that came oldest first say of `since` and later, each once."""
    found: dict[object, Transfer | Quarantined] = {}
    for line in lines:
        if line.said is None or (line.dated is not None and line.dated < since):
            continue
        said = line.said
        found[(said.kind, said.transfer_id) if isinstance(said, Transfer) else said] = said
    return list(found.values())
