"""Order ids: the venue takes nothing but a full UUID, and ours stand for one.

A client order id of ours is the base32 form of an intent's UUID; the venue gets that UUID itself.
Whatever else the venue shows (another bot's UUID, a text from older days, none) maps back to
something that no intent has, one to one.
"""

from uuid import UUID

from controlplane.kernel.ids import client_order_id, intent_id_of
from markets.venues.errors import NotSent


def to_venue(client_id: str) -> str:
    """Return the UUID the venue is told; raises NotSent for an id that stands for none."""
    intent_id = intent_id_of(client_id)
    if intent_id is None:
        raise NotSent(f"{client_id[:40]!r} stands for no UUID, which Pacifica's order ids must be.")
    return str(intent_id)


def from_venue(text: str | None) -> str:
    """Return our form of the venue's id; empty when the order has none."""
    if not text:
        return ""
    try:
        value = UUID(text)
    except ValueError:
        return text
    return client_order_id(value) if str(value) == text else text
