"""Builders on Aster: an owner's wallet approves them, and orders that name one pay him.

Source: the vendor's "Aster Code" pages; the fields of its answer are those ccxt shows.
"""

import re
from dataclasses import replace
from typing import Final

from markets.venues.paper.dialects import fapi_render as render
from markets.venues.paper.dialects.fapi_errors import malformed
from markets.venues.paper.dialects.fapi_orders import new_order, placed
from markets.venues.paper.dialects.fapi_rest import Call, Route, Routes, Security, done
from markets.venues.paper.dialects.wallet_door import CHAIN_ID
from markets.venues.paper.model import Builder

_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")


def approved(call: Call) -> object:
    """List whom the account's owner has approved."""
    return [
        {
            "userAddress": call.params["user"],
            "builderAddress": builder.code,
            "maxFeeRate": render.text(builder.fee_rate),
            "builderName": builder.name,
        }
        for builder in call.account.builders.values()
    ]


def approve(call: Call) -> object:
    """Approve a builder up to a fee; approving him again replaces the fee."""
    if call.integer("signatureChainId", CHAIN_ID) != CHAIN_ID:
        raise malformed("signatureChainId")
    builder = replace(_builder(call, fee="maxFeeRate"), name=call.params.get("builderName", ""))
    call.account.builders[builder.code] = builder
    return done()


def place(call: Call) -> object:
    builder = _builder(call, fee="feeRate") if "builder" in call.params else None
    return placed(call, replace(new_order(call), builder=builder))


def _builder(call: Call, *, fee: str) -> Builder:
    address, rate = call.text("builder"), call.decimal(fee)
    if not _ADDRESS.fullmatch(address):
        raise malformed("builder")
    if rate < 0:
        raise malformed(fee)
    # Clients look for the address as they write it.
    return Builder(address, rate)


BUILDER_ROUTES: Final[Routes] = {
    ("GET", "builder"): Route(approved, 1, Security.SIGNED),
    ("POST", "approveBuilder"): Route(approve, 1, Security.CONSENT),
    ("POST", "order"): Route(place, 0, Security.SIGNED),
}
