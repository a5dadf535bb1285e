"""What an adapter can and cannot do at its venue, as a value that people and tests can read."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Capabilities:
    """A False is a limit to know of before money goes there, not an error.

    `order_by_client_id`: an order can be looked up, and proven unknown, by the id we gave it.
    `margin_state`: equity and margins are read, so utilization is known.
    `top_of_book_stream`: quotes come over a socket; else they are polled over HTTP.
    """

    market_orders: bool
    post_only: bool
    ioc: bool
    reduce_only: bool
    order_by_client_id: bool
    cancel_all: bool
    margin_state: bool
    fills_history: bool
    funding_rates: bool
    funding_history: bool
    set_leverage: bool
    server_time: bool
    top_of_book_stream: bool
    private_stream: bool
    dead_man_timer: bool


OWN_ADAPTER: Final = Capabilities(
    market_orders=True,
    post_only=True,
    ioc=True,
    reduce_only=True,
    order_by_client_id=True,
    cancel_all=True,
    margin_state=True,
    fills_history=True,
    funding_rates=True,
    funding_history=True,
    set_leverage=True,
    server_time=True,
    top_of_book_stream=True,
    private_stream=True,
    dead_man_timer=False,
)
"""What the adapters of our own (Binance, Aster, Pacifica) do."""
