"""Every account leaves by its own way, in the process it is used in."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

from accounts import egress
from accounts.choices import SyncStatus
from accounts.models import AccountSyncJob, ExchangeAccount, ProxyProfile, ProxySession
from accounts.observations import Observation
from accounts.services import account_sync
from controlplane.base.audit import Actor, Surface
from monitoring.models import MonitoringEvent
from tests.accounts.paper import Paper

ACTOR = Actor(name="test", surface=Surface.COMMAND)


def sync(account: ExchangeAccount) -> AccountSyncJob:
    job = account_sync(account=ExchangeAccount.objects.for_sync().get(pk=account.pk), actor=ACTOR)
    assert job is not None
    return job


@dataclass
class Proxy:
    """A forward proxy that wants `user:CANARY-proxy`."""

    port: int = 0
    carried: list[str] = field(default_factory=list)

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        if (
            request.headers.get("Proxy-Authorization")
            != aiohttp.BasicAuth("user", "CANARY-proxy").encode()
        ):
            return web.Response(status=407)
        self.carried.append(request.path)
        headers = {k: v for k, v in request.headers.items() if not k.startswith("Proxy-")}
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                request.method, request.raw_path, headers=headers, data=await request.read()
            ) as answer,
        ):
            return web.Response(
                status=answer.status, body=await answer.read(), content_type=answer.content_type
            )


@contextmanager
def forward_proxy(paper: Paper) -> Iterator[Proxy]:
    proxy = Proxy()

    async def start() -> web.ServerRunner:
        runner = web.ServerRunner(web.Server(proxy.serve))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        proxy.port = runner.addresses[0][1]
        return runner

    runner = paper.run(start())
    try:
        yield proxy
    finally:
        paper.run(runner.cleanup())


def behind(account: ExchangeAccount, port: int, auth: str = "user:CANARY-proxy") -> ProxySession:
    profile = ProxyProfile.objects.create(profile_id="pool", name="Pool")
    session = ProxySession.objects.create(
        proxy_profile=profile, ip="127.0.0.1", port=port, auth=auth
    )
    account.proxy_profile, account.proxy_session = profile, session
    account.save()
    return session


def test_account_with_a_session_goes_through_it_alone_and_the_record_says_so(
    paper: Paper, seen: list[Observation]
) -> None:
    account = paper.account("alpha")
    with forward_proxy(paper) as proxy:
        session = behind(account, proxy.port)
        job = sync(account)
        assert (job.status, job.proxy_session) == (SyncStatus.SUCCESS, session)
        assert len(proxy.carried) == len(paper.gateway.requests) > 3


def test_refusing_proxy_is_no_refused_key(paper: Paper, seen: list[Observation]) -> None:
    account = paper.account("alpha")
    with forward_proxy(paper) as proxy:
        behind(account, proxy.port, auth="user:CANARY-wrong")
        job = sync(account)
    assert job.status == SyncStatus.FAILED
    assert "407" in job.error
    assert "authentication_failed" not in job.error
    assert "CANARY" not in job.error
    assert paper.gateway.requests == []
    assert not MonitoringEvent.objects.filter(severity="CRITICAL").exists()


def test_account_that_belongs_behind_a_proxy_never_goes_out_without_one(
    paper: Paper, seen: list[Observation]
) -> None:
    account = paper.account("alpha")
    account.proxy_profile = ProxyProfile.objects.create(profile_id="pool", name="Pool")
    account.save()
    job = sync(account)
    assert job.status == SyncStatus.FAILED
    assert "not_sent" in job.error
    assert paper.gateway.requests == []


def test_moving_to_another_proxy_takes_a_new_client(paper: Paper, seen: list[Observation]) -> None:
    account = paper.account("alpha")
    direct = egress.execution_client(account)
    behind(account, 9)
    assert egress.execution_client(account) is not direct
    assert egress.execution_client(account) is egress.execution_client(account)


def test_forked_child_uses_neither_loop_nor_client_of_its_parent(
    paper: Paper, seen: list[Observation]
) -> None:
    account = paper.account("alpha")
    client = egress.execution_client(account)
    egress.run(client.positions())
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        told = b"broke"
        try:
            own = egress.execution_client(account)
            held = egress.run(own.positions())
            told = b"own" if own is not client and len(held) == 2 else b"shared"
        finally:
            os.write(writing, told)
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read() == b"own"
    os.waitpid(child, 0)
    assert len(egress.run(client.positions())) == 2
