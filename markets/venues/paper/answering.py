"""How a request is answered: by the dialect, unless a fault has its turn; always in the ledger."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from email.utils import formatdate
from typing import Any, Final

from aiohttp import web

from markets.venues.paper.faults import Fault, FaultKind, Stage, Subject
from markets.venues.paper.faults.replies import REPLY_KINDS, falsified, whole
from markets.venues.paper.hub import address_of
from markets.venues.paper.lies import view_of
from markets.venues.paper.model import Order
from markets.venues.paper.rules import Reason, Refused
from markets.venues.paper.venue import Reply, Request, Venue

TRUE_REPLY_KINDS: Final = frozenset({FaultKind.MID_REPLY, FaultKind.POISON})
"""What falsifies a true answer, and so lets the venue act first."""
UNHEARD: Final = 0
"""The status of a request that was lost before the venue acted on it."""
_CLIENT_IDS: Final = ("newClientOrderId", "origClientOrderId", "client_order_id")
_NOBODY: Final = Subject()


class Answering:
    """Answers the requests of one venue. Fills that come late are its timers."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._timers: set[asyncio.TimerHandle] = set()

    def close(self) -> None:
        for timer in self._timers:
            timer.cancel()

    async def answer(self, http: web.Request) -> web.StreamResponse:
        received_ns, received_monotonic_ns = self._venue.now_ns(), time.monotonic_ns()
        body = await http.read()
        path, _, query = http.raw_path.partition("?")
        request = Request(
            http.method,
            path,
            query.encode("latin-1"),
            body,
            http.headers,
            address=address_of(peer_of(http)),
        )
        subject = self._venue.dialect.subject(request) if self._venue.faults.are_set else _NOBODY
        pause = self._pause(subject)
        if pause:
            await asyncio.sleep(pause)
        taken = self._venue.faults.take(Stage.REQUEST, subject)
        fault = taken.fault if taken else None
        left_ms = taken.milliseconds_left if taken else None
        reply = self._act(request, subject, fault, left_ms or 0)
        if fault is not None and fault.kind is FaultKind.FILL_BEFORE_ACK:
            pause += fault.delay_ms / 1000
        if pause:
            await asyncio.sleep(pause)
        self._record(http, subject, reply, fault, received_ns, received_monotonic_ns)
        if fault is not None and fault.kind in REPLY_KINDS:
            return await falsified(fault, http, reply, date=self._date())
        return whole(reply)

    def _date(self) -> str:
        return formatdate(self._venue.now_ns() // 10**9, usegmt=True)

    def _pause(self, subject: Subject) -> float:
        """Return how long to wait before acting, and again before answering, in seconds."""
        milliseconds = self._venue.config.latency_ms
        for taken in self._venue.faults.take_all(Stage.PACE, subject):
            fault = taken.fault
            milliseconds += fault.delay_ms + taken.chance.randint(0, fault.jitter_ms)
        return milliseconds / 2000

    def _act(self, request: Request, subject: Subject, fault: Fault | None, left_ms: int) -> Reply:
        """Do what is asked, or what the fault says."""
        if fault is None:
            return self._handled(request, subject)
        if (reason := _REFUSALS.get(fault.kind)) is not None:
            return self._refused(request, reason, fault)
        match fault.kind:
            case FaultKind.REFUSE if fault.reason is not None:
                return self._refused(request, fault.reason, fault)
            case FaultKind.BAN:
                return self._banned(request, fault, left_ms)
            case FaultKind.FILL_BEFORE_ACK:
                return self._fill_first(request, subject, fault)
            case FaultKind.FILL_AFTER_CANCEL_ACK:
                return self._fill_later(request, subject, fault)
        if fault.accepts or fault.kind in TRUE_REPLY_KINDS:
            return self._handled(request, subject)
        return _unheard(subject)

    def _handled(self, request: Request, subject: Subject) -> Reply:
        venue = self._venue
        lies = venue.faults.take_all(Stage.READ, subject) if request.method == "GET" else []
        reply = venue.dialect.handle(replace(request, view=view_of(lies, venue.past)))
        return self._dated(reply, {})

    def _dated(self, reply: Reply, more: Mapping[str, str]) -> Reply:
        return replace(reply, headers={"Date": self._date(), **reply.headers, **more})

    def _refused(self, request: Request, reason: Reason, fault: Fault) -> Reply:
        status = fault.status if fault.status != 200 else None
        return self._dated(self._venue.dialect.refused(request, reason, status=status), {})

    def _banned(self, request: Request, fault: Fault, left_ms: int) -> Reply:
        seconds = max(1, -(-left_ms // 1000))
        reason = Reason.BANNED if fault.status == 418 else Reason.TOO_MANY_REQUESTS
        until_ms = self._venue.now_ms() + left_ms
        reply = self._venue.dialect.refused(request, reason, status=fault.status, until_ms=until_ms)
        return self._dated(reply, {"Retry-After": str(seconds)} if fault.retry_after else {})

    def _fill_first(self, request: Request, subject: Subject, fault: Fault) -> Reply:
        engine = self._venue.engine
        before = engine.last_id
        reply = self._handled(request, subject)
        account = engine.accounts.get(subject.account)
        newest = next(reversed(account.orders.values()), None) if account else None
        if account is not None and newest is not None and newest.order_id > before:
            now_ns = self._venue.now_ns()
            engine.fill_anyway(account, newest, now_ns=now_ns, share=fault.factor)
        return reply

    def _fill_later(self, request: Request, subject: Subject, fault: Fault) -> Reply:
        order = self._asked_order(subject)
        if fault.accepts:
            reply = self._handled(request, subject)
        else:
            reply = self._refused(request, Reason.UNKNOWN_CANCEL, fault)
        if order is not None:
            loop = asyncio.get_running_loop()
            self._timers.add(loop.call_later(fault.delay_ms / 1000, self._late_fill, order, fault))
        return reply

    def _asked_order(self, subject: Subject) -> Order | None:
        engine = self._venue.engine
        try:
            return engine.find_order(
                engine.accounts[subject.account],
                subject.symbol,
                order_id=subject.order_id,
                client_id=subject.client_id or None,
            )
        except (Refused, KeyError):
            return None

    def _late_fill(self, order: Order, fault: Fault) -> None:
        engine = self._venue.engine
        engine.fill_anyway(
            engine.accounts[order.account], order, now_ns=self._venue.now_ns(), share=fault.factor
        )

    def _record(
        self,
        http: web.Request,
        subject: Subject,
        reply: Reply,
        fault: Fault | None,
        received_ns: int,
        received_monotonic_ns: int,
    ) -> None:
        """Write the request down: what the venue knows, whatever the client will be told."""
        answered_ns = self._venue.now_ns()
        told: dict[str, Any] = {}
        if fault is not None:
            told = {"fault": fault.kind.value, "accepted": reply.status != UNHEARD}
        self._venue.ledger.append(
            "request",
            answered_ns,
            method=http.method,
            path=http.raw_path.partition("?")[0],
            params=dict(reply.params),
            account=reply.account,
            peer=peer_of(http),
            clientOrderId=_first(reply.params, _CLIENT_IDS) or subject.client_id or None,
            status=reply.status,
            code=reply.code,
            receivedNs=received_ns,
            receivedMonotonicNs=received_monotonic_ns,
            answeredNs=answered_ns,
            **told,
        )


def peer_of(request: web.Request) -> str:
    """Return where a connection comes from, as `address:port`; empty when it is gone already."""
    transport = request.transport
    name = None if transport is None else transport.get_extra_info("peername")
    return f"{name[0]}:{name[1]}" if name else ""


def _unheard(subject: Subject) -> Reply:
    """Return what stands for a request that the venue never acts on."""
    return Reply(UNHEARD, b"", {}, subject.account or None, None, {})


_REFUSALS: Final[Mapping[FaultKind, Reason]] = {
    FaultKind.MAINTENANCE: Reason.MAINTENANCE,
    FaultKind.KEEPALIVE_FAILS: Reason.LISTEN_KEY_GONE,
}


def _first(params: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    return next((params[name] for name in names if params.get(name)), None)
