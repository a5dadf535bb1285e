"""Cancelling without the database: by the routes that the sentinel wrote, once, in one process."""

from collections.abc import Mapping, Sequence

from accounts.egress import client_of
from controlplane.kernel.errors import ControlPlaneError, Denied
from controlplane.kernel.secrets import redact
from hedging.emergency.asking import clients_ask
from hedging.emergency.cancelling import Cancels
from hedging.emergency.spool import AskedStop, asked_write, covered, routes_read
from markets.venues.ports import ExecutionClient
from markets.venues.types import OrderReport

EVERYTHING = Cancels(frozenset(), None)


def orders_cancel(asked: AskedStop) -> Mapping[str, str]:
    """Cancel all orders in a scope; return, by account, what went wrong, blank if none is left.

    The stop itself is kept on disk first. Positions are left: closing them takes orders, and
    orders take the record. Raises Denied for a wrong scope, SpoolUnusable without routes.
    """
    if not asked.reason:
        raise Denied("REASON_REQUIRED", "REASON_REQUIRED: say why.")
    accounts = covered(routes_read(), asked.scope, asked.target, drill=asked.drill)
    asked_write(asked)
    clients = {account.account_id: client_of(account.route) for account in accounts}
    answers = clients_ask(clients, _cancel)
    return {name: _problem(answers[name]) for name in clients}


async def _cancel(_name: str, client: ExecutionClient) -> Sequence[OrderReport]:
    try:
        return await EVERYTHING.carry_out(client)
    finally:
        await client.close()


def _problem(answer: Sequence[OrderReport] | BaseException) -> str:
    if isinstance(answer, ControlPlaneError):
        return redact(f"{answer.code}: {answer.message}")
    if isinstance(answer, BaseException):
        return redact(repr(answer))
    return f"{len(answer)} orders are still listed" if answer else ""
