"""What an adapter can and cannot do at its venue, as a value that people and tests can read."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Capabilities:
    """A False is a limit to know of before money goes there, not an error.

    `order_by_client_id`: an order can be looked up, and proven unknown, by the id we gave it.
    `transfer_history`: what moved a wallet beside trades, fees and funding is told, in or out.
    `margin_state`: equity and margins are read, so utilization is known.
    `margin_terms`: leverage or margin mode of a contract can be read back.
    `position_mode`: one-way or hedge mode can be read, so a wrong one is noticed before trading.
    `top_of_book_stream`: quotes come over a socket; else they are polled over HTTP.
    `dead_man_timer`: the venue itself cancels our orders when we fall silent.
    `dead_man_timer_per_symbol`: it is one timer a contract; else one for the account.
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
    transfer_history: bool
    set_leverage: bool
    set_margin_mode: bool
    margin_terms: bool
    position_mode: bool
    set_one_way: bool
    server_time: bool
    top_of_book_stream: bool
    private_stream: bool
    dead_man_timer: bool
    dead_man_timer_per_symbol: bool


EVERYTHING: Final = Capabilities(
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
    transfer_history=True,
    set_leverage=True,
    set_margin_mode=True,
    margin_terms=True,
    position_mode=True,
    set_one_way=True,
    server_time=True,
    top_of_book_stream=True,
    private_stream=True,
    dead_man_timer=True,
    dead_man_timer_per_symbol=True,
)
"""What an adapter's facts start from; each takes off what its venue has not."""
